"""Orders of tasks."""

from collections.abc import Mapping

import pytest

from benchmark.errors import BenchError
from benchmark.run.task_order import resolve_order

NAMES = ("photos", "gen-art", "scans", "charts")
SCORES = {"photos": 0.2, "gen-art": 0.9, "scans": 0.2, "charts": 0.4}


def unmeasured() -> Mapping[str, float]:
    raise AssertionError("only 'measured' measures")


def order(asked: str) -> list[str]:
    names, measured = resolve_order(asked, NAMES, unmeasured)
    assert measured == {}
    return names


def test_forward_and_reverse() -> None:
    assert order("forward") == list(NAMES)
    assert order("reverse") == list(NAMES)[::-1]


def test_order_ii_is_the_one_of_the_suite() -> None:
    second = ("scans", "photos", "charts", "gen-art")
    assert resolve_order("ii", NAMES, unmeasured, second) == (list(second), {})
    with pytest.raises(BenchError, match="a suite with an order II, got one without"):
        order("ii")
    with pytest.raises(BenchError, match="did you mean 'ii'"):
        resolve_order("iii", NAMES, unmeasured, second)
    with pytest.raises(BenchError, match="forward \\(order I\\)"):
        resolve_order("i", NAMES, unmeasured, second)
    assert resolve_order("ii", ("i", "ii"), unmeasured) == (["ii"], {})  # a task of that name


def test_measured_descends_and_keeps_the_forward_order_of_equals() -> None:
    names, measured = resolve_order("measured", NAMES, lambda: SCORES)
    assert names == ["gen-art", "charts", "photos", "scans"]
    assert measured == SCORES


def test_random_is_a_permutation_that_its_seed_alone_decides() -> None:
    drawn = [order(f"random:{seed}") for seed in range(20)]
    assert all(sorted(names) == sorted(NAMES) for names in drawn)
    assert len({tuple(names) for names in drawn}) > 5
    assert drawn == [order(f"random:{seed}") for seed in range(20)]
    assert order("random:7") == ["photos", "scans", "gen-art", "charts"]  # as in past records


def test_a_list_may_leave_tasks_out() -> None:
    assert order("scans,photos") == ["scans", "photos"]
    assert order(" scans , photos ") == ["scans", "photos"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("forwards", "did you mean 'forward'"),
        ("photo", "did you mean 'photos'"),
        ("photos,scan", "'scans'"),
        ("", "an order"),
        ("photos,,scans", "an order"),
        ("photos,photos", "each task once"),
        ("photos, photos", "each task once"),
        ("random", "random:7"),
        ("random:", "random:7"),
        ("random:x", "random:7"),
        ("random:-1", "random:7"),
        ("random:1.5", "random:7"),
        ("random:\u00b2", "random:7"),  # a digit that is no number
    ],
)
def test_bad_orders(asked: str, words: str) -> None:
    with pytest.raises(BenchError) as error:
        order(asked)
    assert words in str(error.value)
