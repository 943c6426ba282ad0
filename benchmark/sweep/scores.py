"""From the records of a sweep to the numbers that it chooses by."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ..records.store import Record
from ..stats.answered import AnsweredRun, Measured, MissingAnswer, Term, measure
from ..stats.paired import Field, PairedDifference, error_of_mean
from ..stats.runs import answered_run, check_hits
from .declared import Score

MEANING: Mapping[Score, str] = {
    "last": "mean over the tasks, after the last of them, of accuracy or of Recall@1 (the mean of "
    "both directions)",
    "average": "mean over the stages, and in each over all tasks, of accuracy or of Recall@1 (the "
    "mean of both directions)",
}
DIGITS = 6  # of percent: equal scores stay equal, whatever the order of a sum was
ALPHA = 0.05
LARGE = 2.0  # standard errors that are taken for more than noise where seeds are too few


@dataclass(frozen=True)
class ScoredRun:
    """One run of a trial. Percent.

    Attributes:
        seed: of the run.
        tasks: task -> score; empty where the run failed. error: why it did, "" where it did not.
        number: the score with what every image has in it; None where the run failed.
    """

    seed: int
    tasks: Mapping[str, float]
    error: str
    number: Measured | None

    @property
    def score(self) -> float:
        """The mean over tasks."""
        return mean_of(self.tasks.values())


def mean_of(values: Iterable[float]) -> float:
    """A mean that is equal where the scores are."""
    return round(fmean(values), DIGITS)


def terms_of(run: AnsweredRun, score: Score, tasks: Sequence[str]) -> list[Term]:
    """What a score over some tasks is the sum of, see `MEANING`."""
    last = len(run.tasks)
    steps = [(last, 1)] if score == "last" else [(step, 1) for step in range(1, last + 1)]
    found = []
    for task in tasks:
        ways = run.directions(task)
        factor = 1 / (len(tasks) * len(ways) * len(steps))
        found += [Term(task, way, 1, tuple(steps), factor) for way in ways]
    return found


def score_run(record: Record, score: Score) -> ScoredRun:
    """What one run scored.

    Raises:
        BenchError: a record that is not whole.
    """
    seed, failed = int(record.row["seed"]), record.provenance.get("failed")
    if failed:
        return ScoredRun(seed, {}, str(failed.get("error")), None)
    run = answered_run(record)
    assert run is not None, "every run keeps its evidence"
    check_hits(record, run)
    try:
        number = measure(run, terms_of(run, score, run.tasks))
        each = {t: measure(run, terms_of(run, score, [t])).value for t in run.tasks}
    except MissingAnswer:
        cells = record.taken("status", "eval_task", "step", "error")
        first = next((f"{t} at step {s}: {e}" for status, t, s, e in cells if status != "ok"), "")
        return ScoredRun(seed, {}, f"not everything could be scored ({first})", None)
    return ScoredRun(seed, {t: round(100 * v, DIGITS) for t, v in each.items()}, "", number)


def image_error(runs: Sequence[ScoredRun]) -> float:
    """Standard error of the mean over seeds from the draw of validation images, in percent."""
    numbers = [run.number for run in runs if run.number is not None]
    return round(100 * error_of_mean(numbers, [1 / len(numbers)] * len(numbers)), DIGITS)


def seed_spread(scores: Sequence[float]) -> float | None:
    """Standard deviation over seeds; None for one seed."""
    return round(stdev(scores), DIGITS) if len(scores) > 1 else None


@dataclass(frozen=True)
class Behind:
    """How far a trial is behind the best one, on the same images and seeds. Points of percent.

    Attributes:
        points: the difference of their means, at least 0.
        error: its standard error.
        separated: whether it is more than noise, see `docs/settings.md`.
    """

    points: float
    error: float
    separated: bool


def behind_best(trials: Mapping[int, Sequence[ScoredRun]], best: int) -> dict[int, Behind]:
    """Trial -> how far it is behind the best, of all that have not failed."""
    numbers = {
        f"{trial:06}": {("", run.seed): run.number for run in runs if run.number is not None}
        for trial, runs in trials.items()
    }
    field, found = Field(numbers), {}
    for trial in trials:
        if trial == best:
            continue
        between = field.difference(f"{best:06}", f"{trial:06}")
        found[trial] = Behind(
            round(100 * between.difference, DIGITS),
            round(100 * between.error, DIGITS),
            _separated(between),
        )
    return found


def _separated(between: PairedDifference) -> bool:
    if math.isclose(between.error, 0.0, abs_tol=1e-12):
        return abs(between.difference) > 1e-12
    interval = between.interval(ALPHA)
    if interval is None:
        return abs(between.difference) > LARGE * between.error
    return not interval[0] <= 0 <= interval[1]
