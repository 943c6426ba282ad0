"""The variance that all methods of a board share, and what each keeps of its own."""

import math

import numpy as np
import pytest

from benchmark.stats.moderate import (
    Prior,
    digamma,
    fit_prior,
    moderate,
    moderated,
    trigamma,
    trigamma_inverse,
)
from benchmark.stats.paired import PairedDifference, RunGrid


def pair(training: float, seeds: int = 3) -> PairedDifference:
    grid = RunGrid(("forward",), tuple(range(seeds)), ())
    return PairedDifference(grid, 0.5, 0.4, 0.1, 1e-4, training, 1e-4, seeds - 1)


def test_known_values() -> None:
    """DLMF 5.4.12 to 5.4.16, and 5.15.3."""
    assert digamma(1.0) == pytest.approx(-0.57721566490153286, abs=1e-13)
    assert digamma(0.5) == pytest.approx(-0.57721566490153286 - 2 * math.log(2), abs=1e-13)
    assert trigamma(1.0) == pytest.approx(math.pi**2 / 6, rel=1e-14)
    assert trigamma(0.5) == pytest.approx(math.pi**2 / 2, rel=1e-14)
    for x in (0.01, 0.7, 3.0, 250.0):
        assert digamma(x + 1) == pytest.approx(digamma(x) + 1 / x, abs=1e-12)
        assert trigamma_inverse(trigamma(x)) == pytest.approx(x, rel=1e-10)


@pytest.mark.parametrize("df", [4.0, 20.0])
def test_the_fit_finds_what_the_variances_were_drawn_from(df: float) -> None:
    generator = np.random.default_rng(1)
    true = df * 2.0 / generator.chisquare(df, 20_000)  # scale 2
    seen = true * generator.chisquare(2, 20_000) / 2
    prior = fit_prior([(float(one), 3) for one in seen], 500)
    assert prior is not None
    assert prior.variance == pytest.approx(2.0, rel=0.1)
    assert prior.df == pytest.approx(df, rel=0.35)
    assert prior.most == 998


def test_equal_variances_are_one() -> None:
    seen = 3.0 * np.random.default_rng(2).chisquare(2, 45) / 2
    prior = fit_prior([(float(one), 3) for one in seen], 10)
    assert prior is not None
    assert prior.df > 20
    if math.isinf(prior.df):
        assert prior.variance == pytest.approx(seen.mean())
    one = moderate(pair(1e-6), Prior(3e-4, math.inf, 18))
    assert one.training == pytest.approx(1e-4)
    assert one.df == 18


def test_what_a_pair_keeps() -> None:
    prior = Prior(3e-4, 4.0, 18)
    small = moderate(pair(1e-5), prior)
    assert small.training == pytest.approx((4 * 1e-4 + 2 * 1e-5) / 6)
    assert small.df == 6
    large = moderate(pair(9e-4), prior)
    assert large.training == 9e-4  # never less than it showed
    assert moderate(pair(0.0), prior) == pair(0.0)  # seeds do not change these
    assert moderate(pair(1e-5, seeds=2), prior) == pair(1e-5, seeds=2)


def test_few_methods_stand_for_themselves() -> None:
    few = [pair(1e-5), pair(2e-5), pair(3e-4)]
    assert moderated(few, 3) == few
    assert fit_prior([(0.0, 3)] * 10, 5) is None
