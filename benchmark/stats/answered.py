"""What a run scored, image by image: its evidence as numbers that tests can be made of.

Every number that is compared here is a sum over cells (set, direction, step) of hits by queries,
each with a factor: a mean over sets, a change between steps, a mean over steps. So it has one
value, and a part that every test image has in it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records.answers import Evidence

Reals = NDArray[np.float64]
Counts = NDArray[np.int16]


class MissingAnswer(ValueError):
    """A number needs a cell that failed, or that the run does not have."""


@dataclass(frozen=True)
class Term:
    """One summand of a number: `factor` times the sum over steps of `times` x hits by queries.

    Attributes:
        task: the set.
        direction: t2i or i2t; None for a labelled set.
        k: the K of Recall@K; 1 for a labelled set.
        steps: (step, times), whole numbers.
        factor: of the whole.
    """

    task: str
    direction: str | None
    k: int
    steps: tuple[tuple[int, int], ...]
    factor: float


@dataclass(frozen=True)
class AnsweredRun:
    """A run and what each query of it got.

    Attributes:
        label: method, variant and overrides.
        order: the name of its order of tasks.
        seed: its seed.
        tasks: those learned, in that order.
        evidence: see `records.answers`.
        data: set -> fingerprint of its test data.
        name: of the run, for messages.
        classes: labelled set -> number of classes that compete.
    """

    label: str
    order: str
    seed: int
    tasks: tuple[str, ...]
    evidence: Evidence
    data: Mapping[str, str]
    name: str
    classes: Mapping[str, int] = field(default_factory=dict)
    _hits: dict[Any, Counts] = field(default_factory=dict, repr=False, compare=False)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Sets that it was scored on without learning them, by name."""
        return tuple(sorted(set(self.evidence.keys) - set(self.tasks)))

    def labelled(self, task: str) -> bool:
        """Whether a set has labels, and no captions."""
        return self.evidence.keys[task].kind == "labelled"

    def directions(self, task: str) -> tuple[str | None, ...]:
        """In which directions a set is scored."""
        return (None,) if self.labelled(task) else ("t2i", "i2t")

    def sizes(self, task: str, direction: str | None) -> Reals:
        """Queries (N,) of every image."""
        value_N = self.evidence.keys[task].value_N
        size_N = value_N if direction == "t2i" else np.ones_like(value_N)
        return size_N.astype(np.float64)

    def hits(self, task: str, direction: str | None, step: int, k: int) -> Counts:
        """Queries (N,) of every image that were answered.

        Raises:
            MissingAnswer: the cell failed, or there is none.
        """
        where = task, direction, step, k
        if where not in self._hits:
            if (task, direction, step) not in self.evidence.answers:
                raise MissingAnswer(f"no answers to '{task}' at step {step} in '{self.name}'")
            right = self.evidence.right(task, direction, step, k)
            if direction == "t2i":
                count_N = self.evidence.keys[task].value_N
                right = np.add.reduceat(right, np.cumsum(count_N) - count_N, dtype=np.int16)
            self._hits[where] = right.astype(np.int16)
        return self._hits[where]

    def chance(self, task: str, direction: str | None, k: int) -> float | None:
        """The mean score of answers drawn blindly; None where the classes are not counted.

        Of n things in random order, m of them right, none is among the first k with the probability
        of k draws without a right one.
        """
        if direction is None:
            return 1 / self.classes[task] if task in self.classes else None
        count_N = self.evidence.keys[task].value_N.astype(np.float64)
        n = len(count_N) if direction == "t2i" else count_N.sum()
        right_N = np.ones_like(count_N) if direction == "t2i" else count_N
        none_N = np.ones_like(count_N)
        for drawn in range(min(k, int(n))):
            none_N *= np.maximum(n - right_N - drawn, 0) / (n - drawn)
        weight_N = count_N if direction == "t2i" else np.ones_like(count_N)
        return 1 - float((weight_N * none_N).sum() / weight_N.sum())

    def sums(self, term: Term) -> Reals:
        """The whole numbers (N,) that every image brings to a term, see `Term`."""
        total_N = np.zeros(len(self.evidence.keys[term.task].value_N))
        for step, times in term.steps:
            total_N += times * self.hits(term.task, term.direction, step, term.k)
        return total_N


@dataclass(frozen=True)
class Measured:
    """One number of one run.

    Attributes:
        run: whose.
        terms: what it is the sum of.
        value: a fraction.
        parts: set -> (N,), how much of the deviation of that number from what another draw of
            test images would give is each image's: they sum to 0, and their squares to its
            variance.
    """

    run: AnsweredRun
    terms: tuple[Term, ...]
    value: float
    parts: Mapping[str, Reals]


def measure(run: AnsweredRun, terms: Sequence[Term]) -> Measured:
    """A number of a run, and what every test image has in it.

    The variance over draws of images is that of the cluster bootstrap of infinitely many
    resamples: a ratio of sums over images (captions of an image, right by all) is made linear,
    and N / (N - 1) takes away the bias of a small set.

    Raises:
        MissingAnswer: a cell failed, or the run does not have it.
    """
    values: list[float] = []
    parts: dict[str, Reals] = {}
    for term in terms:
        sum_N, size_N = run.sums(term), run.sizes(term.task, term.direction)
        size = float(size_N.sum())
        ratio = float(sum_N.sum()) / size
        values.append(term.factor * ratio)
        n = len(sum_N)
        scale = term.factor / size * math.sqrt(n / (n - 1) if n > 1 else 1.0)
        here = scale * (sum_N - ratio * size_N)
        parts[term.task] = parts[term.task] + here if term.task in parts else here
    return Measured(run, tuple(terms), math.fsum(values), parts)


def image_covariance(measured: Iterable[Measured]) -> Reals:
    """Covariances (R, R) of numbers of several runs on the same images, as the images vary.

    Args:
        measured: R numbers. A set that one of them lacks (the last has no forgetting) has no part
            in it.
    """
    every = list(measured)
    total = np.zeros((len(every), len(every)))
    for task in sorted({task for one in every for task in one.parts}):
        there = [i for i, one in enumerate(every) if task in one.parts]
        part_RN = np.stack([every[i].parts[task] for i in there])
        total[np.ix_(there, there)] += part_RN @ part_RN.T
    return total
