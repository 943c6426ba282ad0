"""Corrections for many tests, on the numbers of their papers and by their definition."""

import random

import pytest

from benchmark.stats.multiple import benjamini_hochberg, holm

# Benjamini and Hochberg (1995), section 3: fifteen p-values, of which their method rejects four
# and Bonferroni's three, at 0.05.
PAPER = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
    0.6528, 0.7590, 1.0000,
]  # fmt: skip


def test_the_papers_example() -> None:
    assert sum(p <= 0.05 for p in benjamini_hochberg(PAPER)) == 4
    assert sum(p <= 0.05 for p in holm(PAPER)) == 3


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7]) == [0.7]


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_adjusted_values_are_the_step_procedures(alpha: float) -> None:
    draw = random.Random(3)
    for _ in range(200):
        p = [draw.random() ** 4 for _ in range(draw.randint(1, 12))]
        order = sorted(range(len(p)), key=p.__getitem__)
        down: set[int] = set()
        for place, i in enumerate(order):  # step down: stop at the first that fails
            if p[i] > alpha / (len(p) - place):
                break
            down.add(i)
        assert {i for i, q in enumerate(holm(p)) if q <= alpha} == down
        up = [n for n, i in enumerate(order, start=1) if p[i] <= alpha * n / len(p)]
        assert {i for i, q in enumerate(benjamini_hochberg(p)) if q <= alpha} == set(
            order[: max(up, default=0)]
        )
