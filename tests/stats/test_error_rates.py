"""How often the tests see a difference where there is none, and where there is one.

Two methods are drawn from one distribution, whose captions hang together by image. What is too
sure of itself, a bootstrap over captions or one over images that forgets the seeds, must fail the
same test, or the test could not fail.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from drawn_runs import CAPTIONS, Spread, draw_images, draw_method

from benchmark.stats.answered import measure
from benchmark.stats.counts import mcnemar, paired_counts
from benchmark.stats.multiple import holm
from benchmark.stats.paired import Field, PairedDifference
from benchmark.stats.power import smallest_difference
from benchmark.stats.resampling import draws, percentile_p
from benchmark.stats.summaries import Question, terms_of
from benchmark.stats.tiers import Ranking, rank_by_tests

N, RESAMPLES, ALPHA = 120, 999, 0.05
BOTH = Spread(method=0.3, seed=0.25)
"""Draws of test images that all seeds of a method share, and luck of a training."""


def one_run_each(repetitions: int) -> dict[str, float]:
    """Share of p <= 5 % for one run of each of two equal methods, of captions that seek images."""
    generator = np.random.default_rng(11)
    over_images_BN = np.concatenate(list(draws("set0", N, RESAMPLES)))
    over_captions_BQ = np.concatenate(list(draws("captions", N * CAPTIONS, RESAMPLES)))
    spread, found = Spread(model=1.0, caption=0.4), {"images": 0, "captions": 0, "mcnemar": 0}
    for _ in range(repetitions):
        image_SN = draw_images(generator, spread, 1, N)
        a_Q, b_Q = (
            next(draw_method(generator, label, image_SN, spread)).evidence.right("set0", "t2i", 1)
            for label in "ab"
        )
        apart_Q = a_Q.astype(np.float64) - b_Q
        apart_N = apart_Q.reshape(N, CAPTIONS).sum(1)
        found["images"] += percentile_p(over_images_BN @ apart_N) <= ALPHA
        found["captions"] += percentile_p(over_captions_BQ @ apart_Q) <= ALPHA
        found["mcnemar"] += mcnemar(paired_counts(a_Q, b_Q)) <= ALPHA
    return {name: count / repetitions for name, count in found.items()}


def whole_grids(repetitions: int, spread: Spread, skill: float = 0.0) -> list[PairedDifference]:
    """Two methods of three seeds in two orders, on the same new test images every time."""
    generator, found = np.random.default_rng(12), []
    for _ in range(repetitions):
        image_SN = draw_images(generator, spread, 2, N)
        numbers = {
            label: {
                (run.order, run.seed): measure(run, terms_of(run, Question()))
                for run in draw_method(generator, label, image_SN, spread, skill=better)
            }
            for label, better in (("a", skill), ("b", 0.0))
        }
        found.append(Field(numbers).difference("a", "b"))
    return found


def share(found: list[PairedDifference]) -> float:
    return float(np.mean([one.p is not None and one.p <= ALPHA for one in found]))


def share_of_images_alone(found: list[PairedDifference]) -> float:
    return float(np.mean([abs(one.difference) > 1.96 * math.sqrt(one.images) for one in found]))


def test_the_bootstrap_over_images_and_not_that_over_captions() -> None:
    found = one_run_each(150)
    assert found["images"] < 0.1
    assert found["captions"] > 0.2
    assert found["mcnemar"] > 0.2


def test_the_summary_test_and_not_that_of_images_alone() -> None:
    found = whole_grids(60, BOTH)
    assert share(found) < 0.12
    assert share_of_images_alone(found) > 0.3


@pytest.mark.slow
def test_false_positives_of_2000_pairs_of_runs() -> None:
    found = one_run_each(2000)
    assert 0.03 <= found["images"] <= 0.07
    assert found["captions"] > 0.2
    assert found["mcnemar"] > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spread", "least"),
    [
        (BOTH, 0.03),
        (Spread(), 0.03),  # seeds that differ on single images alone
        (Spread(seed=0.3), 0.03),
        # Both variances alike: the test is careful, see `distributions.sum_tail`.
        (Spread(method=0.3), 0.015),
        (Spread(method=0.5, seed=0.1), 0.015),
    ],
)
def test_false_positives_of_2000_pairs_of_methods(spread: Spread, least: float) -> None:
    found = whole_grids(2000, spread)
    assert least <= share(found) <= 0.07
    if spread == BOTH:
        assert share_of_images_alone(found) > 0.3
    true = float(np.var([one.difference for one in found]))
    estimated = float(np.mean([one.training + one.known for one in found]))
    assert estimated == pytest.approx(true, rel=0.12)


def boards(
    repetitions: int, unlike: float, skills: tuple[float, ...]
) -> list[tuple[Field, Ranking]]:
    """Whole boards and their comparisons; `unlike` is how much methods differ in what seeds do."""
    generator, found = np.random.default_rng(13), []
    labels = [f"m{place}" for place in range(len(skills))]
    for _ in range(repetitions):
        image_SN = draw_images(generator, BOTH, 2, N)
        numbers = {}
        for label, skill in zip(labels, skills, strict=True):
            own = float(np.exp(unlike * generator.standard_normal()))
            spread = replace(BOTH, seed=0.2 * own)
            numbers[label] = {
                (run.order, run.seed): measure(run, terms_of(run, Question()))
                for run in draw_method(generator, label, image_SN, spread, skill=skill)
            }
        field = Field(numbers)
        found.append((field, rank_by_tests(field, labels)))
    return found


def lowest(ranking: Ranking) -> float:
    return min(p for p in ranking.adjusted.values() if p is not None)


def test_a_board_of_equals_has_no_ranks() -> None:
    found = boards(15, 0.0, (0.0,) * 6)
    assert sum(lowest(one) <= ALPHA for _, one in found) < 5


@pytest.mark.slow
@pytest.mark.parametrize("unlike", [0.0, 0.5])
def test_false_positives_of_whole_boards(unlike: float) -> None:
    """Single tests, and the chance that a board of equal methods shows a rank at all."""
    found = boards(400, unlike, (0.0,) * 8)
    p = [pair.p for _, one in found for pair in one.pairs.values() if pair.p is not None]
    assert len(p) == 400 * 28
    assert 0.03 <= np.mean(np.array(p) <= ALPHA) <= 0.07
    assert (
        np.mean([lowest(one) <= ALPHA for _, one in found]) <= 0.09
    )  # 5 %, and what 400 boards leave open


@pytest.mark.slow
def test_a_board_finds_what_each_pair_alone_would_not() -> None:
    """28 tests of which each has two degrees of freedom tell next to nothing apart."""
    found = boards(40, 0.0, (1.6, *(0.0,) * 7))
    assert np.mean([str(one.tiers["m0"]) == "1" for _, one in found]) > 0.9
    alone = []
    for field, one in found:
        p = [field.difference(*pair).p or 0.0 for pair in one.pairs]
        of_first = [q for pair, q in zip(one.pairs, holm(p), strict=True) if "m0" in pair]
        alone.append(max(of_first) <= ALPHA)
    assert np.mean(alone) < 0.2


@pytest.mark.slow
def test_the_smallest_difference_is_found_four_times_of_five() -> None:
    none = whole_grids(500, BOTH)
    training = float(np.mean([one.training for one in none]))
    known = float(np.mean([one.known for one in none]))
    wanted = smallest_difference(training, known, df=2)
    lift = np.mean([one.difference for one in whole_grids(100, BOTH, 0.5)]) / 0.5
    found = whole_grids(500, BOTH, wanted / float(lift))
    assert np.mean([one.difference for one in found]) == pytest.approx(wanted, rel=0.08)
    assert 0.75 <= share(found) <= 0.85
