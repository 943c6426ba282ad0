"""One run from command to record: what is written, going on after every stop, full disks."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from known import known

from benchmark.cli.display import Display
from benchmark.cli.run import run_all
from benchmark.errors import BenchError
from benchmark.protocol.badges import UNSEEN
from benchmark.records.schema import validate
from benchmark.records.store import Record, read_record, write_record
from benchmark.run import runner, stages
from benchmark.run.evaluate import Scores, evaluate
from benchmark.run.record.costs import REPORT_BYTES, plain_report
from benchmark.run.registry import find_method, method_names
from benchmark.run.request import Plan, Request, make_plan
from benchmark.run.runner import execute

torch.set_num_threads(1)  # the number is part of a run's identity: subprocesses must agree

ROOT = Path(__file__).parents[2]
METHODS = ("ft", "lora-ft", "dar")
FAST = (*(pytest.param(n, marks=pytest.mark.slow) for n in ("ft", "lora-ft")), "dar")
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from benchmark.cli.main import main; main()"
)


class Stopped(BaseException):
    """Stands for the end of a process: nothing catches it."""


class Bomb(Display):
    """Remembers lines and step counts, and stops at the n-th event under a head ('task 2')."""

    def __init__(self, head: str = "", at: int = 0, act: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.steps: list[tuple[str, int]] = []
        self._where, self._act, self._now, self._count = (head, at), act, "", 0

    def line(self, text: str) -> None:
        self.lines.append(text)

    def _enter(self, head: str) -> None:
        self._now, self._count = head.partition("/")[0], 0
        self._tick(0)

    def _tick(self, by: int = 1) -> None:
        self._count += by
        if (self._now, self._count) == self._where:
            if self._act is None:
                raise Stopped
            self._act()

    @contextmanager
    def training(self, head: str, total: int, epochs: int, done: int) -> Iterator[None]:
        with super().training(head, total, epochs, done):
            self._enter(head)
            yield

    @contextmanager
    def evaluating(self, head: str, total: int) -> Iterator[None]:
        self._enter(head)
        yield

    def step(self, step: int, loss: float, pairs: int) -> None:
        self.steps.append((self._now, step))
        self._tick()

    def evaluated(self, name: str, score: str) -> None:
        self._tick()

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)


Ask = Callable[..., Request]


@pytest.fixture(scope="session")
def ask(cache: Path) -> Ask:
    def build(out: Path, **changes: Any) -> Request:
        base: dict[str, Any] = {
            "method": "ft", "order": "photos,gen-art", "pretrained": "random:0", "limit": 16,
            "epochs": 1, "batch_size": 4, "evals": "id", "device": "cpu", "fresh": True,
        }  # fmt: skip
        return Request(**base | changes, output_dir=out, cache_dir=cache)

    return build


def finish(request: Request, display: Display | None = None) -> Record:
    """Run to the end as the command does, without its final table."""
    plan = make_plan(request)
    execute(plan, display or Display(quiet=True))
    return read_record(plan.target)


@pytest.fixture(scope="session")
def whole(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Record]:
    """Records of runs that nothing stopped, made once per method."""
    done: dict[str, Record] = {}

    def get(method: str, **changes: Any) -> Record:
        key = f"{method} {changes}"
        if key not in done:
            out = tmp_path_factory.mktemp("whole")
            done[key] = finish(ask(out, method=method, **changes))
        return done[key]

    return get


def same(a: Record, b: Record) -> None:
    """Equal in every value of every column, and in what was trained; costs may differ."""
    pd.testing.assert_frame_equal(a.frame, b.frame, check_exact=True)
    for key in ("asked", "losses", "parameters", "state_bytes", "inference_bytes", "data",
                "weights", "order", "reports"):  # fmt: skip
        assert a.provenance[key] == b.provenance[key], key


def stop(request: Request, head: str, at: int) -> Plan:
    """Run until the event, and check that it came."""
    plan = make_plan(request)
    with pytest.raises(Stopped):
        execute(plan, Bomb(head, at))
    assert not plan.target.exists()
    return plan


def workspace(plan: Plan) -> Path:
    (folder,) = (plan.scratch / "running").iterdir()
    return folder


# ---- What one run writes -----------------------------------------------------------------------


def test_one_parquet_named_after_the_request(
    ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ask(tmp_path)
    assert run_all([request], "", "none") == 0
    files = sorted((p for p in tmp_path.rglob("*") if p.is_file()), reverse=True)
    name = (
        "ft+batch_size=4+epochs=1+evals=id+limit=16+pretrained=random-0"
        "--tiny-s--photos,gen-art--s42."
    )
    # Whoever takes the folder's *.parquet has the records.
    assert files == [tmp_path / "scratch" / "mini" / (name + kind)
                     for kind in ("parquet", "evidence")]  # fmt: skip
    assert capsys.readouterr().out == f"{files[0]}\n"
    record = read_record(files[0])
    validate(record.frame, files[0])
    assert len(record.frame) == 3 * 2 * 2 * 3  # stages, sets, directions, k
    assert set(record.frame["status"]) == {"ok"}
    assert set(record.frame["role"]) == {"seen", "current", "future"}
    # The same command again: nothing is run, and it says so.
    before = files[0].stat().st_mtime_ns
    assert run_all([request], "", "plain") == 0
    out = capsys.readouterr().out
    assert "already finished" in out
    assert "limited to 16 images" in out
    assert out.splitlines()[-1] == str(files[0])
    assert files[0].stat().st_mtime_ns == before
    assert run_all([ask(tmp_path, overwrite=True)], "", "plain") == 0
    out = capsys.readouterr().out
    assert "already finished" not in out
    assert "task 2/2" in out
    assert files[0].stat().st_mtime_ns > before
    same(read_record(files[0]), record)


@pytest.mark.slow
def test_a_record_has_the_accuracy_of_a_router_on_every_learned_task(
    ask: Ask, whole: Callable[..., Record]
) -> None:
    """Of each set at each stage, how many images took which route; the task's own is the k."""
    asked: dict[str, Any] = {"suite": "mini-xtail", "order": "digits,planes"}
    hp = ("router_steps=60", "experts=5")
    frame = whole(method="moe-adapter", hp=hp, **asked).frame
    routed = frame[frame["metric"] == "route"]
    assert set(routed["direction"]) == {"image"}
    groups: Any = routed.groupby(["step", "eval_position"])
    for (step, position), rows in groups:
        shares = dict(zip(rows["k"], rows["hits"], strict=True))
        assert sum(shares.values()) == 16
        assert shares.keys() <= {*range(step), UNSEEN}
        assert (shares.get(position - 1, 0) >= 8) == (position <= step)
    assert len(groups) == 4


def test_a_run_that_fails_keeps_no_other_from_running(
    ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ask(tmp_path, method="zs", order="photos")
    bad = [ask(tmp_path, hp=(f"lr={lr}",), order="photos") for lr in (1e30, 1e31)]
    with pytest.raises(BenchError, match=r"2 of 3 runs that failed, the first with .*nan") as e:
        run_all([*bad, good], "", "plain")
    assert e.value.code == 3
    out = capsys.readouterr().out
    assert out.count("this run has failed: expected a finite loss") == 2
    assert len(list((tmp_path / "scratch" / "mini").glob("zs*.parquet"))) == 1
    with pytest.raises(BenchError, match="expected a finite loss") as e:
        run_all(bad[:1], "", "plain")


def test_fresh_takes_no_record_of_shared_training(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished record counts for --fresh if nothing in it was trained by another run."""
    request = ask(tmp_path)
    assert run_all([request], "", "none") == 0
    plan = make_plan(request)
    record = read_record(plan.target)
    assert run_all([request], "", "none") == 0
    taken = replace(record, provenance={**record.provenance, "shared": [None, 3.5]})
    monkeypatch.setattr("benchmark.cli.run.read_record", lambda path: taken)
    with pytest.raises(BenchError, match=r"another training .*--overwrite"):
        run_all([request], "", "none")
    assert run_all([replace(request, fresh=False)], "", "none") == 0


def test_provenance_is_complete(whole: Callable[..., Record]) -> None:
    about = whole("ft").provenance
    assert about["asked"]["limit"] == 16
    assert about["asked"]["recipe"]["batch_size"] == 4
    assert {len(about["code"]["sha256"]), len(about["method"]["sha256"])} == {64}
    assert {"commit", "dirty"} <= about["code"].keys()
    assert torch.__version__.startswith(about["versions"]["torch"])
    assert {"python", "cl-bench", "numpy", "open_clip_torch", "pillow"} <= about["versions"].keys()
    assert {"cpu", "cores", "memory_gib", "system", "device"} <= about["hardware"].keys()
    assert about["hardware"]["threads"] == 1
    assert len(about["weights"]["sha256"]) == 64
    assert set(about["data"]["train"]) == set(about["data"]["test"]) == {"photos", "gen-art"}
    prints = [*about["data"]["train"].values(), *about["data"]["test"].values()]
    assert len({*prints}) == 4
    assert len(about["parameters"]["trainable"]) == 2
    assert 0 < about["parameters"]["trainable"][0] < about["parameters"]["total"]
    assert about["state_bytes"] == [0, 0]  # beyond one copy of the backbone
    assert about["parameters"]["inference"] == about["inference_bytes"] == [0, 0]
    read = whole("dar").provenance
    assert 4 * read["parameters"]["inference"][1] <= read["inference_bytes"][1]
    assert read["inference_bytes"] == read["state_bytes"]  # its adapters are read by predictions
    first, second = whole("dar").provenance["state_bytes"]
    assert 0 < first < second < 2.1 * first
    assert {"prepare", "train", "evaluate"} == about["seconds"].keys()
    assert {"prepare", "train", "evaluate"} == about["peak_memory"].keys()
    assert all(peaks["process_mib"] > 50 for peaks in about["peak_memory"].values())
    assert about["sources"].keys() == {"photos", "gen-art"}
    assert all(source["licence"] for source in about["sources"].values())
    assert [len(task) for task in about["losses"]] == about["chunks"] == [1, 1]
    assert all(0 < epoch["match"] < 20 for task in about["losses"] for epoch in task)
    assert about["reports"] == [{}, {}]
    assert (about["resumed"], about["order"]["tasks"]) == (0, ["photos", "gen-art"])
    assert about["created"].endswith("+00:00")
    assert any("limited to 16" in reason for reason in about["unofficial"])
    assert any("--evals id" in reason for reason in about["unofficial"])
    assert any("5 of the suite's tasks" in reason for reason in about["unofficial"])


TELLS = """
import torch
from benchmark.api import Method


class Teller(Method):
    label = "Teller"

    def trainable(self):
        return []

    def report(self):
        return {"route": torch.zeros(2)}
"""

DRAWS = """
import torch
from benchmark.api import Images, Method, Task, unit


class Draws(Method):
    label = "Draws"

    def __init__(self, clip, config, tools):
        super().__init__(clip, config, tools)
        self.register_buffer("noise_D", torch.randn(clip.dim))

    def before_task(self, task: Task) -> None:
        self.noise_D = self.noise_D + torch.randn(self.clip.dim)

    def trainable(self):
        return []

    def after_task(self, task: Task) -> None:
        self.noise_D = self.noise_D + torch.randn(self.clip.dim)

    def encode_image(self, images: Images):
        return unit(super().encode_image(images) + self.noise_D)
"""


@pytest.mark.slow
def test_hooks_draw_the_same_in_every_process(ask: Ask, tmp_path: Path) -> None:
    """Whatever ran before in the process, and after a stop; other seeds draw otherwise."""
    file = tmp_path / "draws.py"
    file.write_text(DRAWS)
    records = []
    for i, seed in enumerate((3, 3, 4)):
        torch.manual_seed(i)
        records.append(finish(ask(tmp_path / str(i), method=str(file), seed=seed)))
    stop(ask(tmp_path / "stopped", method=str(file), seed=3), "stage 1", 1)
    torch.manual_seed(9)
    same(finish(ask(tmp_path / "stopped", method=str(file), seed=3)), records[0])
    same(records[1], records[0])
    values = [r.frame.loc[r.frame["step"] > 0, "value"].tolist() for r in records]
    assert values[0] != values[2]


@pytest.mark.parametrize("method", FAST)
def test_two_runs_are_identical(
    ask: Ask, whole: Callable[..., Record], tmp_path: Path, method: str
) -> None:
    same(finish(ask(tmp_path, method=method)), whole(method))


class Mute(Exception):
    """One that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [Mute(), SystemExit(0), MemoryError(), BrokenPipeError()])
def test_whatever_ends_a_run_is_one_failed_run(
    error: BaseException, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise error

    monkeypatch.setattr(runner, "execute", crash)
    with pytest.raises(BenchError, match=f"2 of 2 runs that failed.* {type(error).__name__}"):
        run_all([ask(tmp_path, method="zs"), ask(tmp_path, method="ft")], "", "none")
    assert len(list((tmp_path / "scratch" / "failed").glob("*.txt"))) == 2


def test_an_interrupt_stops_all(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def stopped(plan: Plan, _: object) -> None:
        started.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "execute", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_all([ask(tmp_path, method="zs"), ask(tmp_path, method="ft")], "", "none")
    assert len(started) == 1
    assert not (tmp_path / "scratch" / "failed").exists()


def test_a_record_of_another_request_is_refused(ask: Ask, tmp_path: Path) -> None:
    plan = make_plan(ask(tmp_path, method="zs", order="photos"))
    finish(ask(tmp_path, method="zs", order="photos"))
    record = read_record(plan.target)
    recipe = record.provenance["asked"] | {"recipe": {"lr": 1.0}}
    frame = record.frame.astype(object)
    rows: Any = frame.where(frame.notna(), None).to_dict("records")
    write_record(plan.target, rows, record.provenance | {"asked": recipe})
    with pytest.raises(BenchError, match=r"another recipe; .*--overwrite") as error:
        run_all([ask(tmp_path, method="zs", order="photos")], "", "none")
    assert error.value.code == 5
    assert str(plan.target) in str(error.value)
    assert run_all([ask(tmp_path, method="zs", order="photos", overwrite=True)], "", "none") == 0


def test_ranks_that_were_not_kept_ask_for_no_new_training(
    ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(ask(tmp_path, method="zs", order="photos"))
    finish(ask(tmp_path, method="zs", order="photos"))
    before = plan.target.read_bytes()
    capsys.readouterr()
    assert run_all([ask(tmp_path, method="zs", order="photos", save_ranks=True)], "", "plain") == 0
    assert "did not keep the rank of every query" in capsys.readouterr().out
    assert plan.target.read_bytes() == before
    ranks = plan.target.with_suffix(".ranks.parquet")
    assert not ranks.exists()
    asked = ask(tmp_path, method="zs", order="photos", save_ranks=True, overwrite=True)
    assert run_all([asked], "", "none") == 0
    assert ranks.is_file()
    assert (
        run_all([ask(tmp_path, method="zs", order="photos")], "", "plain") == 0
    )  # and one with them will do
    assert "did not keep" not in capsys.readouterr().out
    assert ranks.is_file()


@pytest.mark.slow
def test_overwriting_leaves_no_ranks_of_the_old_record(ask: Ask, tmp_path: Path) -> None:
    plan = make_plan(ask(tmp_path, method="zs", save_ranks=True))
    finish(ask(tmp_path, method="zs", save_ranks=True))
    ranks = plan.target.with_suffix(".ranks.parquet")
    assert ranks.is_file()
    finish(ask(tmp_path, method="zs", overwrite=True))
    assert not ranks.exists()


@pytest.mark.slow
def test_a_scratch_record_follows_the_code(
    ask: Ask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_all([ask(tmp_path, method="zs")], "", "none")
    monkeypatch.setattr("benchmark.run.request.code_sha", lambda *_: "changed")
    capsys.readouterr()
    run_all([ask(tmp_path, method="zs")], "", "plain")
    assert "already finished" not in capsys.readouterr().out


# ---- Going on ----------------------------------------------------------------------------------

CHAIN = (
    ("stage 0", 1),
    ("task 1", 2),
    ("stage 1", 0),
    ("stage 1", 1),
    ("task 2", 3),
    ("stage 2", 1),
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ft", "dar"])
def test_stopped_at_every_kind_of_moment(
    ask: Ask,
    whole: Callable[..., Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    """One run that is stopped six times ends as one that was not."""
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    for head, at in CHAIN:
        stop(ask(tmp_path, method=method), head, at)
    display = Bomb()
    record = finish(ask(tmp_path, method=method), display)
    assert display.said("going on after 2 finished tasks")
    assert display.steps == []
    assert record.provenance["resumed"] >= 2
    same(record, whole(method))
    running = tmp_path / "scratch" / "running"
    assert not any(running.iterdir())


OURS = [name for name, origin in method_names().items() if origin.startswith("methods/")]
VARIANTS = [f"{name}.{tag}" for name in OURS if name != "dar" for tag in known(name).cls.variants]


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_where_it_is_defined(name: str, ask: Ask, tmp_path: Path) -> None:
    """On pairs and on labelled tasks; the variants of DAR have tests of their own."""
    found = find_method(name, [])
    for kind, order in (("pairs", {}), ("labelled", {"suite": "mini-xtail", "order": "digits"})):
        if kind in found.cls.refused(found.config):
            continue
        record = finish(ask(tmp_path, method=name, **order))
        assert set(record.frame["status"]) == {"ok"}
        assert set(record.frame["variant"]) == {name.partition(".")[2]}
        plain = json.loads(json.dumps(asdict(found.config)))  # tuples are lists in a record
        assert record.provenance["asked"]["config"] == plain


SHORT = {"router_steps": 20, "experts": 5, "hidden": 40, "memory": 30}  # where a method has them


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_every_method_goes_on_as_if_nothing_had_stopped_it(
    name: str,
    ask: Ask,
    whole: Callable[..., Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped inside its first task, right after it, and inside the second."""
    found = find_method(name, [])
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    asked: dict[str, Any] = {
        "method": name,
        "hp": tuple(f"{k}={v}" for k, v in SHORT.items() if hasattr(found.config, k)),
    }
    if "labelled" not in found.cls.refuses:
        asked |= {"suite": "mini-xtail", "order": "digits,planes"}
    record = whole(**asked)
    first, second = (len(epochs) > 0 for epochs in record.provenance["losses"])
    for head, at, comes in (("task 1", 2, first), ("stage 1", 1, True), ("task 2", 3, second)):
        if comes:
            stop(ask(tmp_path, **asked), head, at)
    again = finish(ask(tmp_path, **asked))
    assert again.provenance["resumed"] == first + 1 + second
    same(again, record)


def test_going_on_repeats_no_saved_step(
    ask: Ask, whole: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    stop(ask(tmp_path, method="dar"), "task 2", 3)
    (kept,) = (tmp_path / "scratch" / "running").glob("*/usage.json")
    before = json.loads(kept.read_text())
    display = Bomb()
    record = finish(ask(tmp_path, method="dar"), display)
    assert display.said("going on at step")
    about = record.provenance
    assert set(before["seconds"]) == {"prepare", "train", "evaluate"}
    assert all(about["seconds"][k] >= round(v, 2) > 0 for k, v in before["seconds"].items())
    for phase, peaks in before["memory"].items():
        assert about["peak_memory"][phase]["process_mib"] >= peaks["process_mib"] > 50
    assert {name for name, _ in display.steps} == {"task 2"}
    assert display.steps[0][1] >= 2
    assert record.provenance["resumed"] == 1
    same(record, whole("dar"))


@pytest.mark.slow
def test_reports_of_finished_tasks_outlive_a_stop(
    ask: Ask, whole: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CoDyRA says how many ranks it kept of every map, once for each task."""
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)
    changes: dict[str, Any] = {"method": "codyra", "hp": ("kappa_max=0.9",)}
    for head, at in (("stage 1", 1), ("task 2", 2)):
        stop(ask(tmp_path, **changes), head, at)
    record = finish(ask(tmp_path, **changes))
    assert record.provenance["resumed"] == 2
    same(record, whole(**changes))
    reports = record.provenance["reports"]
    assert len(reports) == 2
    assert reports[0]["ranks"] != reports[1]["ranks"]
    for report in reports:
        ranks = report["ranks"]
        assert len(ranks) == 6 * 7  # kinds of maps, blocks of both towers
        assert 0 <= min(ranks.values()) < max(ranks.values()) <= report["rank"] == 16
        assert sum(ranks.values()) / len(ranks) == pytest.approx(report["null"]["mean"], abs=2)
        assert 0 < report["parameters_kept"] < report["parameters"]


def test_a_report_that_no_record_can_hold_is_refused(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "teller.py"
    file.write_text(TELLS)
    with pytest.raises(BenchError, match=r"Tensor at report\.route"):
        finish(ask(tmp_path, method=str(file), order="photos"))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"a": float("nan")}, r"nan at report\.a"),
        ({"a": [1, -float("inf")]}, r"-inf at report\.a\[1\]"),
        ({"a": {"b": {1, 2}}}, r"set at report\.a\.b"),
        ({"a": {1: 2}}, r"the key 1 at report\.a"),
        ([], "list at report"),
        (None, "NoneType at report"),
        ({"a": "x" * REPORT_BYTES}, "bytes as JSON"),
    ],
)
def test_reports_that_are_not_plain(report: Any, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        plain_report(report)


def test_a_plain_report_is_what_json_gives_back() -> None:
    report = {"a": (1, 2.5, "x", None, True), "b": {"c": []}, "d": "y" * (REPORT_BYTES - 99)}
    assert plain_report(report) == json.loads(json.dumps(report))


@pytest.fixture(scope="module")
def stopped(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Output folders of runs stopped inside task 2 and inside the last evaluation."""
    moments, folders = {"task 2": 3, "stage 2": 1}, dict[str, Path]()

    def get(head: str) -> Path:
        if head not in folders:
            folders[head] = tmp_path_factory.mktemp("stopped")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(runner, "SAVE_EVERY", 0.0)
                stop(ask(folders[head]), head, moments[head])
        return folders[head]

    return get


DAMAGE = {
    "step": ("task 2", "step.safetensors", True),
    "task": ("stage 2", "task-002.safetensors", True),
    "older task": ("stage 2", "task-001.safetensors", False),
    "scores of stage 0": ("stage 2", "scores/000-photos.json", False),
    "scores of stage 1": ("stage 2", "scores/001-photos.json", True),
    "scores of stage 1 in task 2": ("task 2", "scores/001-gen-art.json", True),
    "scores of stage 2": ("stage 2", "scores/002-photos.json", False),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] * (c != "step")) for c in DAMAGE],
)
def test_a_file_cut_in_half(
    ask: Ask,
    whole: Callable[..., Record],
    stopped: Callable[[str], Path],
    tmp_path: Path,
    case: str,
) -> None:
    head, name, reported = DAMAGE[case]
    out = shutil.copytree(stopped(head), tmp_path / "out")
    plan = make_plan(ask(out))
    file = workspace(plan) / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    display = Bomb()
    record = finish(ask(out), display)
    assert display.said("damaged") == reported
    same(record, whole("ft"))


@pytest.mark.slow
def test_all_states_damaged(
    ask: Ask, whole: Callable[..., Record], stopped: Callable[[str], Path], tmp_path: Path
) -> None:
    out = shutil.copytree(stopped("stage 2"), tmp_path / "out")
    for file in workspace(make_plan(ask(out))).glob("*.safetensors"):
        file.write_bytes(b"")
    same(finish(ask(out)), whole("ft"))


def test_only_one_process_works_on_a_run(ask: Ask, tmp_path: Path) -> None:
    plan = make_plan(ask(tmp_path, method="zs", order="photos"))

    def second() -> None:
        with pytest.raises(BenchError, match="only process of this run") as error:
            execute(plan, Display(quiet=True))
        assert error.value.code == 6
        raise Stopped

    with pytest.raises(Stopped):
        execute(plan, Bomb("stage 1", 0, second))
    finish(ask(tmp_path, method="zs", order="photos"))  # the lock is gone with its holder


# ---- Disks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "left"),
    [
        pytest.param(0, 6, marks=pytest.mark.slow),
        pytest.param(1, 5, marks=pytest.mark.slow),
        pytest.param(6, 4, marks=pytest.mark.slow),
        pytest.param(10, 2, marks=pytest.mark.slow),
        (16, 0),
    ],
)
def test_a_full_disk_loses_nothing_computed(
    ask: Ask,
    whole: Callable[..., Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    left: int,
) -> None:
    """A full disk after n files: scores, seconds, the state of a task, scores, the record.

    Every score and every state is followed by the seconds spent so far.
    """
    want = whole("ft")
    monkeypatch.setattr(runner, "SAVE_EVERY", 1e9)
    calls, real = 0, os.fsync

    def full(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls > n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BenchError, match="No space left on device") as error:
            execute(make_plan(ask(tmp_path)), Bomb())
    assert error.value.code == 6
    display, scored = Bomb(), []

    def counted(*asked: Any, **more: Any) -> Scores:
        scored.append(asked[2].name)
        return evaluate(*asked, **more)

    monkeypatch.setattr(stages, "evaluate", counted)
    same(finish(ask(tmp_path), display), want)
    assert len(scored) == left
    assert display.said("going on after") == (n > 4)
    assert not list(tmp_path.rglob(".part-*"))


def test_an_output_folder_below_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="--output-dir") as error:
        finish(ask(tmp_path / "file" / "out", method="zs"))
    assert error.value.code == 6


# ---- Processes ---------------------------------------------------------------------------------


def start(request: Request, **how: Any) -> subprocess.Popen[str]:
    """The command line of a request, in a process of its own."""
    words = [
        "run", "--method", request.method, "--order", request.order, "--evals", request.evals,
        "--pretrained", str(request.pretrained), "--limit", str(request.limit),
        "--epochs", str(request.epochs), "--batch-size", str(request.batch_size),
        "--device", "cpu", "--display", "plain", "--seed", str(request.seed),
        "--output-dir", str(request.output_dir), "--cache-dir", str(request.cache_dir),
        *["--fresh"] * request.fresh,
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", START, *words],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **how,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"no '{words}': {process.stderr and process.stderr.read()}")


@pytest.mark.parametrize(
    "sent", [pytest.param(s, marks=pytest.mark.slow) for s in (signal.SIGINT, signal.SIGTERM)]
)
def test_an_interrupt_is_one_sentence(
    ask: Ask, whole: Callable[..., Record], tmp_path: Path, sent: signal.Signals
) -> None:
    request = ask(tmp_path)
    process = start(request)
    wait_for(process, "task 1/2")
    process.send_signal(sent)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert [line for line in err.splitlines() if "Warning" not in line] == [
        "interrupted: the same command goes on from here."
    ]
    assert workspace(make_plan(request)).is_dir()
    same(finish(request), whole("ft"))


def kill_often(request: Request, times: int, longest: float, seed: int) -> int:
    """Kills that came before the end; each after a random time from the first stage on."""
    rng, kills = random.Random(seed), 0
    target = make_plan(request).target
    for _ in range(times):
        if target.exists():
            break
        process = start(request)
        try:
            wait_for(process, "stage 0/")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, longest))
        finally:
            process.kill()
            process.communicate()
        kills += process.returncode == -signal.SIGKILL
    return kills


@pytest.mark.slow
def test_killed_by_the_system(ask: Ask, whole: Callable[..., Record], tmp_path: Path) -> None:
    """SIGKILL gives a process no chance to tidy up."""
    request = ask(tmp_path, method="lora-ft")
    process = start(request)
    wait_for(process, "stage 1/")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    display = Bomb()
    same(finish(request, display), whole("lora-ft"))
    assert display.said("going on")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_ten_times(
    ask: Ask, whole: Callable[..., Record], tmp_path: Path, method: str
) -> None:
    request = ask(tmp_path, method=method, epochs=12)
    started = time.monotonic()
    record = whole(method, epochs=12)
    seconds = time.monotonic() - started
    assert kill_often(request, 10, seconds / 6, seed=METHODS.index(method)) >= 3
    final = finish(request) if not make_plan(request).target.exists() else None
    same(final or read_record(make_plan(request).target), record)
