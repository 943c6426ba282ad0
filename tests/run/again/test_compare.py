"""The comparison of two runs: nothing that a table shows may differ unseen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmark.records.answers import AnswerKey, Evidence, Where, levels_of
from benchmark.records.store import to_frame
from benchmark.run.again.compare import Agreement, RunOutcome, compare

STEPS, IMAGES = 3, 40
ABOUT: dict[str, Any] = {
    "weights": {"sha256": "a" * 64},
    "data": {"train": {"a": "b" * 64}, "test": {"a": "c" * 64, "b": "d" * 64}},
    "order": {"tasks": ["a", "b"]},
    "parameters": {"trainable": [5, 5]},
    "state_bytes": [0, 0],
    "inference_bytes": [0, 0],
    "method": {"label": "FT", "paper": "A paper"},
    "seconds": {"train": 1.0},
}


def ranks(seed: int = 0) -> dict[tuple[str, str, int], Any]:
    draw = np.random.default_rng(seed)
    return {
        ("a", direction, step): draw.integers(0, 20, IMAGES * (2 if direction == "t2i" else 1))
        for direction in ("t2i", "i2t")
        for step in range(STEPS)
    } | {("b", "image", step): draw.integers(0, 4, IMAGES) for step in range(STEPS)}


def outcome(found: dict[tuple[str, str, int], Any], **changes: Any) -> RunOutcome:
    """As the runner makes it of ranks ("a": pairs) and of guesses ("b": four classes)."""
    right = np.arange(IMAGES) % 4
    keys = {"a": AnswerKey("pairs", np.full(IMAGES, 2)), "b": AnswerKey("labelled", right)}
    answers, rows = dict[tuple[str, str | None, int], Any](), list[dict[str, Any]]()
    for (task, direction, step), one in found.items():
        label = task == "b"
        common = {
            "suite": "own", "suite_version": "1", "method": "ft", "variant": "", "settings": "",
            "backbone": "tiny-s", "pretrained": "random:0", "order": "forward",
            "task_order": "a,b", "seed": 42, "n_steps": STEPS - 1, "step": step,
            "step_task": "ab"[step - 1] if step else None, "eval_task": task,
            "eval_title": task.upper(), "eval_position": 2 if label else 1, "role": "seen",
            "kind": "labelled" if label else "pairs", "label_space": "own" if label else None,
            "uses": "", "status": "ok", "source": "measured", "n_gallery": 4 if label else IMAGES,
            "n_queries": len(one), "direction": None if label else direction,
        }  # fmt: skip
        answers[task, None if label else direction, step] = one if label else levels_of(one)
        for k in (None,) if label else (1, 5, 10):
            hits = int((one == right).sum()) if k is None else int((one < k).sum())
            metric = "acc" if k is None else "hit"
            rows.append(common | {"metric": metric, "k": k, "hits": hits, "value": hits / len(one)})
        if label:
            rows.append(
                common | {"direction": "image", "metric": "route", "k": 0, "hits": 3, "value": 0.1,
                          "n_gallery": 0}
            )  # fmt: skip
    return RunOutcome(to_frame(rows), Evidence(keys, answers, "f" * 64), ABOUT | changes)


def verdict(now: RunOutcome, cells: Any = "all", tolerance: float = 0.0) -> Agreement:
    return compare(outcome(ranks()), now, cells, tolerance)


def edited(change: Callable[[Any], None]) -> RunOutcome:
    one = outcome(ranks())
    frame = one.frame.copy()
    change(frame)
    return RunOutcome(frame, one.evidence, one.about)


def test_equal() -> None:
    for cells, steps in (("all", STEPS), ("last", 1), ("canary", 1)):
        found = verdict(outcome(ranks()), cells)
        assert (found.verdict, found.largest, found.otherwise) == ("equal", 0.0, 0)
        assert found.compared == steps * (6 + 2)
        assert found.queries == steps * 4 * IMAGES
        assert not found.scores + found.answers + found.others


def test_one_hit_more() -> None:
    moved = ranks()
    at = int(moved["a", "i2t", 2].argmax())
    assert moved["a", "i2t", 2][at] >= 10
    moved["a", "i2t", 2][at] = 7
    found = verdict(outcome(moved))
    assert found.verdict == "different"
    assert found.scores[0].startswith("step 2, a i2t hit 10: ")
    assert (len(found.scores), found.otherwise) == (1, 1)
    assert found.largest == pytest.approx(100 / IMAGES)
    assert verdict(outcome(moved), "last").verdict == "different"
    assert verdict(outcome(moved), "canary").verdict == "equal"
    assert verdict(outcome(moved), tolerance=100 / IMAGES).verdict == "within tolerance"
    assert verdict(outcome(moved), tolerance=100 / IMAGES - 0.01).verdict == "different"


def test_equal_scores_of_other_answers() -> None:
    """A forger who keeps the hits and shuffles the answers."""
    moved = ranks()
    moved["a", "t2i", 1] = moved["a", "t2i", 1][::-1]
    found = verdict(outcome(moved))
    assert found.verdict == "different"
    assert not found.scores
    assert found.answers == (f"step 1, a t2i: {found.otherwise} of 80 queries answered otherwise",)
    assert verdict(outcome(moved), "last").verdict == "equal"


def test_a_guess_of_another_wrong_class() -> None:
    moved = ranks()
    wrong = int((moved["b", "image", 2] != np.arange(IMAGES) % 4).argmax())
    moved["b", "image", 2][wrong] = (wrong + 1 + moved["b", "image", 2][wrong] - wrong % 4) % 4
    if moved["b", "image", 2][wrong] == wrong % 4:
        moved["b", "image", 2][wrong] = (wrong + 2) % 4
    found = verdict(outcome(moved))
    assert (found.verdict, found.otherwise, found.scores) == ("different", 1, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eval_title", "Best"), ("uses", "task id"), ("settings", "rank=1"), ("role", "ood"),
        ("kind", "pairs"), ("label_space", "union"), ("eval_position", None),
        ("task_order", "b,a"), ("step_task", "a"), ("source", "paper"), ("pretrained", "openai"),
    ],
)  # fmt: skip
def test_whatever_a_row_says_beside_its_score(name: str, value: Any) -> None:
    def change(frame: Any) -> None:
        frame.loc[frame.index[-1], name] = value

    for tolerance in (0.0, 100.0):
        found = verdict(edited(change), tolerance=tolerance)
        assert found.verdict == "different"
        assert found.others[0].startswith(f"{name} at step 2, b image route 0")


def test_rows_that_are_missing_or_too_many() -> None:
    one = outcome(ranks())
    for frame in (one.frame[:-2], one.frame[one.frame["eval_task"] != "b"]):
        now = RunOutcome(frame, one.evidence, one.about)
        assert verdict(now, tolerance=100.0).verdict == "different"
        assert compare(now, one, "all", 100.0).verdict == "different"


def test_a_route_without_items_has_no_row() -> None:
    one = outcome(ranks())
    fewer = RunOutcome(one.frame[one.frame["metric"] != "route"], one.evidence, one.about)
    for a, b in ((one, fewer), (fewer, one)):
        found = compare(a, b, "all", 0.0)
        assert (found.verdict, len(found.scores)) == ("different", STEPS)
        assert found.largest == pytest.approx(100 * 3 / IMAGES)
        assert compare(a, b, "all", 8.0).verdict == "within tolerance"


@pytest.mark.parametrize(("name", "value"), [("n_queries", 60), ("n_gallery", 400)])
def test_other_queries_or_candidates(name: str, value: int) -> None:
    """No tolerance makes two tests one."""

    def change(frame: Any) -> None:
        frame.loc[frame.index[0], name] = value

    assert verdict(edited(change), tolerance=100.0).verdict == "different"


def test_a_cell_that_failed() -> None:
    def change(frame: Any) -> None:
        at = frame.index[0]
        frame.loc[at, ["status", "error"]] = "failed", "NaN"
        frame.loc[at, ["hits", "value"]] = None

    failed = edited(change)
    assert verdict(failed, tolerance=100.0).verdict == "different"
    assert compare(failed, failed, "all", 0.0).verdict == "equal"


CHANGED: dict[str, dict[str, Any]] = {
    "weights": {"weights": {"sha256": "0" * 64}},
    "test data": {"data": ABOUT["data"] | {"test": {"a": "0" * 64, "b": "d" * 64}}},
    "a set fewer": {"data": ABOUT["data"] | {"test": {"a": "c" * 64}}},
    "reference": {"data": ABOUT["data"] | {"reference": "0" * 64}},
    "order": {"order": {"tasks": ["b", "a"]}},
    "parts that are none": {"data": None},
}
KEPT: dict[str, dict[str, Any]] = {
    "trained": {"parameters": {"trainable": [5, 4]}},
    "kept": {"state_bytes": [0, 1]},
    "label": {"method": {"label": "SOTA", "paper": "A paper"}},
}


@pytest.mark.parametrize("kind", [*CHANGED, *KEPT])
def test_what_it_came_from_and_what_it_kept(kind: str) -> None:
    now = outcome(ranks(), **(CHANGED | KEPT)[kind])
    for tolerance in (0.0, 100.0):
        assert verdict(now, tolerance=tolerance).verdict == "different"
        assert verdict(now, "last", tolerance).verdict == "different"
    # Of an untouched backbone nothing was trained.
    assert verdict(now, "canary").verdict == ("different" if kind in CHANGED else "equal")
    assert verdict(outcome(ranks(), seconds={"train": 9.0})).verdict == "equal"


def test_evidence_of_other_queries() -> None:
    one = outcome(ranks())
    assert one.evidence is not None
    keys, answers = dict(one.evidence.keys), dict(one.evidence.answers)
    other = dict(keys)
    other["b"] = AnswerKey("labelled", (np.arange(IMAGES) + 1) % 4)
    short = {where: found for where, found in answers.items() if where != ("b", None, 2)}
    cut = answers | {("b", None, 2): answers["b", None, 2][:-1]}
    for evidence in (
        Evidence(other, answers, ""),
        Evidence(keys, short, ""),
        Evidence(keys, cut, ""),
    ):
        now = RunOutcome(one.frame, evidence, ABOUT)
        assert compare(one, now, "all", 100.0).verdict == "different"
        assert compare(now, one, "all", 100.0).verdict == "different"


def test_names_are_no_commands_to_a_terminal() -> None:
    one, evil = outcome(ranks()), "a\x1b[2J"
    assert one.evidence is not None
    answers: dict[Where, Any] = {
        (evil, d, s): found for (_, d, s), found in one.evidence.answers.items() if d
    }
    frame = one.frame[one.frame["eval_task"] == "a"].assign(eval_task=evil)
    hostile = RunOutcome(frame, Evidence({evil: one.evidence.keys["a"]}, answers, ""), one.about)
    found = compare(hostile, one, "all", 0.0)
    texts = found.others + found.scores + found.answers
    assert any(r"a\x1b" in text for text in texts)
    assert all(text.isprintable() for text in texts)


def test_a_record_without_evidence() -> None:
    """Of schema 1: its scores are compared, and no answer is."""
    one = outcome(ranks())
    old = RunOutcome(one.frame, None, one.about)
    found = compare(old, one, "all", 0.0)
    assert (found.verdict, found.queries) == ("equal", 0)
