"""How sure the numbers of the leaderboard are, from what each query got."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import BenchError
from ...records.store import Record
from ...stats.answered import AnsweredRun, Measured, MissingAnswer, measure
from ...stats.multiple import Correction
from ...stats.paired import Cell, Field, error_of_mean
from ...stats.power import pooled, smallest_difference
from ...stats.runs import answered_run
from ...stats.summaries import Question, terms_of
from ...stats.tiers import Ranking, rank_by_tests
from .scores import Score

QUESTIONS: Mapping[Score, Question] = {
    "last_t2i": Question("final", direction="t2i"),
    "last_i2t": Question("final", direction="i2t"),
    "last": Question("final"),
    "transfer": Question("transfer"),
    "average": Question("average"),
    "change": Question("delta"),
    "learning": Question("learning"),
    "forgetting": Question("forgetting"),
    "ood": Question("ood"),
}
"""What the scores of a run are means of, see `scores.Score`."""
RANKED_BY = QUESTIONS["last"]
ALPHA = 0.05


@dataclass(frozen=True)
class Answers:
    """The evidence of one line of the board.

    Attributes:
        runs: order and seed -> run; those that have evidence.
        why: why some have none, '' where all have it.
    """

    runs: Mapping[Cell, AnsweredRun]
    why: str

    def numbers(self, question: Question) -> dict[Cell, Measured] | None:
        """A number of every run; None where one of them does not have it."""
        try:
            return {cell: measure(run, terms_of(run, question)) for cell, run in self.runs.items()}
        except MissingAnswer:
            return None

    def error(self, score: Score, orders: Sequence[str]) -> float | None:
        """Standard error of a score from the draw of test images, in percent.

        Args:
            score: which.
            orders: whose means it is the mean of.

        Returns:
            None where a run has no evidence, or a cell failed.
        """
        if self.why:
            return None
        numbers = self.numbers(QUESTIONS[score])
        if not numbers:
            return None
        counted = {cell: one for cell, one in numbers.items() if cell[0] in orders}
        seeds = {order: sum(cell[0] == order for cell in counted) for order in orders}
        weights = [1 / (len(orders) * seeds[order]) for order, _ in counted]
        return 100 * error_of_mean(list(counted.values()), weights)


def answers_of(records: Sequence[Record]) -> Answers:
    """The evidence of the runs of one line."""
    runs, damaged = {}, 0
    for record in records:
        try:
            run = answered_run(record)
        except BenchError:
            run, damaged = None, damaged + 1
        if run is not None:
            runs[run.order, run.seed] = run
    missing = len(records) - len(runs)
    if not missing:
        return Answers(runs, "")
    what = "evidence that is not its record's" if damaged else "no evidence"
    return Answers(runs, what if missing == len(records) else f"{what} of {missing} runs")


@dataclass(frozen=True)
class SectionRanks:
    """What the comparisons of one section of the board say.

    Attributes:
        ranking: rank intervals of its methods.
        smallest: the smallest difference, in points, that one comparison finds with 80 % power and
            three seeds; None where there is nothing to tell it from.
    """

    ranking: Ranking
    smallest: float | None


def rank_section(
    lines: Mapping[str, Answers],
    seeds: int,
    question: Question = RANKED_BY,
    alpha: float = ALPHA,
    correction: Correction = "holm",
) -> SectionRanks:
    """Rank the methods of a section by paired tests of all pairs.

    Args:
        lines: label -> evidence of all its runs.
        seeds: that the smallest difference is told for.
        question: the number that they are ranked by.
        alpha: of all tests together.
        correction: for their number.

    Raises:
        BenchError: code 5, two were scored on other test data under one name.
    """
    numbers = {label: found for label, one in lines.items() if (found := one.numbers(question))}
    ranking = rank_by_tests(Field(numbers), list(numbers), alpha, question.sign, correction)
    variances = pooled(list(ranking.pairs.values()), seeds)
    smallest = None
    if variances is not None:
        smallest = 100 * smallest_difference(*variances, alpha=alpha)
    return SectionRanks(ranking, smallest)
