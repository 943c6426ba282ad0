"""What a suite can tell: the smallest true difference that its test finds four times of five."""

import math
from collections.abc import Sequence

from .distributions import sum_quantile
from .paired import PairedDifference

POWER = 0.8
_STEP = 0.5  # of the trapezoid over log u; what it is wrong by is exp(-pi**2 / step) of the whole


def smallest_difference(
    training: float, known: float, df: float, alpha: float = 0.05, power: float = POWER
) -> float:
    """The true difference that one comparison, without correction, finds with this power.

    Args:
        training: variance of the difference from the training seeds.
        known: variance from the test images.
        df: degrees of freedom that `training` is estimated with.
        alpha: of the test.
        power: the probability to find it.
    """
    sd = math.sqrt(training + known)
    if sd == 0:
        return 0.0
    limits = _limits(training, known, df, alpha)

    def found(true: float) -> float:
        """The chance to find a difference: over what the seeds' spread may be estimated as."""
        far = ((limit, weight) for limit, weight in limits)
        return math.fsum(
            weight * (_above(limit - true, sd) + _above(limit + true, sd)) for limit, weight in far
        )

    low, high = 0.0, sd
    while found(high) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) < power else (low, middle)
    return high


def _limits(training: float, known: float, df: float, alpha: float) -> list[tuple[float, float]]:
    """How large a difference must be, for what chi-squared spread of the seeds; with weights."""
    if not training:
        return [(sum_quantile(alpha, 0.0, df, known), 1.0)]
    half, step = df / 2, min(_STEP, 0.5 / math.sqrt(df))
    front = half * math.log(half) - math.lgamma(half)
    limits = []
    for place in range(int(-14 / half / step), int(3 / step) + 1):
        y = place * step
        weight = step * math.exp(front + half * (y - math.exp(y)))
        if weight > 1e-7:
            limits.append((sum_quantile(alpha, training * math.exp(y), df, known), weight))
    return limits


def _above(x: float, sd: float) -> float:
    return math.erfc(x / sd / math.sqrt(2)) / 2


def pooled(pairs: Sequence[PairedDifference], seeds: int) -> tuple[float, float, float] | None:
    """Mean variances of the differences of a section, for so many seeds; None without any.

    Returns:
        That from training, of that many seeds; that from test images, see
        `PairedDifference.known`; and the fewest degrees of freedom of the first.
    """
    sure = [pair for pair in pairs if pair.sure]
    if not sure:
        return None
    training = math.fsum(pair.training * len(pair.grid.seeds) / seeds for pair in sure)
    known = math.fsum(pair.known for pair in sure) / len(sure)
    return training / len(sure), known, min((p.df for p in sure if p.training), default=seeds - 1)
