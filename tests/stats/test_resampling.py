"""The cluster bootstrap: draws, intervals, p-values."""

import hashlib

import numpy as np
import pytest

from benchmark.stats.resampling import (
    draws,
    percentile_interval,
    percentile_p,
    resampled_ratios,
)


def test_every_resample_has_as_many_images_as_there_are() -> None:
    drawn = np.concatenate(list(draws("dots", 37, 500)))
    assert drawn.shape == (500, 37)
    assert (drawn.sum(axis=1) == 37).all()
    assert drawn.var() == pytest.approx(1 - 1 / 37, rel=0.05)  # multinomial
    pieces = list(draws("x", 2**21, 5))
    assert [len(piece) for piece in pieces] == [2, 2, 1]


def test_draws_are_those_of_their_key() -> None:
    one, again, other = (np.concatenate(list(draws(k, 9, 50))) for k in ("a", "a", "b"))
    assert (one == again).all()
    assert (one != other).any()
    digest = hashlib.sha256(one.astype("<i8").tobytes()).hexdigest()
    assert digest == DRAWS  # on every machine, and under every numpy of its kind


DRAWS = "0c61359e529ca71d7da022cfaef4c2d65ebc80c8a8ea948bc5b9f07936a211ed"


def test_ratios_are_of_the_drawn_images() -> None:
    generator = np.random.default_rng(1)
    hits_N = generator.integers(0, 6, 20).astype(float)
    size_N = np.full(20, 5.0)
    found = resampled_ratios("a", hits_N[:, None], size_N[:, None], 30)
    for count_N, ratio in zip(np.concatenate(list(draws("a", 20, 30))), found[:, 0], strict=True):
        assert ratio == (count_N * hits_N).sum() / (count_N * size_N).sum()


def test_interval_and_p_are_antisymmetric() -> None:
    value_B = np.random.default_rng(2).normal(0.4, 1, 999)
    low, high = percentile_interval(value_B, 0.05)
    assert percentile_interval(-value_B, 0.05) == (-high, -low)
    assert ((value_B < low).sum(), (value_B > high).sum()) == (24, 24)
    assert percentile_p(value_B) == percentile_p(-value_B)


def test_nothing_but_equal_answers_has_p_1() -> None:
    assert percentile_p(np.zeros(100)) == 1.0
    assert percentile_interval(np.zeros(100), 0.05) == (0.0, 0.0)
    assert percentile_p(np.ones(99)) == 0.02
    assert percentile_interval(np.array([3.0]), 0.05) == (3.0, 3.0)
