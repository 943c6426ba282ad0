"""What a comparison of two methods consists of, before it is words or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..counts import PairedCounts, mcnemar, newcombe
from ..multiple import Correction
from ..paired import Cell, PairedDifference
from ..summaries import Question
from .find import Group

Interval = tuple[float, float]


@dataclass(frozen=True)
class Choices:
    """How two methods are compared.

    Attributes:
        question: in which number.
        per_set: every set alone, too.
        over_sets: whether the sets count as draws of all sets that there could be.
        alpha: one minus the confidence, and the level of the tests.
        correction: of the p-values of the single sets.
        resamples: of the bootstrap.
        mid_p: whether McNemar's test is the mid-p variant.
    """

    question: Question
    per_set: bool = False
    over_sets: bool = False
    alpha: float = 0.05
    correction: Correction = "holm"
    resamples: int = 10_000
    mid_p: bool = False


@dataclass(frozen=True)
class CountedSet:
    """One set in one direction.

    Attributes:
        task: the set.
        direction: None for a labelled set.
        images: how many.
        queries: how many.
        chance: mean score of blind answers, a fraction; None where it is not known.
    """

    task: str
    direction: str | None
    images: int
    queries: int
    chance: float | None


@dataclass(frozen=True)
class SetDifference:
    """The difference on one set in one direction.

    Attributes:
        counted: the set.
        found: the difference.
        images: interval over test images, the trained models given.
        p: corrected for the number of rows; None for too few seeds.
        counts: order and seed -> who answered what; none where the number is no share of queries.
    """

    counted: CountedSet
    found: PairedDifference
    images: Interval
    p: float | None
    counts: Mapping[Cell, PairedCounts]


@dataclass(frozen=True)
class OverSets:
    """The same difference, where the sets are draws as well.

    Attributes:
        sets: how many.
        interval: of it.
        p: of it.
        df: degrees of freedom.
    """

    sets: int
    interval: Interval
    p: float
    df: int


@dataclass(frozen=True)
class Versus:
    """A whole comparison.

    Attributes:
        group: suite, version, backbone, weights.
        a: label.
        b: label.
        wanted: how.
        found: the difference.
        images: its interval over test images, the trained models given.
        interval: its interval over test images and training; None for too few seeds.
        counted: what it is a mean over, set by set and direction by direction.
        sets: every set alone; none unless asked for.
        over_sets: None unless asked for.
        left_out: runs that were not compared, and why.
        remarks: what else must be known of the records.
    """

    group: Group
    a: str
    b: str
    wanted: Choices
    found: PairedDifference
    images: Interval
    interval: Interval | None
    counted: tuple[CountedSet, ...]
    sets: tuple[SetDifference, ...]
    over_sets: OverSets | None
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]


def mcnemars(one: SetDifference, mid_p: bool) -> list[float]:
    """McNemar's p-value of every pair of runs, in the order of the grid."""
    return [mcnemar(counts, mid_p) for counts in one.counts.values()]


def newcombes(one: SetDifference, alpha: float) -> list[Interval]:
    """Newcombe's interval of every pair of runs, in the order of the grid."""
    return [newcombe(counts, alpha) for counts in one.counts.values()]
