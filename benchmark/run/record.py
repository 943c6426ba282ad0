"""From a run's cells to its record: tidy rows and provenance."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..common.files import atomic
from ..data.cache.decoded import transform_id
from ..errors import BenchError
from ..records.schema import validate
from ..records.store import to_frame, write_record
from .evaluate import EvalSet, Row, Scores
from .inputs import Inputs
from .provenance.machine import hardware, versions
from .provenance.numerics import NUMERICS
from .provenance.usage import Usage
from .request import Plan

Cell = tuple[int, EvalSet, Scores]
REPORT_BYTES = 2**14  # of one task's report as JSON


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
        BenchError: a value that is not a finite number, a string, a bool, None, a list or tuple,
            or a mapping with strings as keys; or more than `REPORT_BYTES` as JSON.
    """
    if not isinstance(report, Mapping):
        raise _odd("report", type(report).__name__)
    plain: dict[str, Any] = _plain(report, "report")
    size = len(json.dumps(plain).encode())
    if size > REPORT_BYTES:
        raise BenchError(
            f"a `report` of at most {REPORT_BYTES} bytes as JSON",
            f"{size}",
            "report sums or means instead of single values",
        )
    return plain


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise _odd(place, str(value))
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise _odd(place, f"the key {odd[0]!r}")
        return {key: _plain(item, f"{place}.{key}") for key, item in value.items()}
    raise _odd(place, type(value).__name__)


def _odd(place: str, got: str) -> BenchError:
    return BenchError(
        "finite numbers, strings, lists and mappings with strings as keys in a method's `report`",
        f"{got} at {place}",
        "let `report` return plain values, of a tensor its tolist()",
    )


def score_text(rows: list[Row]) -> str:
    """The main score of a set, for the live view: I2T R@1 or accuracy in percent."""
    for row in rows:
        if row["value"] is not None and (row["direction"], row["k"]) in (("i2t", 1), (None, None)):
            return f"{100 * row['value']:.1f}"
    return "failed"


def rows_of(plan: Plan, inputs: Inputs, cells: list[Cell]) -> list[Row]:
    """Every cell's rows with the columns of the record (see `records.schema.SCHEMA`)."""
    settings = ",".join(f"{k}={v}" for k, v in plan.settings.items())
    common = {
        "suite": plan.suite.name,
        "suite_version": plan.suite.version,
        "method": plan.method.name,
        "variant": plan.method.variant,
        "settings": settings,
        "backbone": plan.backbone,
        "pretrained": plan.pretrained,
        "order": plan.request.order,
        "task_order": ",".join(inputs.order),
        "seed": plan.request.seed,
        "n_steps": len(inputs.order),
        "uses": ",".join(sorted(plan.method.uses)),
        "source": "measured",
    }
    rows = []
    for step, which, scores in cells:
        place = {
            "step": step,
            "step_task": inputs.order[step - 1] if step else None,
            "eval_task": which.name,
            "eval_title": which.title,
            "eval_position": None if which.position is None else which.position + 1,
            "role": _role(step, which.position),
            "kind": "labelled" if which.scope else "pairs",
            "label_space": which.label_space,
        }
        for row in scores.rows:
            rows.append({**common, **place, "status": "ok", "error": None, **row})
    return rows


def _role(step: int, position: int | None) -> str:
    if position is None:
        return "ood"
    learned = position + 1
    return "future" if learned > step else "current" if learned == step else "seen"


def ranks_of(cells: list[Cell]) -> list[dict[str, Any]]:
    """Rank of the first positive (0 = first) of every query, from which recall is recomputed."""
    return [
        {"step": step, "eval_task": which.name, "direction": direction, "query": q, "rank": rank}
        for step, which, scores in cells
        for direction, ranks in scores.ranks.items()
        for q, rank in enumerate(ranks)
    ]


def provenance_of(plan: Plan, inputs: Inputs, costs: Costs, usage: Usage) -> dict[str, Any]:
    """All that the numbers came from and what they cost."""
    names = {*inputs.identity["train"], *inputs.identity["test"]}
    reference = inputs.identity["reference"]
    used = (
        d for d in plan.suite.datasets
        if d.name in names or (reference is not None and d == plan.suite.reference)
    )  # fmt: skip
    return {
        "asked": plan.asked,
        "command": sys.argv[1:],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "unofficial": list(plan.unofficial),
        "method": {
            "label": plan.method.cls.label,
            "paper": plan.method.cls.paper,
            "origin": plan.method.origin,
            "sha256": plan.method.sha,
        },
        "code": {"sha256": plan.code, "numerics": NUMERICS, **plan.git},
        "versions": versions(),
        "hardware": {**hardware(), "device": inputs.device.type},
        "weights": {
            "backbone": plan.backbone,
            "sha256": inputs.clip.fingerprint,
            "origin": inputs.clip.origin,
        },
        "transform": transform_id(inputs.clip.size),
        "data": {
            "train": inputs.identity["train"],
            "test": inputs.identity["test"],
            **({} if reference is None else {"reference": reference}),
            "left_out": list(plan.left_out),
        },
        "sources": {
            d.name: {
                "licence": d.licence,
                "citation": d.citation,
                "data": d.origin()
                if d.needs is None
                else (plan.asked["data"] or {}).get(d.needs, [None])[0],
            }
            for d in used
        },
        "order": {"tasks": list(inputs.order), "measured": inputs.measured},
        "parameters": {
            "total": sum(p.numel() for p in inputs.clip.parameters()),
            "trainable": costs.trainable,
            "inference": costs.inference,
        },
        "state_bytes": costs.state_bytes,
        "inference_bytes": costs.inference_bytes,
        "seconds": {k: round(v, 2) for k, v in usage.seconds.items()},
        "peak_memory": usage.memory,
        "losses": costs.losses,
        "chunks": costs.chunks,
        "shared": costs.shared,
        "reports": costs.reports,
        "resumed": costs.resumed,
    }


def write_run(plan: Plan, inputs: Inputs, costs: Costs, usage: Usage, cells: list[Cell]) -> None:
    """Check and write the record, and the ranks beside it where they were asked for.

    Raises:
        BenchError: the record is not consistent, or the folder cannot be written.
    """
    rows = rows_of(plan, inputs, cells)
    validate(to_frame(rows), plan.target)
    ranks = plan.target.with_suffix(".ranks.parquet")
    if not plan.request.save_ranks:
        ranks.unlink(missing_ok=True)  # they would be those of the record that is replaced
    else:
        with atomic(ranks) as temporary:
            pq.write_table(pa.Table.from_pylist(ranks_of(cells)), temporary, compression="zstd")
    write_record(plan.target, rows, provenance_of(plan, inputs, costs, usage))
