"""Every published dataset that the suites use. Facts and their doubts: one declaration each."""

from ...errors import BenchError, nearest
from ..published.declare import Declaration
from . import coop, fine_grained, general, held_out, retrieval, zscl

CATALOG: dict[str, Declaration] = {
    d.name: d
    for module in (retrieval, held_out, general, fine_grained, coop, zscl)
    for d in module.DATASETS
}


def declaration(name: str) -> Declaration:
    """The declaration of that name.

    Raises:
        BenchError: there is none.
    """
    if name not in CATALOG:
        raise BenchError("a dataset of the catalog", f"'{name}'", nearest(name, CATALOG, 30))
    return CATALOG[name]
