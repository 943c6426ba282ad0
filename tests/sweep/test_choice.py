"""The rule of the choice, and a result that is held against it."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.errors import BenchError
from benchmark.records.answers import AnswerKey, Evidence, Integers, Where
from benchmark.stats.answered import AnsweredRun, measure
from benchmark.sweep.check import check_sweep
from benchmark.sweep.choice import best_of
from benchmark.sweep.declared import read_sweep
from benchmark.sweep.result import write_result
from benchmark.sweep.scores import ScoredRun, behind_best, terms_of


def test_the_highest_mean_and_of_equal_ones_the_first():
    assert best_of({1: 50.0, 2: 60.0, 3: 60.0}) == 2
    assert best_of({3: 1.0, 2: 1.0}) == 2
    assert best_of({7: 0.0}) == 7
    assert best_of({}) is None


def answered(seed: int, right: dict[str, list[list[int]]]) -> AnsweredRun:
    """A run over labelled sets, of which `right` says what each image got at every step."""
    keys: dict[str, AnswerKey] = {}
    answers: dict[Where, Integers] = {}
    for task, steps in right.items():
        keys[task] = AnswerKey("labelled", np.zeros(len(steps[0]), np.int64))
        for step, got in enumerate(steps):
            answers[task, None, step] = 1 - np.asarray(got)
    tasks = tuple(right)
    return AnsweredRun("m", "o", seed, tasks, Evidence(keys, answers, "run"), {}, "run")


def test_scores_are_means_over_tasks_and_for_the_average_over_stages_after_training():
    """By hand: a has 1/2, 2/2, 1/2 and b has 0/4, 1/4, 3/4 at stages 0, 1, 2."""
    run = answered(1, {
        "a": [[1, 0], [1, 1], [1, 0]], "b": [[0] * 4, [1, 0, 0, 0], [1, 1, 1, 0]],
    })  # fmt: skip
    last = measure(run, terms_of(run, "last", run.tasks)).value
    average = measure(run, terms_of(run, "average", run.tasks)).value
    assert last == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert average == pytest.approx(((1 + 1 / 2) / 2 + (1 / 4 + 3 / 4) / 2) / 2)
    assert measure(run, terms_of(run, "last", ["b"])).value == pytest.approx(3 / 4)


def scored(seed: int, got: list[int]) -> ScoredRun:
    run = answered(seed, {"a": [[0] * len(got), got]})
    number = measure(run, terms_of(run, "last", run.tasks))
    return ScoredRun(seed, {"a": 100 * number.value}, "", number)


def test_a_trial_that_gets_the_same_images_is_not_behind():
    rows = [1] * 60 + [0] * 40
    better = [1] * 90 + [0] * 10
    trials = {
        1: [scored(s, rows) for s in (1, 2, 3)],
        2: [scored(s, better) for s in (1, 2, 3)],
        3: [scored(s, better) for s in (1, 2, 3)],
        4: [scored(s, [1] * 89 + [0] * 11) for s in (1, 2, 3)],
    }
    behind = behind_best(trials, 2)
    assert {n: one.separated for n, one in behind.items()} == {1: True, 3: False, 4: False}
    assert behind[1].points == pytest.approx(30)
    # Paired: 30 of 100 images differ, whose mean has the variance p (1 - p) / (n - 1).
    assert behind[1].error == pytest.approx(100 * (0.3 * 0.7 / 99) ** 0.5, rel=1e-5)
    assert (behind[3].points, behind[3].error) == (0, 0)


def test_seeds_that_scatter_hide_a_difference():
    wide = [scored(s, [1] * n + [0] * (100 - n)) for s, n in ((1, 40), (2, 60), (3, 80))]
    other = [scored(s, [1] * n + [0] * (100 - n)) for s, n in ((1, 70), (2, 40), (3, 62))]
    assert not behind_best({1: wide, 2: other}, 1)[2].separated


HEAD = 'suite = "mini"\nmethod = "ft"\ntasks = 1\nseeds = [1, 2]\n[grid]\nlr = [1e-5, 1e-4, 1e-3]\n'


def document(sha256: str) -> dict[str, Any]:
    """A result by hand: 50, 61 and a failure."""
    from benchmark.sweep.choice import RULE
    from benchmark.sweep.scores import MEANING

    def trial(number: int, lr: float, scores: tuple[float, float]) -> dict[str, Any]:
        runs = [{"seed": s, "score": x, "tasks": {"photos": x}} for s, x in enumerate(scores, 1)]
        return {
            "trial": number, "settings": {"lr": lr}, "status": "ok", "mean": sum(scores) / 2,
            "standard_deviation_over_seeds": round(abs(scores[0] - scores[1]) / 2**0.5, 6),
            "standard_error_of_images": 1.0, "behind_the_chosen": None, "runs": runs,
        }  # fmt: skip

    first, second = trial(1, 1e-5, (49.0, 51.0)), trial(2, 1e-4, (60.0, 62.0))
    first["behind_the_chosen"] = {"points": 11.0, "error": 6.0, "separated": False}
    failed = {
        "trial": 3, "settings": {"lr": 1e-3}, "status": "failed", "mean": None,
        "standard_deviation_over_seeds": None, "standard_error_of_images": None,
        "behind_the_chosen": None,
        "runs": [{"seed": 1, "score": 99.0, "tasks": {"photos": 99.0}},
                 {"seed": 2, "error": "nan"}],
    }  # fmt: skip
    return {
        "format": 1, "sweep": "mini-ft", "toml_sha256": sha256, "order": "forward",
        "seeds": [1, 2], "rule": RULE, "score": {"name": "last", "meaning": MEANING["last"]},
        "division": {"share": 0.25}, "tasks": {"photos": {}}, "trials": [first, second, failed],
        "chosen": {"trial": 2, "settings": {"lr": 1e-4}}, "not_separated_from_the_chosen": [1],
    }  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "mini-ft.toml"
    file.write_text(HEAD)
    sweep = read_sweep(file)
    write_result(sweep, document(sweep.sha256))
    return file


def test_a_result_that_follows_from_its_scores_passes(saved):
    assert check_sweep(saved)[1]["chosen"]["trial"] == 2


def _set(path: tuple[Any, ...], value: Any) -> Any:
    def change(found: Any) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set(("chosen",), {"trial": 1, "settings": {"lr": 1e-5}}),
        _set(("chosen",), {"trial": 3, "settings": {"lr": 1e-3}}),
        _set(("chosen",), None),
        _set(("chosen", "settings"), {"lr": 1e-3}),
        _set(("trials", 0, "mean"), 70.0),
        _set(("trials", 0, "runs", 0, "tasks", "photos"), 90.0),
        _set(("trials", 0, "runs", 0, "score"), 90.0),
        _set(("trials", 0, "runs"), []),
        _set(("trials", 0, "settings"), {"lr": 1e-2}),
        _set(("trials", 0, "status"), "failed"),
        _set(("trials", 0, "behind_the_chosen"), None),
        _set(("trials", 0, "behind_the_chosen", "points"), 1.0),
        _set(("trials", 1, "behind_the_chosen"), {"points": 0.0, "separated": False}),
        _set(("trials", 0, "standard_deviation_over_seeds"), 0.0),
        _set(("trials", 2, "status"), "ok"),
        _set(("trials", 2, "mean"), 99.0),
        _set(("not_separated_from_the_chosen",), []),
        _set(("rule",), "the one that I like"),
        _set(("score", "name"), "average"),
        _set(("seeds",), [1]),
        _set(("order",), "reverse"),
        _set(("division", "share"), 0.5),
        _set(("tasks",), {"photos": {}, "gen-art": {}}),
        _set(("format",), 2),
        _set(("trials",), None),
    ],
)
def test_a_result_that_was_edited_is_found(saved, change):
    result = saved.with_suffix(".json")
    found = json.loads(result.read_text())
    edited = copy.deepcopy(found)
    change(edited)
    assert edited != found
    result.write_text(json.dumps(edited))
    with pytest.raises(BenchError) as error:
        check_sweep(saved)
    assert error.value.code == 5


def test_a_file_that_was_edited_after_the_sweep_is_found(saved):
    saved.write_text(HEAD + "# a remark\n")
    with pytest.raises(BenchError, match="toml_sha256"):
        check_sweep(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": NaN}', "[" * 5000, "null"])
def test_a_result_that_is_none_is_one_sentence(saved, text):
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(BenchError) as error:
        check_sweep(saved)
    assert error.value.code == 5
    saved.with_suffix(".json").unlink()
    with pytest.raises(BenchError) as error:
        check_sweep(saved)
    assert error.value.code == 4
