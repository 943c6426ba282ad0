"""Records and the evidence beside them as runs that can be compared."""

import shlex
from weakref import WeakKeyDictionary

from ..errors import BenchError
from ..records.naming import method_label
from ..records.store import Record
from .answered import AnsweredRun

_known: WeakKeyDictionary[Record, AnsweredRun] = WeakKeyDictionary()


def answered_run(record: Record) -> AnsweredRun | None:
    """A record with what each of its queries got, made once; None for one without evidence.

    Raises:
        BenchError: its evidence is absent (code 4), or not the record's (code 5).
    """
    if record.provenance.get("evidence") is None:
        return None
    if record not in _known:
        row, counts = record.row, record.taken("eval_task", "metric", "n_gallery")
        data = record.provenance.get("data", {}).get("test", {})
        _known[record] = AnsweredRun(
            label=method_label(row["method"], row["variant"], row["settings"]),
            order=row["order"],
            seed=row["seed"],
            tasks=tuple(row["task_order"].split(",")),
            evidence=record.evidence,
            data={name: str(value) for name, value in sorted(data.items())},
            name=record.path.stem,
            classes={task: gallery for task, metric, gallery in counts if metric == "acc"},
        )
    return _known[record]


def check_hits(record: Record, run: AnsweredRun) -> None:
    """Refuse a record whose hits are not those of its evidence: BenchError (code 5)."""
    names = ("eval_task", "direction", "step", "metric", "k", "hits", "n_queries")
    found = run.evidence.hits()
    for task, way, step, metric, k, *counts in record.taken(*names):
        if counts[0] is None or metric == "route":
            continue
        if found.get((task, way, step, metric, k)) != tuple(counts):
            where = f"{task} {way or metric} at step {step}"
            raise BenchError(
                f"a record whose scores are those of its evidence, '{record.path}'",
                f"{counts[0]} hits of {counts[1]} in {where}",
                f"see `cl-bench validate {shlex.quote(str(record.path))}`",
                code=5,
            )
