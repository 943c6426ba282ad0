"""Measured noise: what was written is read, the spread by its definition, the floor of a suite."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.errors import BenchError
from benchmark.records.noise import (
    Noise,
    Score,
    final_floor,
    noise_file,
    noise_floor,
    read_noise,
    read_noises,
    write_noise,
)

ABOUT = {
    "suite": "mini", "suite_version": "1.0", "method": "ft", "variant": "", "settings": "",
    "backbone": "tiny-s", "pretrained": "bundled", "order": "forward", "task_order": "a,b",
    "machine": "NVIDIA H100 80GB HBM3",
}  # fmt: skip


def measured(*changes: tuple[Score, tuple[int, ...]], repeats: int = 3, **about: str) -> Noise:
    """Two tasks and a held-out set, with one score for each direction at three stages."""
    scores: list[Score] = [
        (step, task, direction, "hit", k)
        for step in range(3)
        for task in ("a", "b", "out")
        for direction in ("t2i", "i2t")
        for k in (1, 5)
    ]
    hits = {score: (10 * score[0],) * repeats for score in scores} | dict(changes)
    queries = {score: 200 if score[2] == "t2i" else 100 for score in hits}
    return Noise(
        ABOUT | about, 42, "cuda", "d" * 64, "2026-11-28T17:16:34+00:00", "c" * 40, hits, queries
    )


AT: Score = (2, "a", "i2t", "hit", 1)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    there = measured((AT, (20, 23, 21)), ((2, "b", None, "acc", None), (5, 5, 7)))
    path = write_noise(tmp_path / "mini", there)
    assert path == tmp_path / "mini/noise/ft--tiny-s--forward--s42--NVIDIA-H100-80GB-HBM3.json"
    assert read_noise(path) == there
    assert read_noises(tmp_path, "mini") == [there]
    outside = replace(there, commit=None)
    write_noise(tmp_path / "mini", outside)
    assert read_noises(tmp_path, "mini") == [outside]  # the newer one, in the older one's place


def test_spread_by_its_definition() -> None:
    draw = np.random.default_rng(0)
    for repeats in (2, 3, 10):
        found = tuple(int(n) for n in draw.integers(0, 101, repeats))
        noise = measured((AT, found), repeats=repeats)
        percent = np.array(found)  # of 100 queries
        assert noise.repeats == repeats
        assert noise.largest(AT) == pytest.approx(np.ptp(percent), abs=1e-12)
        assert noise.sd(AT) == pytest.approx(percent.std(ddof=1), abs=1e-12)


def test_floor(tmp_path: Path) -> None:
    assert noise_floor(tmp_path, "mini") is None
    assert final_floor(tmp_path, "mini") is None
    write_noise(tmp_path / "mini", measured(machine="one CPU"))
    assert noise_floor(tmp_path, "mini") == 0.0
    assert final_floor(tmp_path, "mini") == 0.0
    # At the end of task a: 20, 23 and 20 of 100 images; held-out and earlier scores beside it.
    moved = measured(
        (AT, (20, 23, 20)), ((2, "out", "i2t", "hit", 1), (0, 50, 0)),
        ((0, "b", "t2i", "hit", 5), (0, 2, 1)), ((2, "a", "i2t", "hit", 5), (60, 20, 20)),
    )  # fmt: skip
    write_noise(tmp_path / "mini", moved)
    assert noise_floor(tmp_path, "mini") == 50.0
    assert noise_floor(tmp_path, "mini", step=0) == 1.0  # 2 of 200
    assert noise_floor(tmp_path, "mini", step=1) == 0.0
    assert final_floor(tmp_path, "mini") == pytest.approx(3 / 2 / 2)  # of two directions, two tasks
    assert noise_floor(tmp_path, "mini", version="1.0") == 50.0
    assert noise_floor(tmp_path, "mini", version="2.0") is None
    assert noise_floor(tmp_path, "mini-xtail") is None


def test_the_mean_at_the_end_of_labelled_tasks() -> None:
    scores: dict[Score, tuple[int, ...]] = {
        (2, "a", None, "acc", None): (50, 52), (2, "b", None, "acc", None): (10, 20),
        (2, "a", "image", "route", 0): (0, 100), (1, "a", None, "acc", None): (0, 100),
    }  # fmt: skip
    noise = replace(measured(repeats=2), hits=scores, n_queries=dict.fromkeys(scores, 100))
    assert noise.final() == [30.0, 36.0]


CHANGES: dict[str, dict[str, Any]] = {
    "form": {"form": 2},
    "another entry": {"note": ""},
    "one repeat": {"repeats": 1},
    "other repeats": {"repeats": 4},
    "many": {"repeats": 10**9},
    "columns": {"columns": ["hits"]},
    "no scores": {"scores": []},
    "scores of another type": {"scores": {"a": 1}},
    "a row of another type": {"scores": [5]},
    "a short row": {"scores": [[0, "a"]]},
    "another suite": {"backbone": "tiny-b"},  # than its name says
    "escape": {"method": "\x1b[2J"},
    "commit": {"commit": "main"},
    "run": {"run": "x"},
    "device": {"device": "abacus"},
}
ROW = [0, "a", "i2t", "hit", 1, 100, [1, 2, 3], 2.0, 1.0]
ROWS: dict[str, tuple[int, Any]] = {
    "more hits than queries": (6, [1, 2, 101]),
    "negative hits": (6, [-1, 2, 3]),
    "hits that are no number": (6, [1, 2, "3"]),
    "hits of two runs": (6, [1, 2]),
    "no queries": (5, 0),
    "a spread that does not follow": (7, 0.0),
    "an sd that does not follow": (8, 0.0),
    "a spread that is no number": (7, "2.0"),
    "a step that is no number": (0, "0"),
}


def _refused(path: Path) -> None:
    with pytest.raises(BenchError) as e:
        read_noise(path)
    assert e.value.code == 5
    assert str(path) in str(e.value)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_that_is_none(tmp_path: Path, kind: str) -> None:
    path = write_noise(tmp_path / "mini", measured())
    path.write_text(json.dumps(json.loads(path.read_text()) | CHANGES[kind]))
    _refused(path)


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_that_cannot_be(tmp_path: Path, kind: str) -> None:
    path = write_noise(tmp_path / "mini", measured())
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"scores": [ROW]}))
    assert read_noise(path).largest((0, "a", "i2t", "hit", 1)) == 2.0
    at, value = ROWS[kind]
    path.write_text(json.dumps(content | {"scores": [[*ROW[:at], value, *ROW[at + 1 :]]]}))
    _refused(path)
    path.write_text(json.dumps(content | {"scores": [ROW, ROW]}))
    _refused(path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = noise_file(tmp_path / "mini", measured())
    path.parent.mkdir(parents=True)
    path.write_text("[" + " " * 2**20 + "]")
    _refused(path)
