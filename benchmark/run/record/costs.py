"""What a run's tasks cost, and what its method says of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from ...errors import MethodError

REPORT_BYTES = 2**14  # of one task's report as JSON
REPORT_DEPTH = 20  # of mappings and lists in it


@dataclass
class Costs:
    """What the tasks cost, one entry for each.

    Attributes:
        trainable: parameters trained. state_bytes: kept after it, beyond the model.
        inference: numbers (parameters and stored values) that predictions may read after it, beyond
            the model. inference_bytes: their size.
        losses: of every epoch.
        chunks: pieces that its batches were cut into, see `Backbone`.
        shared: seconds that training took in another run, whose result was taken; None where the
            task was trained by this one.
        reports: what the method says of it, see `Method.report`.
        resumed: times that the run was taken up again.
    """

    trainable: list[int] = field(default_factory=list)
    state_bytes: list[int] = field(default_factory=list)
    inference: list[int] = field(default_factory=list)
    inference_bytes: list[int] = field(default_factory=list)
    losses: list[list[dict[str, float]]] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    shared: list[float | None] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0

    def resume(self, before: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name in (f.name for f in fields(self) if f.name != "resumed"):
            setattr(self, name, before[name] + getattr(self, name))
        self.resumed = before["resumed"] + 1


def plain_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A method's report as a record can hold it: tuples become lists, nothing else changes.

    Args:
        report: see `Method.report`.

    Raises:
        MethodError: a value that is not a finite number, a string, a bool, None, a list or tuple,
            or a mapping with strings as keys; or more than `REPORT_BYTES` as JSON.
    """
    if not isinstance(report, Mapping):
        raise _odd("report", type(report).__name__)
    plain: dict[str, Any] = _plain(report, "report")
    size = len(json.dumps(plain).encode())
    if size > REPORT_BYTES:
        raise MethodError(
            f"a `report` of at most {REPORT_BYTES} bytes as JSON",
            f"{size}",
            "report sums or means instead of single values",
            code=3,
        )
    return plain


def _plain(value: Any, place: str, depth: int = 0) -> Any:
    if depth > REPORT_DEPTH:
        raise _odd(place[:60], f"more than {REPORT_DEPTH} levels, or a part that holds itself,")
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise _odd(place, "a whole number of more than 64 bits")
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise _odd(place, str(value))
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise _odd(place, f"the key {odd[0]!r}")
        return {key: _plain(item, f"{place}.{key}", depth + 1) for key, item in value.items()}
    raise _odd(place, type(value).__name__)


def _odd(place: str, got: str) -> MethodError:
    return MethodError(
        "finite numbers, strings, lists and mappings with strings as keys in a method's `report`",
        f"{got} at {place}",
        "let `report` return plain values, of a tensor its tolist()",
        code=3,
    )
