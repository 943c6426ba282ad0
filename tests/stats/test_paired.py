"""The comparison of two methods: grids, variances, symmetry, tiers, power, cost."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from drawn_runs import Spread, draw_images, draw_method

from benchmark.errors import BenchError
from benchmark.stats.answered import AnsweredRun, Measured, measure
from benchmark.stats.distributions import student_quantile
from benchmark.stats.paired import Cell, Field, common_grid
from benchmark.stats.power import pooled, smallest_difference
from benchmark.stats.summaries import Question, terms_of
from benchmark.stats.tiers import rank_by_tests, stands_out

SPREAD = Spread(method=0.3, seed=0.2)
Numbers = dict[str, dict[Cell, Measured]]


def number(run: AnsweredRun) -> Measured:
    return measure(run, terms_of(run, Question()))


def drawn(skills: dict[str, float], spread: Spread = SPREAD, seed: int = 1, n: int = 60) -> Numbers:
    generator = np.random.default_rng(seed)
    image_SN = draw_images(generator, spread, 3, n)
    return {
        label: {
            (run.order, run.seed): number(run)
            for run in draw_method(generator, label, image_SN, spread, skill=skill)
        }
        for label, skill in skills.items()
    }


def test_the_grid_is_the_largest_even_one() -> None:
    f, r = "forward", "reverse"
    whole = {(order, seed) for order in (f, r) for seed in (1, 2, 3)}
    grid = common_grid(whole, whole | {(f, 4), ("ii", 1)})
    assert grid is not None
    assert (grid.orders, grid.seeds) == ((f, r), (1, 2, 3))
    assert grid.left_out == ((f, 4), ("ii", 1))
    assert grid.cells[:3] == [(f, 1), (r, 1), (f, 2)]
    uneven = common_grid(whole, {(f, 1), (f, 2), (f, 3), (r, 2)})
    assert uneven is not None  # three runs of one order, rather than one seed in both
    assert (uneven.orders, uneven.seeds) == ((f,), (1, 2, 3))
    assert set(uneven.left_out) == {(r, 1), (r, 2), (r, 3)}
    assert common_grid(whole, {("ii", 1), (f, 9)}) is None


def test_a_method_against_itself() -> None:
    numbers = drawn({"a": 0.0})
    numbers["b"] = {
        cell: replace(one, run=replace(one.run, label="b")) for cell, one in numbers["a"].items()
    }
    same = Field(numbers).difference("a", "b")
    assert (same.difference, same.images, same.training, same.p) == (0.0, 0.0, 0.0, 1.0)
    assert same.interval(0.05) == (0.0, 0.0)


def test_exchanging_methods_changes_signs_and_no_digit() -> None:
    for seed in range(20):
        numbers = drawn({"a": 0.1, "b": 0.0}, seed=seed, n=31)
        one, other = Field(numbers).difference("a", "b"), Field(numbers).difference("b", "a")
        back = dict(reversed(numbers.items()))
        assert Field(back).difference("a", "b") == one
        assert (one.a, one.b, one.difference) == (other.b, other.a, -other.difference)
        assert (one.images, one.training, one.known) == (other.images, other.training, other.known)
        assert one.p == other.p
        low, high = one.interval(0.05) or (0, 0)
        assert other.interval(0.05) == (-high, -low)


def test_variances_by_hand() -> None:
    """Image by image and seed by seed, without the shared matrix."""
    numbers = drawn({"a": 0.2, "b": 0.0})
    found = Field(numbers).difference("a", "b")
    cells = list(numbers["a"])
    apart = {c: numbers["a"][c].value - numbers["b"][c].value for c in cells}
    per_seed = {
        s: np.mean([v for (_, seed), v in apart.items() if seed == s]) for s in (42, 43, 44)
    }
    assert found.difference == pytest.approx(np.mean(list(apart.values())), abs=1e-15)
    assert found.training == pytest.approx(np.var(list(per_seed.values()), ddof=1) / 3, rel=1e-9)
    deviations = {
        c: np.concatenate([numbers["a"][c].parts[t] - numbers["b"][c].parts[t] for t in
                           sorted(numbers["a"][c].parts)])
        for c in cells
    }  # fmt: skip
    mean_N = np.mean(list(deviations.values()), axis=0)
    assert found.images == pytest.approx((mean_N**2).sum(), rel=1e-9)
    by_seed = [np.mean([d for (_, s), d in deviations.items() if s == one], 0) for one in per_seed]
    shared = sum(((d - mean_N) ** 2).sum() for d in by_seed) / (3 * 2)
    assert found.known == pytest.approx(found.images - shared, rel=1e-9)
    assert found.df == 2
    assert found.error == pytest.approx(math.sqrt(found.training + found.known))


def test_runs_of_no_chance_have_the_images_alone() -> None:
    """A method whose seeds all give one model: no training variance, and a verdict all the same."""
    numbers = drawn({"a": 0.5, "b": 0.0})
    for cells in numbers.values():
        first = cells["forward", 42]
        cells.update({cell: replace(first, run=one.run) for cell, one in cells.items()})
    found = Field(numbers).difference("a", "b")
    assert found.training == 0.0
    assert found.known == found.images > 0
    assert found.p is not None
    assert found.p < 1e-4


def test_two_seeds_give_no_verdict() -> None:
    numbers = drawn({"a": 3.0, "b": 0.0})
    for cells in numbers.values():
        del cells["forward", 44], cells["reverse", 44]
    found = Field(numbers).difference("a", "b")
    assert (found.sure, found.p, found.interval(0.05)) == (False, None, None)
    ranking = rank_by_tests(Field(numbers), ["a", "b"])
    assert [str(tier) for tier in ranking.tiers.values()] == ["1-2", "1-2"]


def test_other_images_are_refused() -> None:
    numbers = drawn({"a": 0.0, "b": 0.0})
    one = numbers["b"]["forward", 42]
    other = replace(one, run=replace(one.run, data={**one.run.data, "set1": "other"}))
    numbers["b"]["forward", 42] = other
    with pytest.raises(BenchError, match="same test data of 'set1'"):
        Field(numbers)
    numbers["b"]["forward", 42] = replace(one, terms=one.terms[1:])
    with pytest.raises(BenchError, match="same sets, learned in the same order"):
        Field(numbers).difference("a", "b")


def test_rank_intervals() -> None:
    quiet = Spread(model=0.2)
    field = Field(drawn({"top": 4.0, "mid1": 1.0, "mid2": 1.0, "low": -4.0}, quiet, n=200))
    ranking = rank_by_tests(field, ["top", "mid1", "mid2", "low"])
    assert {label: str(tier) for label, tier in ranking.tiers.items()} == {
        "top": "1", "mid1": "2-3", "mid2": "2-3", "low": "4",
    }  # fmt: skip
    assert ranking.apart("top", "low", 0.05)
    assert not ranking.apart("mid2", "mid1", 0.05)
    less = rank_by_tests(field, ["top", "mid1", "mid2", "low"], sign=-1)
    assert str(less.tiers["low"]) == "1"
    assert stands_out(field, "top", ["mid1", "low"])
    assert not stands_out(field, "mid1", ["mid2", "low"])


def test_the_smallest_difference_without_images_is_the_t_tests() -> None:
    """By scipy's noncentral t: the true difference that a paired t-test of three finds at 80 %."""
    stats = pytest.importorskip("scipy.stats")
    for seeds in (3, 5, 10):
        found = smallest_difference(1.0, 0.0, seeds - 1)
        limit = student_quantile(0.05, seeds - 1)
        power = stats.nct.sf(limit, seeds - 1, found) + stats.nct.cdf(-limit, seeds - 1, found)
        assert power == pytest.approx(0.8, abs=2e-3)


def test_the_smallest_difference_without_seeds_is_the_normals() -> None:
    assert smallest_difference(0.0, 1.0, 2) == pytest.approx(1.959964 + 0.841621, abs=1e-4)
    assert smallest_difference(0.0, 0.0, 2) == 0.0
    assert smallest_difference(0.5, 0.5, 2) > smallest_difference(0.0, 1.0, 2)


def test_pooled_variances_are_of_as_many_seeds_as_asked() -> None:
    field = Field(drawn({"a": 0.1, "b": 0.0}))
    pair = field.difference("a", "b")
    assert pooled([pair], 3) == pytest.approx((pair.training, pair.known, 2))
    assert pooled([pair], 6) == pytest.approx((pair.training / 2, pair.known, 2))
    assert pooled([], 3) is None


def test_thirty_methods_of_six_runs_take_seconds() -> None:
    """Ten are enough to see it here; all pairs share one product of matrices."""
    numbers = drawn({f"m{i}": 0.1 * i for i in range(10)}, n=100)
    start = time.perf_counter()
    ranking = rank_by_tests(Field(numbers), list(numbers))
    assert len(ranking.pairs) == 45
    assert time.perf_counter() - start < 1
