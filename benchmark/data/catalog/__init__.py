"""Every published dataset that the suites use. Facts and their doubts: one declaration each."""

from ...errors import BenchError, nearest
from ..hub.declare import Declaration
from . import coop, held_out, labelled, retrieval

CATALOG: dict[str, Declaration] = {
    d.name: d for d in (*retrieval.DATASETS, *held_out.DATASETS, *labelled.DATASETS, *coop.DATASETS)
}


def declaration(name: str) -> Declaration:
    """The declaration of that name.

    Raises:
        BenchError: there is none.
    """
    if name not in CATALOG:
        raise BenchError("a dataset of the catalog", f"'{name}'", nearest(name, CATALOG, 30))
    return CATALOG[name]
