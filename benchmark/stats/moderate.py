"""What many methods together say of how much training seeds matter.

Three seeds say little of a variance: with 2 degrees of freedom it is under a tenth of the truth in
one case of ten, and a test that must allow for this hardly finds anything once it is corrected for
the hundreds of pairs of a board. But all methods of a board say it together. Empirical Bayes as in
Smyth (2004), "Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments", where three replicates of thousands of genes are the same problem: the
variances of all pairs are taken as draws of a scaled inverse chi-squared distribution, whose scale
and degrees of freedom are fitted to them. Where pairs vary no more than chance makes them, they
share one variance; where they do, each keeps more of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .paired import LEAST_SEEDS, PairedDifference

LEAST_METHODS = 5
"""With fewer the spread of variances can't be told from chance, and each pair stands for itself."""


@dataclass(frozen=True)
class Prior:
    """What the variances of a board are draws of.

    Attributes:
        variance: of the difference of two methods, from one seed each.
        df: degrees of freedom, infinite where the pairs differ by chance alone.
        most: degrees of freedom that all methods have together, which no pair can exceed.
    """

    variance: float
    df: float
    most: int


def moderated(pairs: Sequence[PairedDifference], n_methods: int) -> list[PairedDifference]:
    """The same differences, where the seeds' variance is that of all pairs and their own.

    A pair's own variance counts where it is the larger one: no pair is judged by less spread than
    it showed. Pairs without any (methods that seeds do not change) keep that, and pairs of too few
    seeds stay as they are.

    Args:
        pairs: of one board, and one number.
        n_methods: that they are pairs of.
    """
    spreads = [(pair.training * len(pair.grid.seeds), len(pair.grid.seeds)) for pair in pairs]
    prior = fit_prior(spreads, n_methods)
    return list(pairs) if prior is None else [moderate(pair, prior) for pair in pairs]


def fit_prior(spreads: Sequence[tuple[float, int]], n_methods: int) -> Prior | None:
    """Fit the distribution of variances by the moments of their logarithms.

    Args:
        spreads: of every pair, the variance over seeds of its difference, and how many seeds.
        n_methods: that they are pairs of.

    Returns:
        None for fewer than `LEAST_METHODS`, or where no seed makes a difference.
    """
    noisy = [(spread, n) for spread, n in spreads if n >= LEAST_SEEDS and spread > 0]
    if n_methods < LEAST_METHODS or len(noisy) < LEAST_METHODS:
        return None
    per_seed = [spread for spread, _ in noisy]
    halves = [(n - 1) / 2 for _, n in noisy]
    logs = [
        math.log(s) - digamma(half) + math.log(half)
        for s, half in zip(per_seed, halves, strict=True)
    ]
    mean, n = math.fsum(logs) / len(logs), len(logs)
    beyond = math.fsum((log - mean) ** 2 for log in logs) / (n - 1)
    beyond -= math.fsum(map(trigamma, halves)) / n
    seeds = max(n for _, n in noisy)
    most = (n_methods - 1) * (seeds - 1)
    if beyond <= 0:
        return Prior(math.fsum(per_seed) / n, math.inf, most)
    half = trigamma_inverse(beyond)
    return Prior(math.exp(mean + digamma(half) - math.log(half)), 2 * half, most)


def moderate(pair: PairedDifference, prior: Prior) -> PairedDifference:
    """One difference under a prior, see `moderated`."""
    if not pair.sure or pair.training == 0:
        return pair
    seeds = len(pair.grid.seeds)
    shared = prior.variance / seeds
    if not math.isinf(prior.df):
        own = (seeds - 1) * pair.training
        shared = (prior.df * shared + own) / (prior.df + seeds - 1)
    df = min(prior.df + seeds - 1, prior.most)
    return replace(pair, training=max(shared, pair.training), df=max(df, seeds - 1))


def digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function, for x > 0 (DLMF 5.5.2 and 5.11.2)."""
    below = 0.0
    while x < 10:
        below += 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    return math.log(x) - 0.5 / x - series - below


def trigamma(x: float) -> float:
    """The derivative of `digamma`, for x > 0 (DLMF 5.15.5 and 5.15.8)."""
    below = 0.0
    while x < 10:
        below += 1 / (x * x)
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * 5 / 66))))
    return 1 / x + 0.5 * y + series / x + below


def trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value > 0, by bisection: it falls."""
    low, high = 1e-8, 1.0
    while trigamma(high) > value:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return high
