"""What the leaderboard says of one run, in numbers."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from numpy.typing import ArrayLike

from ...metrics import continual
from ...records.store import Record
from ..matrix import score_matrix

Score = Literal[
    "last_t2i", "last_i2t", "last", "transfer", "average", "change", "learning", "forgetting", "ood"
]  # fmt: skip
"""What the leaderboard says of one run; all but ood are means over its tasks, see
`metrics.continual`.

last_t2i, last_i2t: Recall@1 of one direction at the end of the run; a labelled task counts with
its accuracy in both. last, transfer, average, forgetting, change (the end minus zero-shot) and
learning (just after learning minus zero-shot): means of both directions. ood: the end minus
zero-shot on the held-out sets.
"""
RunScores = Mapping[Score, float | None]
"""Fractions; None over a hole."""

_OVER_TASKS: Mapping[Score, Callable[[ArrayLike], float]] = {
    "last": continual.final_average,
    "change": continual.delta_to_zero_shot,
    "learning": continual.learning_gain,
    "forgetting": continual.forgetting_from_learned,
    "transfer": continual.mean_transfer,
    "average": continual.mean_average,
}
LAST_OF: Mapping[str, Score] = {"t2i": "last_t2i", "i2t": "last_i2t"}
_NEEDED = ("eval_position", "metric", "k", "eval_task", "step", "value")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None


def held_out(record: Record) -> frozenset[str]:
    """Names of the sets that a run was scored on without learning them."""
    shapes = record.taken("eval_position", "eval_task")
    return frozenset(task for place, task in shapes if place is None)


def _ood(record: Record, sets: frozenset[str]) -> float | None:
    """Change on the held-out sets, last step minus step 0; None without sets or over a hole."""
    ends: dict[str, dict[int, list[float | None]]] = {}
    for place, metric, k, task, step, value in record.taken(*_NEEDED):
        if place is None and (metric == "acc" or (metric == "hit" and k == 1)):
            ends.setdefault(task, {}).setdefault(step, []).append(value)
    changes: list[float | None] = []
    for _, by_step in sorted(ends.items()):
        before, after = by_step.get(0, []), by_step.get(record.row["n_steps"], [])
        start, end = _mean(before), _mean(after)
        if start is None or end is None or len(before) != len(after):
            changes.append(None)
        else:
            changes.append(end - start)
    return _mean(changes) if ends.keys() == sets else None


def scores_of(record: Record, sets: frozenset[str]) -> RunScores:
    """What one run achieved.

    Args:
        record: a run.
        sets: the held-out sets that its change is a mean over.
    """
    matrices = {direction: score_matrix(record.columns, direction) for direction in LAST_OF}
    scores: dict[Score, float | None] = {
        score: _mean([continual.known(metric, R) for R in matrices.values()])
        for score, metric in _OVER_TASKS.items()
    }
    for direction, R in matrices.items():
        scores[LAST_OF[direction]] = continual.known(continual.final_average, R)
    return scores | {"ood": _ood(record, sets)}
