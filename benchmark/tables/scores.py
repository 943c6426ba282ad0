"""What the leaderboard says of one run, in numbers."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np
import pandas as pd

from ..metrics import continual
from ..metrics.continual import ScoreMatrix
from ..records.store import Record
from .terminal import score_matrix

_SCORES: Mapping[str, Callable[[ScoreMatrix], float]] = {
    "final": continual.final_average,
    "delta": continual.delta_to_zero_shot,
    "forgetting": continual.forgetting_from_learned,
    "transfer": lambda R: float(continual.transfer(R).mean()),
    "average": lambda R: float(continual.average(R).mean()),
}
_NEEDED = (
    "metric", "direction", "k", "step", "n_steps", "eval_task", "eval_position", "value",
)  # fmt: skip


def _or_none(metric: Callable[[ScoreMatrix], float], R: ScoreMatrix) -> float | None:
    try:
        return metric(R)
    except ValueError:
        return None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None


def held_out(record: Record) -> frozenset[str]:
    """Names of the sets that a run was scored on without learning them."""
    frame = record.frame
    return frozenset(frame.loc[frame["eval_position"].isna(), "eval_task"])


def _ood(frame: pd.DataFrame, sets: frozenset[str]) -> float | None:
    """Change on the held-out sets, last step minus step 0; None without sets or over a hole."""
    top = (frame["metric"] == "acc") | ((frame["metric"] == "hit") & (frame["k"] == 1))
    top &= frame["eval_position"].isna()
    frame = frame[top.fillna(False).astype(bool)]
    ends: dict[str, dict[int, list[float]]] = {}
    for task, step, value in zip(
        frame["eval_task"].tolist(), frame["step"].tolist(), frame["value"].tolist(), strict=True
    ):
        ends.setdefault(task, {}).setdefault(step, []).append(value)
    n_steps = int(frame["n_steps"].max()) if len(frame) else 0
    changes = []
    for _, by_step in sorted(ends.items()):
        before, after = by_step.get(0, []), by_step.get(n_steps, [])
        whole = len(before) == len(after) > 0 and not np.isnan(before + after).any()
        changes.append(fmean(after) - fmean(before) if whole else None)
    return _mean(changes) if ends.keys() == sets else None


def scores_of(record: Record, sets: frozenset[str]) -> dict[str, float | None]:
    """Name of a score -> its value as a fraction, None over a hole.

    Args:
        record: a run.
        sets: the held-out sets that its change is a mean over.
    """
    # Selecting rows costs in proportion to the columns, and a board selects many times.
    top = (record.frame["metric"] == "acc") | (record.frame["k"] == 1).fillna(False)
    frame = record.frame.loc[top.astype(bool), list(_NEEDED)]
    matrices = {direction: score_matrix(frame, direction) for direction in ("t2i", "i2t")}
    scores: dict[str, float | None] = {
        name: _mean([_or_none(metric, R) for R in matrices.values()])
        for name, metric in _SCORES.items()
    }
    for direction, R in matrices.items():
        scores[direction] = _or_none(_SCORES["final"], R)
    return scores | {"ood": _ood(frame, sets)}
