"""The numbers that sum up a run, as sums over cells: what `metrics.continual` says of hits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .answered import AnsweredRun, MissingAnswer, Term

Summary = Literal[
    "hit", "acc", "final", "delta", "learning", "forgetting", "transfer", "average", "ood"
]
Direction = Literal["t2i", "i2t", "both"]
FALLING: frozenset[Summary] = frozenset({"forgetting"})
"""Of these less is better."""


@dataclass(frozen=True)
class Question:
    """Which number of a run.

    Attributes:
        summary: a mean over the learned sets, see `metrics.continual`: hit and acc are Recall@K and
            accuracy after a step, of the sets that have captions or labels; final either of them at
            the end; delta the end minus step 0; learning just after learning minus step 0;
            forgetting from just after learning to the end;
            transfer before learning; average over all steps. ood is delta over the held-out sets.
        k: the K of Recall@K; a labelled set counts with its accuracy.
        direction: t2i, i2t, or the mean of both; a labelled set counts the same in either.
        step: for hit and acc, tasks learned; None is the end.
        only: a set, of which the number is then alone; '' for the mean over sets.
    """

    summary: Summary = "final"
    k: int = 1
    direction: Direction = "both"
    step: int | None = None
    only: str = ""

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return -1 if self.summary in FALLING else 1


def terms_of(run: AnsweredRun, question: Question) -> list[Term]:
    """A number of a run as a sum over cells.

    Raises:
        MissingAnswer: the run has no such number.
    """
    sets = _sets(run, question)
    if question.only:
        sets = [question.only] if question.only in sets else []
    if not sets:
        where = f" of '{question.only}'" if question.only else ""
        raise MissingAnswer(f"no {question.summary}{where} in '{run.name}'")
    ways = ("t2i", "i2t") if question.direction == "both" else (question.direction,)
    return [
        term
        for task in sets
        for term in over_steps(run, task, ways, question.k, *_steps(run, task, question), len(sets))
    ]


def over_steps(
    run: AnsweredRun,
    task: str,
    directions: Sequence[str],
    k: int,
    steps: Sequence[tuple[int, int]],
    divisor: int,
    n_sets: int,
) -> Iterator[Term]:
    """The terms of one set.

    Args:
        run: whose.
        task: the set.
        directions: those whose mean counts; of no account for a labelled set.
        k: the K of Recall@K.
        steps: see `Term`.
        divisor: what the sum over steps is divided by.
        n_sets: that the number is a mean over.
    """
    ways = (None,) if run.labelled(task) else directions
    for way in ways:
        k_here = 1 if way is None else k
        yield Term(task, way, k_here, tuple(steps), 1 / (divisor * n_sets * len(ways)))


def _sets(run: AnsweredRun, question: Question) -> list[str]:
    if question.summary == "ood":
        return list(run.held_out)
    if question.summary in ("hit", "acc"):
        every = (*run.tasks, *run.held_out) if question.only else run.tasks
        return [task for task in every if run.labelled(task) == (question.summary == "acc")]
    first = 1 if question.summary == "transfer" else 0
    last = len(run.tasks) - (question.summary == "forgetting")
    return list(run.tasks[first:last])


def _steps(
    run: AnsweredRun, task: str, question: Question
) -> tuple[tuple[tuple[int, int], ...], int]:
    """Steps with what their hits count, and what the sum is divided by."""
    end = len(run.tasks)
    match question.summary:
        case "hit" | "acc":
            return ((end if question.step is None else question.step, 1),), 1
        case "final":
            return ((end, 1),), 1
        case "delta" | "ood":
            return ((end, 1), (0, -1)), 1
        case "learning":
            return ((run.tasks.index(task) + 1, 1), (0, -1)), 1
        case "forgetting":
            return ((run.tasks.index(task) + 1, 1), (end, -1)), 1
        case "transfer":
            place = run.tasks.index(task) + 1
            return tuple((step, 1) for step in range(1, place)), place - 1
        case "average":
            return tuple((step, 1) for step in range(1, end + 1)), end


def of_sets(run: AnsweredRun, question: Question) -> list[Question]:
    """The same question of every set alone, in each direction that it has.

    Only of sets that have the number in every order of tasks: neither transfer nor forgetting.
    """
    sets = _sets(run, replace(question, only="-"))
    ways: tuple[Direction, ...] = (
        ("t2i", "i2t") if question.direction == "both" else (question.direction,)
    )
    return [
        replace(question, only=task, direction=way)
        for task in sets
        for way in (ways[:1] if run.labelled(task) else ways)
    ]
