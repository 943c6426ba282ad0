"""The types of what is read from a record's provenance."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import quoted
from .schema import invalid

# The types of what is read from a record's provenance. A part may be absent (a paper's numbers have
# none); a star stands for every entry.
_PROVENANCE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("asked", "code", "data", "hardware", "method", "weights"), (dict,)),
    **dict.fromkeys(("peak_memory", "seconds"), (dict,)),
    "asked.validation": (dict,),
    **dict.fromkeys(("asked.config", "asked.recipe", "data.train", "data.test"), (dict,)),
    **dict.fromkeys(("identity", "options"), (dict,)),
    **dict.fromkeys(("order", "parameters", "options", "computing"), (dict,)),
    **dict.fromkeys(("computing.compiled", "computing.tf32"), (bool,)),
    "options.compile": (str,),
    **dict.fromkeys(("command", "order.tasks"), (list,)),
    **dict.fromkeys(("chunks", "inference_bytes", "losses", "shared"), (list,)),
    "state_bytes": (int, list),
    "parameters.*": (int, list),
    **dict.fromkeys(("parameters.*.*", "inference_bytes.*", "state_bytes.*"), (int,)),
    **dict.fromkeys(("command.*", "order.tasks.*"), (str,)),
    **dict.fromkeys(("created", "transform", "hardware.device", "data.reference"), (str,)),
    **dict.fromkeys(("method.label", "method.origin", "method.paper"), (str,)),
    **dict.fromkeys(("asked.method", "asked.order", "asked.suite", "asked.variant"), (str,)),
    "reports.*.parameters_kept": (int, float),
    "identity.version": (int,),
    "identity.sha256": (str,),
    "evidence": (dict, type(None)),
    **dict.fromkeys(("evidence.schema", "evidence.bytes"), (int,)),
    "evidence.sha256": (str,),
    **dict.fromkeys(("data.train.*", "data.test.*", "weights.sha256"), (str,)),
    "code.commit": (str, type(None)),
    "code.numerics": (int,),
    **dict.fromkeys(("code.sha256", "method.sha256"), (str,)),
    "peak_memory.*": (int, float, dict),
    "peak_memory.*.*": (int, float),
    "seconds.*": (int, float),
    **dict.fromkeys(("reports", "unofficial"), (list,)),
    "reports.*": (dict,),
    "unofficial.*": (str,),
}
_PLACES = {place: (place.split("."), kinds) for place, kinds in _PROVENANCE.items()}
_MOST = 2**63  # of any count, and of seconds


def _at_place(value: Any, names: list[str]) -> Iterator[Any]:
    """What JSON holds at a place of `_PROVENANCE`."""
    if not names:
        yield value
    elif names[0] == "*":
        inner = value.values() if isinstance(value, dict) else value
        for one in inner if isinstance(value, dict | list) else ():
            yield from _at_place(one, names[1:])
    elif isinstance(value, dict) and names[0] in value:
        yield from _at_place(value[names[0]], names[1:])


def validate_provenance(provenance: dict[str, Any], path: Path) -> None:
    """Check the types of all that is read from a record's provenance.

    Args:
        provenance: as read from the file.
        path: named in the error.

    Raises:
        BenchError: code 5 and the first part that is of another type.
    """
    for place, (names, kinds) in _PLACES.items():
        for found in _at_place(provenance, names):
            if not isinstance(found, kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise invalid(path, f"provenance '{place}' of type {wanted}", type(found).__name__)
            if isinstance(found, int | float) and not 0 <= found < _MOST:
                got = quoted(found, most=20)
                raise invalid(path, f"provenance '{place}' from 0 to below 2**63", got)


def on_validation(provenance: Mapping[str, Any]) -> bool:
    """Whether a run was scored on a part of its training data, which chooses settings.

    Its scores are no result: they stand beside none, in no table and on no board.
    """
    return "validation" in provenance.get("asked", {})
