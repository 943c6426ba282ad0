"""Tails and quantiles against scipy, where it is installed, and against printed tables."""

import math
import random

import pytest

from benchmark.stats.distributions import (
    incomplete_beta,
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
    sum_quantile,
    sum_tail,
)


@pytest.mark.parametrize(
    ("df", "alpha", "t"),
    [(1, 0.05, 12.706), (2, 0.05, 4.303), (4, 0.05, 2.776), (2, 0.01, 9.925), (30, 0.05, 2.042)],
)
def test_quantiles_of_printed_tables(df: int, alpha: float, t: float) -> None:
    """Fisher and Yates (1963), Statistical Tables, Table III."""
    assert student_quantile(alpha, df) == pytest.approx(t, abs=5e-4)


def test_quantiles_of_the_normal() -> None:
    assert normal_quantile(0.05) == pytest.approx(1.959963984540054, abs=1e-12)
    assert normal_quantile(0.2) == pytest.approx(1.2815515655446004, abs=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 4.0, 30.0, 1e4])
def test_two_degrees_of_freedom_have_a_closed_form(t: float) -> None:
    exact = 2 / (math.sqrt(t * t + 2) * (math.sqrt(t * t + 2) + t))  # 1 - t / sqrt(t**2 + 2)
    assert student_tail(t, 2) == pytest.approx(exact, rel=1e-12)
    assert student_tail(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-12)


def test_the_incomplete_beta_is_scipys() -> None:
    special = pytest.importorskip("scipy.special")
    draw = random.Random(1)
    for _ in range(300):
        a, b, x = 10 ** draw.uniform(-1, 3), 10 ** draw.uniform(-1, 3), draw.random()
        assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), abs=1e-11)
    assert (incomplete_beta(2, 3, 0), incomplete_beta(2, 3, 1)) == (0, 1)


def test_tails_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for df in (1, 2, 3, 4, 7, 30, 500):
        for t in (0.1, 1, 2.5, 8, 100):
            assert student_tail(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-9)
            alpha = 2 * float(stats.t.sf(t, df))
            if 1e-12 < alpha < 0.999:
                assert student_quantile(alpha, df) == pytest.approx(t, rel=1e-8)


@pytest.mark.parametrize("df", [1, 2, 4, 9, 60])
def test_a_sum_with_one_part_is_that_part(df: int) -> None:
    for d in (0.5, 2.0, 9.0):
        assert sum_tail(d, 4.0, df, 0.0) == pytest.approx(student_tail(d / 2, df), rel=1e-12)
        assert sum_tail(d, 4.0, df, 1e-15) == pytest.approx(student_tail(d / 2, df), rel=1e-9)
        assert sum_tail(d, 0.0, df, 4.0) == normal_tail(d / 2)
        assert sum_tail(d, 1e-15, df, 4.0) == pytest.approx(normal_tail(d / 2), rel=1e-3)


def test_a_sum_against_numbers_drawn_from_it() -> None:
    import numpy as np

    generator = np.random.default_rng(1)
    t, z = generator.standard_t(2, 400_000), generator.standard_normal(400_000)
    for estimated, known, d in ((0.5, 0.5, 2.0), (0.1, 0.9, 3.0), (0.9, 0.1, 1.0)):
        share = float((abs(estimated**0.5 * t + known**0.5 * z) > d).mean())
        assert sum_tail(d, estimated, 2, known) == pytest.approx(share, abs=4e-3)


def test_the_quantile_is_where_the_tail_is() -> None:
    for estimated, known in ((1.0, 0.0), (0.0, 1.0), (0.3, 0.7), (1e-6, 1e-5)):
        half = sum_quantile(0.05, estimated, 2, known)
        assert sum_tail(half, estimated, 2, known) == pytest.approx(0.05, rel=1e-9)
    assert sum_quantile(0.05, 0.0, 2, 0.0) == 0.0
    assert sum_tail(0.0, 0.0, 2, 0.0) == 1.0
    assert sum_tail(0.1, 0.0, 2, 0.0) == 0.0
    with pytest.raises(ValueError, match="alpha"):
        normal_quantile(0.0)
