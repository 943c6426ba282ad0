"""Rank intervals: between which ranks a method lies, as far as its section can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from .moderate import fit_prior, moderate, moderated
from .multiple import CORRECTIONS, Correction
from .paired import Field, PairedDifference


@dataclass(frozen=True)
class Tier:
    """A method's rank.

    Attributes:
        best, worst: 1 + the number of methods that are significantly better, and the number of all
            methods minus those that are significantly worse.
    """

    best: int
    worst: int

    def __str__(self) -> str:
        """`1`, `2-5`."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


@dataclass(frozen=True)
class Ranking:
    """What all comparisons of a section say.

    Attributes:
        tiers: label -> rank interval.
        pairs: (a, b), in the order given -> their difference.
        adjusted: (a, b) -> p-value, corrected for the number of pairs; None for too few seeds.
    """

    tiers: Mapping[str, Tier]
    pairs: Mapping[tuple[str, str], PairedDifference]
    adjusted: Mapping[tuple[str, str], float | None]

    def apart(self, a: str, b: str, alpha: float) -> bool:
        """Whether two methods are told apart."""
        p = self.adjusted[(a, b) if (a, b) in self.adjusted else (b, a)]
        return p is not None and p <= alpha


def rank_by_tests(
    field: Field,
    labels: Sequence[str],
    alpha: float = 0.05,
    sign: int = 1,
    correction: Correction = "holm",
) -> Ranking:
    """Compare all methods of a section with each other.

    Args:
        field: their numbers.
        labels: those that are ranked. Two without a common run count as not told apart.
        alpha: of all tests together, see `multiple`.
        sign: 1 where more is better, else -1.
        correction: of the p-values.
    """
    every = list(combinations(labels, 2))
    alone = {pair: field.difference(*pair) for pair in every if field.grid(*pair) is not None}
    pairs = dict(zip(alone, moderated(list(alone.values()), len(labels)), strict=True))
    known = {pair: p for pair, one in pairs.items() if (p := one.p) is not None}
    corrected = dict(zip(known, CORRECTIONS[correction](list(known.values())), strict=True))
    better, worse = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    for (a, b), p in corrected.items():
        if p <= alpha:
            ahead = sign * pairs[a, b].difference > 0
            above, below = (a, b) if ahead else (b, a)
            better[below] += 1
            worse[above] += 1
    tiers = {label: Tier(1 + better[label], len(labels) - worse[label]) for label in labels}
    return Ranking(tiers, pairs, {pair: corrected.get(pair) for pair in every})


def stands_out(field: Field, label: str, others: Sequence[str], alpha: float = 0.05) -> bool:
    """Whether a method is told apart from each of some others, by Holm over these comparisons.

    Args:
        field: their numbers.
        label: the method.
        others: the methods; none of them leaves nothing to stand out from.
        alpha: of all these tests together.
    """
    if not others or any(field.grid(label, other) is None for other in others):
        return False
    labels = [label, *others]
    prior = fit_prior(field.spreads(labels), len(labels))
    pairs = [field.difference(label, other) for other in others]
    p = [one.p for one in (pairs if prior is None else [moderate(one, prior) for one in pairs])]
    known = [one for one in p if one is not None]
    return len(known) == len(p) and max(CORRECTIONS["holm"](known)) <= alpha
