r"""Metrics of a whole sequence, from the matrix of scores after every step.

Every function takes `R` of shape (T + 1, T): row 0 is the untouched backbone, row t the model after
learning task t, columns are the T tasks in learned order. Scores are fractions or percent; results
have the same unit. Below, t and j count tasks from 1, so `R[t, j]` of a formula is `R[t, j - 1]`
of the array.

Three definitions of forgetting are in use, and they differ in sign and size. For

    after task 1:  80
    after task 2:  90  75
    after task 3:  95  60  88

`forgetting_from_learned` gives 0.0 (avalanche; minus the backward transfer),
`forgetting_from_best` 5.0 (Chaudhry et al. 2018, arXiv 1801.10112; continuum) and
`forgetting_from_peak` 7.5 (mammoth, PILOT). The tables of cl-bench use the first.

Every function raises ValueError when `R` has another shape, or a NaN where the metric looks: a
hole is never averaged over. What a metric does not look at may be NaN.

`set_transfer` and `set_average` give Transfer and Average of one set alone, learned or held out,
from `score_S`, its scores after every step, of length T + 1. They name the step of a hole, so that
a table can say why a number is missing. Means of Transfer, Average and Last are sums rounded once
(`statistics.fmean`), so that tables, leaderboard and terminal cannot differ in the last bit.
"""

from collections.abc import Callable, Sequence
from math import isnan
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike, NDArray

ScoreMatrix = NDArray[np.float64]


class Hole(ValueError):
    """A metric needs a score that is NaN.

    Attributes:
        step: the first such step.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"a hole (NaN) at step {step}, where this metric looks")
        self.step = step


def _scores(R: ArrayLike, at_least: int = 1) -> ScoreMatrix:
    scores = np.asarray(R, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] + 1:
        raise ValueError(f"R must have shape (T + 1, T), got {scores.shape}")
    if scores.shape[1] < at_least:
        raise ValueError(f"needs at least {at_least} tasks, got {scores.shape[1]}")
    return scores


def _whole(needed: ScoreMatrix) -> ScoreMatrix:
    if np.isnan(needed).any():
        raise ValueError("R has a hole (NaN) where this metric looks")
    return needed


def _diagonal(learned: ScoreMatrix) -> ScoreMatrix:
    return _whole(np.diagonal(learned))


def _mean_over(score_S: Sequence[float], steps: range) -> float:
    for step in steps:
        if isnan(score_S[step]):
            raise Hole(step)
    return fmean(score_S[step] for step in steps)


def set_transfer(score_S: Sequence[float], position: int | None) -> float:
    """Transfer of one set: the mean of its scores at the steps before it is learned.

    The untouched backbone (step 0) is not part of it. Source: Zheng et al. 2023 (ZSCL),
    arXiv 2303.06628.

    Args:
        score_S: its scores after every step, NaN for holes.
        position: the step that learns it, from 2 on; None for a set that is never learned, for
            which all steps count.

    Raises:
        Hole: a step that counts has no score.
        ValueError: the set is learned first, so that no step comes before.
    """
    if position == 1:
        raise ValueError("the first task has no Transfer")
    return _mean_over(score_S, range(1, len(score_S) if position is None else position))


def set_average(score_S: Sequence[float]) -> float:
    """Average of one set: the mean of its scores over all steps, before and after it is learned.

    The untouched backbone (step 0) is not part of it. Source: Zheng et al. 2023 (ZSCL),
    arXiv 2303.06628.

    Args:
        score_S: its scores after every step, NaN for holes.

    Raises:
        Hole: a step that counts has no score.
    """
    return _mean_over(score_S, range(1, len(score_S)))


def last(R: ArrayLike) -> ScoreMatrix:
    """Last_j = R[T, j], the scores at the end; shape (T,). Its mean is the final average."""
    return _whole(_scores(R)[-1])


def average(R: ArrayLike) -> ScoreMatrix:
    """Average_j = mean over t = 1..T of R[t, j], see `set_average`; shape (T,)."""
    return np.array([set_average(score_S) for score_S in _scores(R).T.tolist()])


def transfer(R: ArrayLike) -> ScoreMatrix:
    """Transfer_j = mean over t = 1..j-1 of R[t, j], for j = 2..T; shape (T - 1,).

    What learning the tasks before j does to j, see `set_transfer`. The entries are chosen by their
    places: code that masks entries equal to 0 instead loses a true score of 0.
    """
    columns = _scores(R, at_least=2).T.tolist()
    return np.array([set_transfer(score_S, j) for j, score_S in enumerate(columns, 1) if j > 1])


def mean_transfer(R: ArrayLike) -> float:
    """Mean over all tasks but the first of their Transfer."""
    return fmean(transfer(R).tolist())


def mean_average(R: ArrayLike) -> float:
    """Mean over all tasks of their Average."""
    return fmean(average(R).tolist())


def final_average(R: ArrayLike) -> float:
    """Mean over all tasks of the score at the end, mean_j R[T, j]."""
    return fmean(last(R).tolist())


def delta_to_zero_shot(R: ArrayLike) -> float:
    """How far the end lies above the untouched backbone, mean_j (R[T, j] - R[0, j])."""
    return float((last(R) - _whole(_scores(R)[0])).mean())


def learning_accuracy(R: ArrayLike) -> float:
    """Mean score of a task just after learning it, mean_j R[j, j] (Riemer et al. 2019)."""
    return float(_diagonal(_scores(R)[1:]).mean())


def learning_gain(R: ArrayLike) -> float:
    """How far tasks rise by being learned, mean_j (R[j, j] - R[0, j]), 0 the untouched backbone."""
    scores = _scores(R)
    return float((_diagonal(scores[1:]) - _whole(scores[0])).mean())


def forgetting_from_learned(R: ArrayLike) -> float:
    """Loss since each task was learned, mean over j < T of R[j, j] - R[T, j].

    Negative when later tasks help. Equals minus the backward transfer.
    """
    learned = _scores(R, at_least=2)[1:]
    return float((_diagonal(learned)[:-1] - _whole(learned[-1, :-1])).mean())


def _peak(learned: ScoreMatrix, rows: int) -> ScoreMatrix:
    """Best score of each task but the last among rows j..rows; shape (T - 1,)."""
    seen = learned[:rows, :-1]
    mask = np.tri(*seen.shape, dtype=np.bool_)
    _whole(seen[mask])
    best: ScoreMatrix = np.where(mask, seen, -np.inf).max(axis=0)
    return best


def forgetting_from_best(R: ArrayLike) -> float:
    """Loss since the best earlier moment, mean over j < T of max_{j <= t < T} R[t, j] - R[T, j].

    Chaudhry et al. 2018 (arXiv 1801.10112), with the maximum taken from the step that learned j
    on: a backbone with zero-shot skill has scores before that, and losing those is not forgetting.
    """
    learned = _scores(R, at_least=2)[1:]
    best = _peak(learned, len(learned) - 1)
    return float((best - _whole(learned[-1, :-1])).mean())


def forgetting_from_peak(R: ArrayLike) -> float:
    """As `forgetting_from_best`, with the final row inside the maximum: never negative."""
    learned = _scores(R, at_least=2)[1:]
    return float((_peak(learned, len(learned)) - learned[-1, :-1]).mean())


def backward_transfer(R: ArrayLike) -> float:
    """Gain since each task was learned, mean over j < T of R[T, j] - R[j, j] (GEM, 1706.08840)."""
    return -forgetting_from_learned(R)


def forward_transfer(R: ArrayLike) -> float:
    """What the earlier tasks did for the next, mean over j = 2..T of R[j-1, j] - R[0, j].

    Against the untouched backbone, where GEM (arXiv 1706.08840) takes a random initialisation.
    """
    scores = _scores(R, at_least=2)
    just_before = _whole(np.diagonal(scores[1:], offset=1))
    return float((just_before - _whole(scores[0, 1:])).mean())


def average_incremental_recall(R: ArrayLike) -> float:
    """AIR: mean over t = 1..T of the mean over k = 1..t of R[t, k]."""
    learned = _scores(R)[1:]
    mask = np.tri(*learned.shape, dtype=np.bool_)
    _whole(learned[mask])
    return float((np.where(mask, learned, 0.0).sum(axis=1) / mask.sum(axis=1)).mean())


def known(metric: Callable[[ArrayLike], float], R: ArrayLike) -> float | None:
    """What a metric of this module gives; None over a hole, or where it needs more tasks."""
    try:
        return metric(R)
    except ValueError:
        return None
