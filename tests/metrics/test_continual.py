"""The metrics of a sequence, against values worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmark.metrics import continual as c

nan = np.nan
# Row 0 zero-shot; a true 0 sits in the triangle that Transfer averages.
R = np.array(
    [
        [50.0, 40.0, 30.0],
        [80.0, 44.0, 0.0],
        [90.0, 75.0, 20.0],
        [95.0, 60.0, 88.0],
    ]
)
LOWER = np.array([[nan] * 3, [80, nan, nan], [90, 75, nan], [95, 60, 88]], dtype=float)
ALL: list[Callable[[np.ndarray], object]] = [
    c.last,
    c.average,
    c.transfer,
    c.mean_transfer,
    c.mean_average,
    c.final_average,
    c.delta_to_zero_shot,
    c.learning_accuracy,
    c.learning_gain,
    c.forgetting_from_learned,
    c.forgetting_from_best,
    c.forgetting_from_peak,
    c.backward_transfer,
    c.forward_transfer,
    c.average_incremental_recall,
]


def test_last_average_transfer_count_a_true_zero() -> None:
    np.testing.assert_allclose(c.last(R), [95, 60, 88])
    np.testing.assert_allclose(c.average(R), [265 / 3, 179 / 3, 36])
    np.testing.assert_allclose(c.transfer(R), [44, 10])


def test_scalars() -> None:
    assert c.final_average(R) == pytest.approx(81)
    assert c.delta_to_zero_shot(R) == pytest.approx((45 + 20 + 58) / 3)
    assert c.learning_accuracy(R) == pytest.approx(81)
    assert c.learning_gain(R) == pytest.approx(81 - (81 - (45 + 20 + 58) / 3))
    assert c.forward_transfer(R) == pytest.approx(((44 - 40) + (20 - 30)) / 2)
    assert c.average_incremental_recall(R) == pytest.approx((80 + 82.5 + 81) / 3)


def test_the_three_forgettings_of_one_matrix_need_only_the_lower_triangle() -> None:
    assert c.forgetting_from_learned(LOWER) == pytest.approx(0.0)
    assert c.forgetting_from_best(LOWER) == pytest.approx(5.0)
    assert c.forgetting_from_peak(LOWER) == pytest.approx(7.5)
    assert c.average_incremental_recall(LOWER) == c.average_incremental_recall(R)


def test_backward_transfer_is_minus_forgetting() -> None:
    worse = R.copy()
    worse[-1] -= 10
    assert c.backward_transfer(worse) == pytest.approx(-10)
    assert c.forgetting_from_learned(worse) == pytest.approx(10)


def test_skill_lost_before_learning_is_not_forgetting() -> None:
    untrained = np.array([[50.0, 90.0, 0], [60, 99, 0], [60, 70, 0], [60, 70, 50]])
    assert c.forgetting_from_best(untrained) == 0


def test_constant_rows_have_no_dynamics() -> None:
    flat = np.tile([0.3, 0.2, 0.1, 0.4], (5, 1))
    for metric in (
        c.delta_to_zero_shot,
        c.learning_gain,
        c.forgetting_from_best,
        c.forward_transfer,
    ):
        assert metric(flat) == 0
    np.testing.assert_allclose(c.transfer(flat), [0.2, 0.1, 0.4])
    np.testing.assert_allclose(c.average(flat), flat[0])


def test_one_set_alone_is_its_column() -> None:
    for place in range(3):
        assert c.set_average(R[:, place].tolist()) == c.average(R)[place]
    for place in (1, 2):
        assert c.set_transfer(R[:, place].tolist(), place + 1) == c.transfer(R)[place - 1]
    # A set that is never learned: the steps before it is learned are all steps.
    assert c.set_transfer([9.0, 1.0, 2.0, 6.0], None) == c.set_average([9.0, 1.0, 2.0, 6.0]) == 3.0
    with pytest.raises(ValueError, match="first task"):
        c.set_transfer(R[:, 0].tolist(), 1)


def test_means_over_tasks() -> None:
    assert c.mean_transfer(R) == 27
    assert c.mean_average(R) == pytest.approx((265 / 3 + 179 / 3 + 36) / 3)


def test_means_are_rounded_once() -> None:
    """In whatever order numbers are added, and for whoever asks."""
    scores = np.array([0.0, 0.1, 0.2, 0.7, 1e-17, 0.1, 0.2])
    for order in ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [2, 4, 6, 1, 3, 5]):
        matrix = np.tile(scores[[0, *order], None], 6)
        assert c.average(matrix)[0] == math.fsum(scores[1:]) / 6


def test_a_hole_is_named_by_its_first_step() -> None:
    scores = [nan, 1.0, nan, nan, 4.0]
    for position in (4, None):
        with pytest.raises(c.Hole) as caught:
            c.set_transfer(scores, position)
        assert caught.value.step == 2
    with pytest.raises(c.Hole, match="step 2") as caught:
        c.set_average(scores)
    assert caught.value.step == 2
    assert c.set_transfer(scores, 2) == 1.0  # looks at no hole
    with pytest.raises(c.Hole):
        c.transfer(np.array([[nan, 1], [1, nan], [1, 1]]))


def test_known_is_the_metric_or_nothing() -> None:
    assert c.known(c.mean_transfer, R) == 27
    assert c.known(c.mean_transfer, [[1.0], [2.0]]) is None
    assert c.known(c.mean_average, [[1.0, 1.0], [nan, 1.0], [1.0, 1.0]]) is None
    assert c.known(c.forgetting_from_learned, LOWER) == 0


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
def test_a_hole_where_the_metric_looks_is_an_error(metric: Callable[[np.ndarray], object]) -> None:
    holes = np.full((4, 3), nan)
    with pytest.raises(ValueError, match="hole"):
        metric(holes)
    # Whatever the metric: changing a NaN it tolerates cannot matter, so each single hole either
    # raises or leaves the result as it was.
    whole = metric(R)
    for place in np.ndindex(*R.shape):
        one = R.copy()
        one[place] = nan
        try:
            np.testing.assert_array_equal(metric(one), whole)
        except ValueError:
            continue


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
def test_a_matrix_without_its_zero_shot_row_is_an_error(
    metric: Callable[[np.ndarray], object],
) -> None:
    with pytest.raises(ValueError, match="shape"):
        metric(R[1:])


def test_one_task() -> None:
    one = np.array([[10.0], [30.0]])
    assert c.final_average(one) == 30
    assert c.average_incremental_recall(one) == 30
    for metric in (c.transfer, c.mean_transfer, c.forward_transfer, c.forgetting_from_learned):
        with pytest.raises(ValueError, match="at least 2"):
            metric(one)
