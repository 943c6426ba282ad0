"""Two models on the same queries: the counts of who is right, and what follows from them alone.

The queries are taken as independent. The captions of one image are not: for these the intervals of
`stats.resampling` are the honest ones, and what stands here is too sure of itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .distributions import normal_quantile


@dataclass(frozen=True)
class PairedCounts:
    """How many queries both, one alone, or none of two models answered.

    Attributes:
        both, only_a, only_b, neither: counts.
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def n(self) -> int:
        """All queries."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """The share that A answered minus that of B."""
        return (self.only_a - self.only_b) / self.n


def paired_counts(right_a_Q: NDArray[np.bool_], right_b_Q: NDArray[np.bool_]) -> PairedCounts:
    """Counts from what each query got from either model, in the same order."""
    both = int((right_a_Q & right_b_Q).sum())
    a, b = int(right_a_Q.sum()), int(right_b_Q.sum())
    return PairedCounts(both, a - both, b - both, len(right_a_Q) - a - b + both)


def mcnemar(counts: PairedCounts, mid: bool = False) -> float:
    """The exact test of McNemar (1947): the p-value of both sides, from the discordant counts.

    Under the hypothesis that both models are equally good, the queries that only one of them
    answered are tosses of a fair coin. The sum is over whole numbers, and rounded once.

    Args:
        counts: at least one query.
        mid: the mid-p variant, which is less careful (Fagerland, Lydersen and Laake 2013, "The
            McNemar test for binary matched-pairs data").
    """
    n, fewer = counts.only_a + counts.only_b, min(counts.only_a, counts.only_b)
    term = total = 1
    for i in range(fewer):
        term = term * (n - i) // (i + 1)
        total += term
    ways = 1 << n
    if 2 * fewer == n:
        return (2 * ways - term) / (2 * ways) if mid else 1.0
    return (2 * total - term if mid else 2 * total) / ways


def newcombe(counts: PairedCounts, alpha: float = 0.05) -> tuple[float, float]:
    """Newcombe's interval for the difference of two paired shares.

    Method 10 of Newcombe (1998), "Improved confidence intervals for the difference between binomial
    proportions based on paired data": Wilson's limits of both, joined with their correlation.

    Args:
        counts: at least one query.
        alpha: one minus the confidence.

    Returns:
        Lower and upper limit, in [-1, 1].
    """
    n = counts.n
    right_a, right_b = counts.both + counts.only_a, counts.both + counts.only_b
    below_a, above_a = _wilson(right_a, n, alpha)
    below_b, above_b = _wilson(right_b, n, alpha)
    phi = _correlation(counts)
    # Sums in an order that does not change when the models change places.
    down = math.sqrt(below_a**2 + above_b**2 - 2 * phi * (below_a * above_b))
    up = math.sqrt(above_a**2 + below_b**2 - 2 * phi * (above_a * below_b))
    return max(-1.0, counts.difference - down), min(1.0, counts.difference + up)


def _wilson(right: int, n: int, alpha: float) -> tuple[float, float]:
    """How far Wilson's limits lie below and above a share."""
    z, p = normal_quantile(alpha), right / n
    centre = (2 * right + z * z) / (2 * (n + z * z))
    half = z * math.sqrt(z * z + 4 * right * (1 - p)) / (2 * (n + z * z))
    return max(0.0, p - centre + half), max(0.0, centre + half - p)


def _correlation(counts: PairedCounts) -> float:
    """Phi with Newcombe's correction for continuity; 0 where a margin is empty."""
    product = counts.both * counts.neither - counts.only_a * counts.only_b
    a, b = counts.both + counts.only_a, counts.both + counts.only_b
    margins = (a * (counts.n - a)) * (b * (counts.n - b))
    if not margins:
        return 0.0
    corrected = product if product < 0 else max(0.0, product - counts.n / 2)
    return corrected / math.sqrt(margins)
