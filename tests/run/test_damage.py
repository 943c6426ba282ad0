"""Runs over damaged files: the same numbers as over whole ones, said in a line, or a refusal."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.cli.display import Display
from benchmark.records.store import Record, read_record
from benchmark.run import runner
from benchmark.run.evaluate import Scores
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.run.state import checkpoint
from benchmark.run.state.workspace import Workspace

torch.set_num_threads(1)  # part of a run's identity

ROOT = Path(__file__).parents[2]


class Lines(Display):
    """Remembers what was said; stops after so many steps of the second task."""

    def __init__(self, stop: int = -1) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []
        self._left, self._head = stop, ""

    def line(self, text: str) -> None:
        self.lines.append(text)

    def training(self, head: str, *args: Any) -> Any:
        self._head = head
        return super().training(head, *args)

    def step(self, step: int, loss: float, pairs: int) -> None:
        if self._head.startswith("task 2"):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt

    def said(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]


def run(cache: Path, out: Path, stop: int = -1, **changes: Any) -> tuple[Record | None, Lines]:
    base: dict[str, Any] = {
        "method": "dar", "order": "photos,gen-art", "pretrained": "random:0", "limit": 12,
        "epochs": 1, "batch_size": 4, "evals": "id", "device": "cpu",
    }  # fmt: skip
    plan = make_plan(Request(**base | changes, output_dir=out, cache_dir=cache))
    shown = Lines(stop)
    if stop > 0:
        with pytest.raises(KeyboardInterrupt):
            execute(plan, shown)
        return None, shown
    execute(plan, shown)
    return read_record(plan.target), shown


def kept(*roots: Path) -> list[Path]:
    """Every file that is kept, without locks."""
    return sorted(p for root in roots for p in root.rglob("*") if p.is_file() and p.name != "lock")


def noise(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    half = len(raw) // 2
    raw[half:] = np.random.default_rng(1).bytes(len(raw) - half)
    path.write_bytes(raw)


def flip(path: Path, rng: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    raw[rng.randrange(len(raw))] ^= rng.randrange(1, 256)
    path.write_bytes(raw)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Record]:
    """A cache that a finished run has filled, the output of an unfinished one, and the record."""
    root = tmp_path_factory.mktemp("whole")
    record, _ = run(root / "cache", root / "first")
    assert record is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "SAVE_EVERY", 0.0)
        run(root / "cache", root / "out", stop=2, fresh=True)
    return root / "cache", root / "out", record


@pytest.fixture
def spoilt(whole: tuple[Path, Path, Record], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of that cache and that output."""
    cache, out, _ = whole
    return (
        shutil.copytree(cache, tmp_path / "cache"),
        shutil.copytree(out, tmp_path / "out"),
    )


def same(record: Record | None, whole: tuple[Path, Path, Record]) -> None:
    assert record is not None
    pd.testing.assert_frame_equal(record.frame, whole[2].frame, check_exact=True)
    assert record.provenance["losses"] == whole[2].provenance["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixels", "features", "trained"])
def test_a_run_over_a_damaged_cache_is_the_same_and_says_so(
    kind: str, whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path]
) -> None:
    cache, _ = spoilt
    files = [p for p in kept(cache / kind) if p.suffix != ".json"]
    for path in files:
        noise(path)
    record, shown = run(cache, cache.parent / "new")
    same(record, whole)
    for path in files:
        (said,) = shown.said(path.name)
        assert "again" in said
    again, shown = run(cache, cache.parent / "newer")
    same(again, whole)
    assert not shown.said("again"), "it was not mended"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixels", "features", "trained"])
def test_a_file_under_the_name_of_another_is_not_taken(
    kind: str, whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path]
) -> None:
    """Whole files, as they were written, moved round by one."""
    cache, _ = spoilt
    for suffix in {p.suffix for p in kept(cache / kind)}:
        files = [p for p in kept(cache / kind) if p.suffix == suffix]
        raw = [p.read_bytes() for p in files]
        for path, other in zip(files, [*raw[1:], raw[0]], strict=True):
            path.write_bytes(other)
    record, shown = run(cache, cache.parent / "new")
    same(record, whole)
    assert shown.said("again")


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 25))]
)
def test_flipped_bytes_change_no_number(
    seed: int,
    whole: tuple[Path, Path, Record],
    spoilt: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One byte of every kept file of a filled cache and of an unfinished run."""
    cache, out = spoilt
    rng = random.Random(seed)
    files = kept(cache, out)
    assert {p.suffix for p in files} == {".npy", ".json", ".safetensors"}
    for path in files:
        if rng.random() < 0.7:
            flip(path, rng)
    for fresh in (True, False):  # goes on where the stopped run was; takes what others have trained
        same(run(cache, out if fresh else cache.parent / "new", fresh=fresh)[0], whole)


HARMS: dict[str, Callable[[Path], object]] = {
    "noise": noise,
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"\0"),
    "empty": lambda p: p.write_bytes(b""),
    "gone": lambda p: p.unlink(),
}
CASES = [
    (which, how) if (which, how) == ("step", "noise")
    else pytest.param(which, how, marks=pytest.mark.slow)
    for which in ("step", "task", "scores/001", "usage") for how in HARMS
]  # fmt: skip


@pytest.mark.parametrize(("which", "how"), CASES)
def test_an_unfinished_run_goes_on_from_what_is_whole(
    which: str, how: str, whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path]
) -> None:
    cache, out = spoilt
    (folder,) = (out / "scratch" / "running").iterdir()
    files = [p for p in kept(folder) if str(p.relative_to(folder)).startswith(which)]
    assert files
    for path in files:
        HARMS[how](path)
    record, shown = run(cache, out, fresh=True)
    same(record, whole)
    if how != "gone" and which != "task":  # older than the step, which is whole
        assert all(shown.said(path.name) for path in files)
    assert bool(shown.said("going on at step")) == (which in ("task", "usage"))
    assert bool(shown.said("going on after 1")) == (which in ("step", "scores/001"))


@pytest.mark.slow
def test_all_of_an_unfinished_run_damaged(
    whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path]
) -> None:
    cache, out = spoilt
    for path in kept(out):
        noise(path)
    record, shown = run(cache, out, fresh=True)
    same(record, whole)
    assert shown.said("training starts anew")


@pytest.mark.slow
def test_the_states_of_another_run_are_not_taken(
    whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another seed: the same shapes, whole, in a folder of the same kind."""
    cache, out = spoilt
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    run(cache, out, stop=2, fresh=True, seed=7)
    mine, other = sorted((out / "scratch" / "running").iterdir())
    assert "s42" in mine.name
    for path in kept(other):
        shutil.copy(path, mine / path.relative_to(other))
    record, shown = run(cache, out, fresh=True)
    same(record, whole)
    assert shown.said("of another run")


def test_it_is_said_that_an_unfinished_run_is_not_gone_on_with(tmp_path: Path) -> None:
    """Of the same name, and told apart by what the name does not say; of no other run."""
    said: list[str] = []
    for name in ("ft--s42-aaa", "ft--s42-bbb", "ft--s42-bbb", "ft--s4-ccc", "dar--s42-aaa"):
        with Workspace(tmp_path / name, said.append).locked():
            pass
    assert len(said) == 1
    assert "'ft--s42-aaa'" in said[0]
    assert "--compile" in said[0]


def test_scores_of_another_stage_are_not_taken(tmp_path: Path) -> None:
    said: list[str] = []
    space = Workspace(tmp_path / "run-1", said.append)
    mine, other = (Scores([{"value": v, "hits": 1}], {}, []) for v in (0.5, 0.25))
    space.keep_scores(1, "photos", mine)
    space.keep_scores(2, "photos", other)
    assert space.scores(1, "photos") == mine
    scores = tmp_path / "run-1" / "scores"
    shutil.copy(scores / "002-photos.json", scores / "001-photos.json")
    shutil.copy(scores / "002-photos.json", scores / "002-gen-art.json")
    assert space.scores(1, "photos") is None
    assert space.scores(2, "gen-art") is None
    assert space.scores(2, "photos") == other
    assert space.scores(1, "photos") is None
    assert len(said) == 2, "each file once"


@pytest.mark.slow
def test_a_state_with_the_wrong_shapes_is_trained_again(
    whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path]
) -> None:
    """Whole by its own digests, of the right key, and of no use: it would be broadcast."""
    cache, _ = spoilt
    for path in kept(cache / "trained"):
        tensors, about = checkpoint.read(path)
        checkpoint.write(path, {k: v.sum().reshape(1) for k, v in tensors.items()}, about)
    record, shown = run(cache, cache.parent / "new")
    same(record, whole)
    assert len(shown.said("of another training")) == len(kept(cache / "trained"))


@pytest.mark.slow
def test_the_command_on_a_cache_of_noise(
    whole: tuple[Path, Path, Record], spoilt: tuple[Path, Path], tmp_path: Path
) -> None:
    cache, _ = spoilt
    for path in (*kept(cache / "pixels"), *kept(cache / "features"), *kept(cache / "trained")):
        noise(path)
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "run", "--method", "dar", "--order", "photos,gen-art",
         "--pretrained", "random:0", "--limit", "12", "--epochs", "1", "--batch-size", "4",
         "--evals", "id", "--device", "cpu", "--display", "plain",
         "--output-dir", str(tmp_path / "cli"), "--cache-dir", str(cache)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "made again" in done.stdout
    (path,) = (tmp_path / "cli").rglob("*.parquet")
    same(read_record(path), whole)
