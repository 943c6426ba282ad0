"""How sure a cell of a table is, and whether the best of a column stands out."""

from collections.abc import Mapping, Sequence

from ...errors import BenchError
from ...stats.answered import Measured, MissingAnswer, Term, measure
from ...stats.paired import Cell, Field, error_of_mean
from ...stats.summaries import over_steps
from ...stats.tiers import stands_out
from ..run_numbers import At, Metric, RunNumbers

Numbers = Mapping[Cell, Measured]
Steps = tuple[tuple[int, int], ...]


def measured(runs: Sequence[RunNumbers], place: At, parts: Sequence[str]) -> Numbers | None:
    """One number of several runs with what every test image has in it, by order and seed.

    Args:
        runs: of one row and group.
        place: which number.
        parts: the sets that it is a mean over.

    Returns:
        None where a run has no evidence, or has no such number, or there is no run.
    """
    found: dict[Cell, Measured] = {}
    for run in runs:
        terms = _terms(run, place, parts)
        if run.answered is None or not terms:
            return None
        try:
            found[run.order, run.seed] = measure(run.answered, terms)
        except MissingAnswer:
            return None
    return found or None


def test_error(numbers: Numbers) -> float:
    """Standard error of the mean over runs from the draw of test images, in percent."""
    every = list(numbers.values())
    return 100 * error_of_mean(every, [1 / len(every)] * len(every))


def separated(of_row: Sequence[Numbers | None], best: int) -> bool:
    """Whether the paired test tells the best row of a column from each of the others.

    Args:
        of_row: the number of every row that contends; None where it can't be told.
        best: which of them.
    """
    known = {f"{place:04}": one for place, one in enumerate(of_row) if one is not None}
    if len(known) < len(of_row):
        return False
    name = f"{best:04}"
    try:
        return stands_out(Field(known), name, [other for other in known if other != name])
    except BenchError:  # other prompts, or a copy of the data, as the row's name says
        return False


def _terms(run: RunNumbers, place: At, parts: Sequence[str]) -> list[Term]:
    answered = run.answered
    terms: list[Term] = []
    for task in parts:
        if answered is None or task not in answered.evidence.keys or task not in run.sets:
            return []
        found = _steps(run, place, task)
        if found is None or (place.k is None) != answered.labelled(task):
            return []
        steps, divisor = found
        terms += over_steps(
            answered, task, (place.direction,), place.k or 1, steps, divisor, len(parts)
        )
    return terms


def _steps(run: RunNumbers, place: At, task: str) -> tuple[Steps, int] | None:
    """Steps with what their hits count, and what the sum is divided by: `RunNumbers.outcome`."""
    end = run.n_steps
    if place.metric in (Metric.RECALL, Metric.ACCURACY):
        return ((end if place.step is None else place.step, 1),), 1
    if place.metric == Metric.CHANGE:
        return ((end, 1), (0, -1)), 1
    if place.metric == Metric.AVERAGE:
        return tuple((step, 1) for step in range(1, end + 1)), end
    if place.metric == Metric.TRANSFER:
        before = (run.sets[task].position or end + 1) - 1
        return (tuple((step, 1) for step in range(1, before + 1)), before) if before else None
    return None
