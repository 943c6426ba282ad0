"""Records and the evidence beside them as runs that can be compared."""

import shlex
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import BenchError
from ..records.answers import Evidence, Integers
from ..records.evidence import evidence_file, read_evidence
from ..records.naming import method_label
from ..records.store import Record
from .answered import AnsweredRun

_KEPT = 4096  # runs whose evidence is read once by all that is made from records
Items = tuple[tuple[str, object], ...]


def answered_run(record: Record) -> AnsweredRun | None:
    """A record with what each of its queries got; None for one without evidence.

    Raises:
        BenchError: its evidence is absent (code 4), or not the record's (code 5).
    """
    seal = record.provenance.get("evidence")
    if seal is None:
        return None
    row, counts = record.row, record.taken("eval_task", "metric", "n_gallery")
    classes = {task: gallery for task, metric, gallery in counts if metric == "acc"}
    return _run(
        record.path,
        _items(seal),
        method_label(row["method"], row["variant"], row["settings"]),
        str(row["order"]),
        int(row["seed"]),
        tuple(str(row["task_order"]).split(",")),
        _items(record.provenance.get("data", {}).get("test", {})),
        _items(classes),
        _stamp(evidence_file(record.path)),
    )


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


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _items(mapping: dict[str, object]) -> Items:
    return tuple(sorted(mapping.items()))


@lru_cache(_KEPT)
def _run(
    path: Path, seal: Items, label: str, order: str, seed: int, tasks: tuple[str, ...],
    data: Items, classes: Items, stamp: tuple[int, int] | None,
) -> AnsweredRun:  # fmt: skip
    read = read_evidence(evidence_file(path), dict(seal))
    # Many are held at once: a level fits a byte.
    answers = {where: _small(answer_Q) for where, answer_Q in read.answers.items()}
    return AnsweredRun(
        label=label,
        order=order,
        seed=seed,
        tasks=tasks,
        evidence=Evidence(read.keys, answers, read.run),
        data={name: str(value) for name, value in data},
        name=path.stem,
        classes={name: int(str(value)) for name, value in classes},
    )


def _small(answer_Q: Integers) -> Integers:
    """The same whole numbers in fewer bytes."""
    smaller: Integers = answer_Q.astype(np.min_scalar_type(int(answer_Q.max())))
    return smaller
