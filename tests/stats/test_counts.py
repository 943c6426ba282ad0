"""McNemar's test and Newcombe's interval: published numbers, scipy, symmetry."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from benchmark.stats.counts import PairedCounts, mcnemar, newcombe, paired_counts


def test_newcombes_own_example() -> None:
    """Newcombe (1998), Table III, method 10."""
    assert newcombe(PairedCounts(36, 12, 2, 0)) == pytest.approx((0.0569, 0.3404), abs=6e-5)


def wilson(p: float, n: int, z: float) -> tuple[float, float]:
    """The shares that a test of p would not reject: where (p - x)**2 = z**2 x (1 - x) / n."""
    x = np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p])
    return float(min(x.real)), float(max(x.real))


def test_newcombes_interval_by_its_definition() -> None:
    generator = np.random.default_rng(5)
    for both, a, b, none in generator.integers(1, 50, (100, 4)).tolist():
        counts = PairedCounts(both, a, b, none)
        n, (p, q) = counts.n, ((both + a) / counts.n, (both + b) / counts.n)
        (l1, u1), (l2, u2) = wilson(p, n, 1.959964), wilson(q, n, 1.959964)
        top = both * none - a * b
        top = top - n / 2 if top > n / 2 else min(top, 0)
        phi = top / np.sqrt(float((both + a) * (b + none) * (both + b) * (a + none)))
        down = np.sqrt((p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2)
        up = np.sqrt((q - l2) ** 2 - 2 * phi * (q - l2) * (u1 - p) + (u1 - p) ** 2)
        assert newcombe(counts) == pytest.approx((p - q - down, p - q + up), abs=1e-7)


def test_mcnemar_is_the_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    for a, b in itertools.product((0, 1, 2, 9, 40), repeat=2):
        exact = stats.binomtest(a, a + b).pvalue if a + b else 1.0
        assert mcnemar(PairedCounts(5, a, b, 5)) == pytest.approx(exact, rel=1e-12)


def test_mcnemar_by_hand() -> None:
    exact = Fraction(2 * (comb(14, 0) + comb(14, 1) + comb(14, 2)), 2**14)
    assert mcnemar(PairedCounts(36, 12, 2, 0)) == float(exact)
    mid = exact - Fraction(comb(14, 2), 2**14)  # less the probability of what was seen
    assert mcnemar(PairedCounts(36, 12, 2, 0), mid=True) == float(mid)
    assert mcnemar(PairedCounts(1, 3, 3, 1), mid=True) == float(1 - Fraction(comb(6, 3), 2**7))
    assert mcnemar(PairedCounts(9, 0, 0, 9)) == 1.0
    assert mcnemar(PairedCounts(0, 30_000, 29_000, 0)) < 1e-4  # of numbers beyond a float


def test_exchanging_the_models_changes_signs_and_no_digit() -> None:
    generator = np.random.default_rng(2)
    for both, a, b, none in generator.integers(0, 60, (300, 4)).tolist():
        one, other = PairedCounts(both, a, b, none + 1), PairedCounts(both, b, a, none + 1)
        assert mcnemar(one) == mcnemar(other)
        assert one.difference == -other.difference
        low, high = newcombe(one)
        assert newcombe(other) == (-high, -low)
        assert -1 <= low <= one.difference <= high <= 1


def test_counts_of_answers() -> None:
    a = np.array([1, 1, 1, 0, 0, 0, 0], np.bool_)
    b = np.array([1, 1, 0, 1, 0, 0, 0], np.bool_)
    assert paired_counts(a, b) == PairedCounts(2, 1, 1, 3)
    assert paired_counts(a, b).n == 7
