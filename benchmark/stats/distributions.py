"""Tails and quantiles of the normal, of Student's t, and of the sum of both; no scipy.

All tails here are of both sides: the probability of a value at least as far from 0.
"""

import math
from collections.abc import Callable

_SMALLEST = 1e-300  # keeps Lentz's method from dividing by 0
_STEP = 0.25  # of the trapezoid over log u; its error falls as exp(-pi**2 / step)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    By its continued fraction, DLMF 8.17.22, evaluated by the modified method of Lentz.

    Args:
        a: above 0.
        b: above 0.
        x: in [0, 1].
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, the other side is fast
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _apart(1 + term * d)
            c = _apart(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value


def _apart(x: float) -> float:
    return x if abs(x) > _SMALLEST else _SMALLEST


def normal_tail(z: float) -> float:
    """P(|Z| >= z) of a standard normal."""
    return math.erfc(z / math.sqrt(2))


def student_tail(t: float, df: float) -> float:
    """P(|T| >= t) of Student's t with df degrees of freedom."""
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


def normal_quantile(alpha: float) -> float:
    """The z with P(|Z| >= z) = alpha."""
    return _where(normal_tail, alpha)


def student_quantile(alpha: float, df: float) -> float:
    """The t with P(|T| >= t) = alpha: 4.303 for alpha 0.05 and 2 degrees of freedom."""
    return _where(lambda t: student_tail(t, df), alpha)


def sum_tail(d: float, estimated: float, df: float, known: float) -> float:
    """How likely a difference at least as large as d would be by chance, from two variances.

    The distribution of a difference whose variance is the sum of one that is estimated with few
    degrees of freedom (training seeds) and one that is as good as known (test images): that of
    sqrt(estimated) T + sqrt(known) Z, the solution of Behrens and Fisher (Fisher 1935, "The
    fiducial argument in statistical inference"). Unlike Welch's and Satterthwaite's degrees of
    freedom, which three seeds can raise by mere luck, it does not become too bold for small p: it
    errs on the careful side, most where both variances are alike: with three seeds, alpha = 5 % is
    then 2.4 %.

    Args:
        d: at least 0.
        estimated: variance of the difference, at least 0.
        df: its degrees of freedom, at least 1; of no account where it is 0.
        known: the other variance, at least 0.

    Returns:
        A p-value in [0, 1]; 1 for d = 0, and 0 for a d above 0 without any variance.
    """
    if d == 0:
        return 1.0
    if estimated == 0:
        return normal_tail(d / math.sqrt(known)) if known else 0.0
    if known == 0:
        return student_tail(d / math.sqrt(estimated), df)
    # T = Z / sqrt(u), u ~ chi2(df) / df: given u all is normal. Trapezoids over log u.
    half = df / 2
    step = min(_STEP, 0.5 / math.sqrt(df))
    front = half * math.log(half) - math.lgamma(half)
    terms = []
    for place in range(int(-(3 + 40 / half) / step), int(6 / step) + 1):
        y = place * step
        exponent = front + half * (y - math.exp(y))
        if exponent > -745:
            terms.append(
                math.exp(exponent) * normal_tail(d / math.sqrt(estimated * math.exp(-y) + known))
            )
    return min(1.0, step * math.fsum(terms))


def sum_quantile(alpha: float, estimated: float, df: float, known: float) -> float:
    """Half the width of the interval of such a difference: the d with `sum_tail` = alpha."""
    if estimated == 0 and known == 0:
        return 0.0
    return _where(lambda d: sum_tail(d, estimated, df, known), alpha)


def _where(tail: Callable[[float], float], alpha: float) -> float:
    """Where a falling tail is alpha, by false position (Illinois) on its logarithm."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    low, high = 0.0, 1.0
    while (reached := tail(high)) > alpha:
        low, high = high, 2 * high
    above, below = _log_ratio(tail(low), alpha), _log_ratio(reached, alpha)
    kept = 0
    for _ in range(200):
        if high - low <= 1e-14 * high or not below:
            break
        place = (low * below - high * above) / (below - above)
        if not low < place < high:
            place = (low + high) / 2
        here = _log_ratio(tail(place), alpha)
        if here > 0:
            low, above, below, kept = place, here, below / 2 if kept == 1 else below, 1
        else:
            high, below, above, kept = place, here, above / 2 if kept == -1 else above, -1
    return high


def _log_ratio(tail: float, alpha: float) -> float:
    return math.log(max(tail, _SMALLEST) / alpha)
