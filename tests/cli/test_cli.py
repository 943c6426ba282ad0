"""The command line: every option acts, every mistake is one sentence, torch stays away."""

import io
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmark.cli.display import make_display
from benchmark.cli.main import main
from benchmark.records.schema import validate
from benchmark.records.store import Record, read_record, read_records, write_record
from benchmark.run.provenance.numerics import NUMERICS

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
N_TRAIN, N_TEST = 12, 6
SUITE = """
name = "own"
pretrained = "random:0"

[recipe]
epochs = 1
batch_size = 4

[[task]]
name = "first"
title = "First"
train = "first-train.parquet"
test = "first-test.parquet"
captions = "captions"

[[task]]
name = "second"
train = "second-train.parquet"
test = "second-test.parquet"
captions = "captions"

[[task]]
name = "third"
train = "third-train.parquet"
test = "third-test.parquet"
label = "label"

[[held_out]]
name = "other"
test = "other-test.parquet"
captions = "captions"
"""
WORDS = ("red", "green", "blue", "dark", "pale", "warm", "cold", "large", "small", "round", "old",
         "new")  # fmt: skip


def picture(seed: int) -> bytes:
    """A small image of two colours, as PNG."""
    draw = torch.Generator().manual_seed(seed)
    a, b = (tuple(torch.randint(256, (3,), generator=draw).tolist()) for _ in range(2))
    image = Image.new("RGB", (16, 16), a)
    image.paste(b, (0, 0, 1 + seed % 15, 8))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_split(path: Path, n: int, seed: int, **changes: Any) -> None:
    columns: dict[str, Any] = {
        "image": [{"bytes": picture(100 * seed + i), "path": None} for i in range(n)],
        "captions": [[f"a {WORDS[i % 12]} thing", f"{path.stem} {i}"] for i in range(n)],
        "label": [("circle", "square", "star")[i % 3] for i in range(n)],
    }
    pq.write_table(pa.table({k: v for k, v in (columns | changes).items() if v is not None}), path)


def write_suite(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("first", "second", "third", "other")):
        write_split(folder / f"{name}-train.parquet", N_TRAIN, 2 * seed)
        write_split(folder / f"{name}-test.parquet", N_TEST, 2 * seed + 1)
    (folder / "own.toml").write_text(SUITE)
    return folder / "own.toml"


@dataclass
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def path(self) -> Path:
        return Path(self.out.splitlines()[-1])

    @property
    def record(self) -> Record:
        assert self.code == 0, self.err
        return read_record(self.path)


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """The entry point in this process; typer's own usage errors are wrapped to a wide line."""
    old = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")

    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cl-bench", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    yield call
    signal.signal(signal.SIGTERM, old)


@pytest.fixture
def run(cli: Callable[..., Ended], toml: Path, cache: Path, tmp_path: Path) -> Callable[..., Ended]:
    """`cl-bench run` of the tiny suite; a later option beats the ones given here."""

    def call(*words: object, method: str = "ft", suite: Path | None = None) -> Ended:
        named = () if "--method" in words else ("--method", method)
        base = ("run", *named, "--suite", suite or toml, "--device", "cpu")
        places = ("--cache-dir", cache, "--output-dir", tmp_path / "out")
        return cli(*base, *places, *words)

    return call


@pytest.fixture(scope="module")
def plain(toml: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Fine-tuning with every default, to compare with."""
    return by_default("ft", toml, cache, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def fixed(toml: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The same of the model that nothing trains."""
    return by_default("zs", toml, cache, tmp_path_factory.mktemp("fixed"))


def by_default(method: str, toml: Path, cache: Path, out: Path) -> Record:
    from benchmark.cli.run import run_all
    from benchmark.run.request import Request, make_plan

    request = Request(method, suite=str(toml), device="cpu", output_dir=out, cache_dir=cache)
    assert run_all([request], "", "none") == 0
    return read_record(make_plan(request).target)


def losses(record: Record) -> list[float]:
    return [epoch["match"] for task in record.provenance["losses"] for epoch in task]


# ---- Every option acts -------------------------------------------------------------------------


def test_official_records_need_committed_code(
    run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean = {"commit": "0" * 40, "dirty": []}
    states = [
        (clean, "out/own", ""),
        ({"commit": "0" * 40, "dirty": ["methods/ft.py"]}, "out/scratch/own", "methods/ft.py"),
        ({"commit": None, "dirty": []}, "out/scratch/own", "not in a git checkout"),
    ]
    frames = []
    for state, place, reason in states:
        monkeypatch.setattr("benchmark.run.request.git_state", lambda _, state=state: state)
        done = run("--overwrite", method="zs")
        assert done.path == tmp_path / place / "zs--tiny-s--forward--s42.parquet"
        validate(done.record.frame, done.path)
        assert reason in " ".join(done.record.provenance["unofficial"])
        assert (f"goes to {tmp_path / 'out' / 'scratch'}" in done.out) == bool(reason)
        frames.append(done.record.frame)
        pd.testing.assert_frame_equal(frames[-1], frames[0], check_exact=True)
    assert len(read_records(tmp_path / "out")) == 1
    monkeypatch.setattr("benchmark.run.request.git_state", lambda _: clean)
    again = run(method="zs")
    assert (again.code, again.path) == (0, tmp_path / "out/own/zs--tiny-s--forward--s42.parquet")
    assert "already finished" in again.out
    assert "the code has changed since" not in again.out
    # Moved and rewritten it is the same code; with another `numerics` or method it is not.
    monkeypatch.setattr("benchmark.run.request.code_sha", lambda *_: "changed")
    again = run(method="zs")
    assert "already finished" in again.out
    assert "the code has changed since" not in again.out
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.run.provenance.code.NUMERICS", NUMERICS + 1)
        assert "the code has changed since" in run(method="zs").out
    monkeypatch.setattr("benchmark.run.registry.method_sha", lambda *_: "changed")
    assert "the code has changed since" in run(method="zs").out


def test_the_default_suite_is_named_and_said(
    cli: Callable[..., Ended], run: Callable[..., Ended]
) -> None:
    assert "suite own: zs" in run("--order", "third", "--evals", "id", method="zs").out
    done = cli("run", "-m", "zs", "--device", "foo", "--pretrained", "random:0")
    assert "suite mini (the default" in done.out
    sentence(done, "correct --device")


@pytest.mark.slow
def test_batch_size(run: Callable[..., Ended], plain: Record) -> None:
    done = run("--batch-size", 6)
    assert done.path.name.startswith("ft+batch_size=6--")
    assert done.record.provenance["asked"]["recipe"]["batch_size"] == 6
    assert "step 2/2" in done.out
    assert "step 3/3" not in done.out
    assert losses(done.record) != losses(plain)


def test_epochs(run: Callable[..., Ended]) -> None:
    done = run("--epochs", 3, "--order", "first,second")
    assert done.path.name.startswith("ft+epochs=3--")
    assert [len(task) for task in done.record.provenance["losses"]] == [3, 3]
    assert "step 9/9" in done.out


@pytest.mark.slow
def test_every_caption_and_crops(run: Callable[..., Ended], plain: Record) -> None:
    """Both are in the name and in what was asked; an epoch has the steps of all captions."""
    one = run("--caption-sampling", "all", "--order", "first")
    assert one.path.name.startswith("ft+caption_sampling=all--")
    assert one.record.provenance["asked"]["recipe"]["caption_sampling"] == "all"
    two = run("--crops", "random")
    assert two.path.name.startswith("ft+crops=random--")
    asked = two.record.provenance["asked"]["recipe"]
    assert (asked["crops"], "caption_sampling" in asked) == ("random", False)
    assert two.record.provenance["data"]["crops"].startswith("crop-0.9-1-bicubic-")
    assert losses(two.record) != losses(plain)
    assert two.record.provenance["data"]["train"] == plain.provenance["data"]["train"]
    assert "crops" not in plain.provenance["asked"]["recipe"]
    assert "crops" not in plain.provenance["data"]
    stage = two.record.frame["step"] == 0
    assert two.record.frame[stage].value.equals(plain.frame[plain.frame["step"] == 0].value)


def test_an_option_that_says_the_default_changes_no_name(run: Callable[..., Ended]) -> None:
    usual = ("--caption-sampling", "random", "--crops", "none")
    assert run("--epochs", 1, "--batch-size", 4, *usual, method="zs").path.stem == (
        "zs--tiny-s--forward--s42"
    )


def test_limit(run: Callable[..., Ended]) -> None:
    done = run("--limit", 5, method="zs")
    assert "scratch" in done.path.parts
    frame = done.record.frame
    assert set(frame.loc[frame["direction"] == "i2t", "n_queries"]) == {5}
    assert set(frame.loc[frame["direction"] == "i2t", "n_gallery"]) == {10}


@pytest.mark.slow
def test_precision(run: Callable[..., Ended], plain: Record) -> None:
    done = run("--precision", "bf16")
    assert done.path.name.startswith("ft+precision=bf16--")
    low = losses(done.record)
    assert low != losses(plain)
    assert all(math.isclose(a, b, rel_tol=0.05) for a, b in zip(low, losses(plain), strict=True))


@pytest.mark.slow
def test_seed_repeated(run: Callable[..., Ended], plain: Record, tmp_path: Path) -> None:
    done = run("--seed", 42, "--seed", 7, "--seed", 7, "--display", "none")
    paths = [Path(line) for line in done.out.splitlines()]
    assert [p.stem.rpartition("--")[2] for p in paths] == ["s42", "s7"]
    first, second = map(read_record, paths)
    assert losses(first) == losses(plain)
    assert losses(second) != losses(plain)
    assert set(second.frame["seed"]) == {7}


@pytest.mark.slow
def test_methods_and_orders_repeated(run: Callable[..., Ended]) -> None:
    """Every pair of them, once; a mistake in one of them stops all before anything is run."""
    words = ("--method", "zs", "--method", "joint", "--method", "zs")
    orders = ("--order", "first,second", "--order", "second,first")
    done = run(*words, *orders, "--epochs", 1, "--limit", 4, "--display", "none")
    names = [Path(line).name.split("--") for line in done.out.splitlines()]
    assert [(n[0].partition("+")[0], n[2]) for n in names] == [
        ("zs", "first,second"), ("zs", "second,first"),
        ("joint", "first,second"), ("joint", "second,first"),
    ]  # fmt: skip
    wrong = run("--method", "zs", "--method", "nothing", "--order", "third,first", "--limit", 4)
    assert wrong.code == 2
    assert "'nothing'" in wrong.err
    assert wrong.out == ""


@pytest.mark.slow
def test_evals(run: Callable[..., Ended], plain: Record, fixed: Record) -> None:
    assert set(plain.frame["role"]) == {"seen", "current", "future", "ood"}
    for method, whole, asked, tasks in (
        ("ft", plain, "id", {"first", "second", "third"}),
        ("zs", fixed, "ood", {"other"}),
    ):
        done = run("--evals", asked, method=method)
        assert f"evals={asked}" in done.path.name
        assert set(done.record.frame["eval_task"]) == tasks
        part = whole.frame[whole.frame["eval_task"].isin(tasks)].reset_index(drop=True)
        for column in ("step", "eval_task", "direction", "metric", "k", "value", "hits"):
            pd.testing.assert_series_equal(done.record.frame[column], part[column])


def test_save_ranks_from_which_every_hit_follows(run: Callable[..., Ended], fixed: Record) -> None:
    done = run("--save-ranks")
    ranks = pq.read_table(done.path.with_suffix(".ranks.parquet")).to_pandas()
    hits = done.record.frame[done.record.frame["metric"] == "hit"]
    assert len(hits) == 4 * 3 * 2 * 3
    row: Any
    for row in hits.itertuples():
        mine = ranks[
            (ranks["step"] == row.step)
            & (ranks["eval_task"] == row.eval_task)
            & (ranks["direction"] == row.direction)
        ]
        assert list(mine["query"]) == list(range(row.n_queries))
        assert (mine["rank"] < row.k).sum() == row.hits
    assert fixed.path.is_file()
    assert not fixed.path.with_suffix(".ranks.parquet").exists()


@pytest.mark.slow
def test_display(run: Callable[..., Ended]) -> None:
    done = run("--display", "none", method="zs")
    assert done.out == f"{done.path}\n"
    assert done.path.is_file()
    assert "already finished" in run("--display", "plain", method="zs").out
    live = run("--display", "rich", "--overwrite")
    assert live.code == 0
    assert "task 3/3 third" in live.out
    assert live.err == ""


def test_cache_dir(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    done = run("--cache-dir", tmp_path / "here", method="zs")
    assert done.code == 0
    assert len(list((tmp_path / "here" / "pixels").glob("*.npy"))) == 7
    assert list((tmp_path / "here" / "features").glob("*.npy"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    error = run("--cache-dir", blocked / "x", "--overwrite", method="zs")
    assert (error.code, error.err.count("\n")) == (6, 1)


def test_orders(run: Callable[..., Ended]) -> None:
    done = run("--order", "measured", method="zs").record
    order = done.provenance["order"]
    assert sorted(order["tasks"]) == ["first", "second", "third"]
    scores = [order["measured"][name] for name in order["tasks"]]
    assert scores == sorted(scores, reverse=True)
    start = done.frame[(done.frame["step"] == 0) & (done.frame["k"].fillna(1) == 1)]
    zero_shot = start[start["direction"] != "t2i"].set_index("eval_task")["value"]
    assert {name: zero_shot[name] for name in order["tasks"]} == order["measured"]
    assert set(done.frame["task_order"]) == {",".join(order["tasks"])}
    some = run("--order", "third,first", method="zs")
    assert "third,first" in some.path.name
    assert set(some.record.frame["eval_task"]) == {"third", "first", "other"}
    assert set(some.record.frame["n_steps"]) == {2}


@pytest.mark.slow
def test_orders_that_are_drawn_or_turned(run: Callable[..., Ended]) -> None:
    reverse = run("--order", "reverse", method="zs").record
    assert set(reverse.frame["task_order"]) == {"third,second,first"}
    drawn = run("--order", "random:7", method="zs")
    assert "--random-7--" in drawn.path.name
    again = run("--order", "random:7", "--seed", 7, method="zs")
    assert drawn.record.provenance["order"] == again.record.provenance["order"]


@pytest.mark.slow
def test_backbone_and_pretrained(run: Callable[..., Ended], plain: Record) -> None:
    other = run("--backbone", "tiny-b", method="zs")
    assert other.path.stem == "zs--tiny-b--forward--s42"
    seeds = [run("--pretrained", f"random:{n}", method="zs") for n in (0, 1)]
    assert seeds[0].path.stem == "zs--tiny-s--forward--s42"
    assert seeds[1].path.stem == "zs+pretrained=random-1--tiny-s--forward--s42"
    weights = {done.record.provenance["weights"]["sha256"] for done in (other, *seeds)}
    assert len(weights) == 3
    assert seeds[0].record.provenance["weights"] == plain.provenance["weights"]


def test_hp(run: Callable[..., Ended]) -> None:
    short = ("--order", "first", "--evals", "id")
    done = [run("--hp", f"rank={n}", *short, method="lora-ft") for n in (4, 8)]
    sizes = [d.record.provenance["parameters"]["trainable"][0] for d in done]
    assert sizes[1] == 2 * sizes[0]
    assert done[0].path.name.startswith("lora-ft+rank=4+evals=id--")
    slow = run("--hp", "lr=1e-9", *short).record
    fast = run("--hp", "lr=1e-2", *short).record
    assert losses(slow) != losses(fast)
    assert slow.provenance["asked"]["config"]["lr"] == 1e-9


@pytest.mark.slow
def test_device(run: Callable[..., Ended]) -> None:
    assert run("--device", "cpu", method="zs").record.provenance["hardware"]["device"] == "cpu"


def test_a_method_that_is_not_defined_for_a_kind_of_task(run: Callable[..., Ended]) -> None:
    done = run(method="rail-primal")
    sentence(done, "'first', of the kind 'pairs'", "needs class labels", "another suite, --order")
    assert "stage 0" not in done.out
    done = run(method="codyra.released")
    sentence(done, "'first', of the kind 'pairs'", "counts classes")
    assert "stage 0" not in done.out
    assert run("--order", "third", "--evals", "id", method="rail-primal").code == 0


# ---- Mistakes ----------------------------------------------------------------------------------


def sentence(done: Ended, *words: str, code: int = 2) -> None:
    """One sentence on stderr, no traceback, no record."""
    assert done.code == code, done.err
    assert done.err.startswith("error: expected "), done.err
    assert done.err.count("\n") == 1
    assert done.err.endswith(".\n")
    assert "Traceback" not in done.out + done.err
    missed = [word for word in words if word not in done.err]
    assert not missed, f"{missed} not in: {done.err}"


MISTAKES = {
    "method": ("--method lora-tf", "did you mean 'lora-ft'"),
    "no method": ("--method xyzzy", "choose one of"),
    "variant": ("--method dar.r9", "did you mean 'r8'"),
    "method file": ("--method ./none.py", "no file './none.py'"),
    "suite": ("--suite mimi", "did you mean 'mini'"),
    "order": ("--order forwrd", "did you mean 'forward'"),
    "order name": ("--order first,secnd", "did you mean 'second'"),
    "order twice": ("--order first,first", "each task once"),
    "order random": ("--order random:x", "random:7"),
    "hp key": ("--method dar --hp rnak=3", "did you mean 'rank'"),
    "hp form": ("--hp lr", "key=value"),
    "hp type": ("--hp lr=fast", "type float"),
    "hp nan": ("--hp lr=nan", "type float"),
    "hp lr": ("--hp lr=-1", "lr"),
    "hp weight decay": ("--hp weight_decay=-1", "weight_decay"),
    "hp rank": ("--method lora-ft --hp rank=0", "rank"),
    "hp rank below": ("--method lora-ft --hp rank=-2", "rank"),
    "hp dropout": ("--method lora-ft --hp dropout=1.5", "dropout"),
    "hp targets": ("--method lora-ft --hp targets=mlp.c_fcc", "mlp.c_fcc"),
    "hp no targets": ("--method lora-ft --hp targets=", "target"),
    "evals": ("--evals foo", "all, id, ood"),
    "order ii": ("--order ii", "a suite with an order II"),
    "captions": ("--caption-sampling every", "--caption-sampling of random, all"),
    "crops": ("--crops centre", "--crops of none, random"),
    "templates": ("--templates generic", "--templates beside a suite with a choice"),
    "templates name": ("--templates single", "generic, per-dataset, first, ensemble"),
    "precision": ("--precision fp16", "fp32, bf16"),
    "device": ("--device gpu", "auto, cpu"),
    "device number": ("--device cuda:99", "cuda:99"),
    "device kind": ("--device mps", "mps"),
    "limit": ("--limit 0", "--limit of at least 1"),
    "epochs": ("--epochs 0", "--epochs of at least 1"),
    "batch": ("--batch-size 0", "--batch-size of at least"),
    "seed": ("--seed -1", "--seed in 0"),
    "seed big": ("--seed 2147483648", "--seed in 0"),
    "second seed": ("--seed 1 --seed -1", "--seed in 0"),
    "backbone": ("--backbone tiny-z", "did you mean 'tiny-"),
    "backbone far": ("--backbone ViT-B-16-quikgelu", "did you mean 'ViT-B-16-quickgelu'"),
    "backbone layout": ("--backbone RN50", "RN50"),
    "pretrained": ("--pretrained bundeld", "bundeld"),
    "pretrained random": ("--pretrained random:x", "random:<whole number of up to 18 digits>"),
    "pretrained random none": ("--pretrained random:", "random:<whole number of up to 18 digits>"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(run: Callable[..., Ended], tmp_path: Path, case: str) -> None:
    words, *said = MISTAKES[case]
    sentence(run(*words.split()), *said)
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu(run: Callable[..., Ended]) -> None:
    sentence(run("--device", "cuda"), "a device of this machine (auto, cpu)", "'cuda'")


def test_missing_files(run: Callable[..., Ended], tmp_path: Path) -> None:
    sentence(run("--suite", "none.toml"), "a file none.toml", code=4)
    gone = run("--pretrained", tmp_path / "none.safetensors")
    sentence(gone, "none.safetensors", code=4)
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0")
    sentence(run("--pretrained", tmp_path / "cut.safetensors"), "cut.safetensors", code=4)


@pytest.mark.parametrize(
    "words",
    ["--limit abc", "--display loud", "--batchsize 4", "--seed 1.5", "extra"],
)
def test_usage_errors_of_the_parser(run: Callable[..., Ended], words: str) -> None:
    done = run(*words.split())
    assert done.code == 2
    assert words.split()[-1 if words == "extra" else 0] in done.err
    assert "Traceback" not in done.out + done.err


def test_a_method_is_needed(cli: Callable[..., Ended]) -> None:
    done = cli("run")
    assert done.code == 2
    assert "--method" in done.err


@pytest.mark.parametrize(
    "foreign",
    ["cut", *(pytest.param(f, marks=pytest.mark.slow) for f in ("other", "text", "empty"))],
)
def test_a_foreign_file_where_the_record_goes(run: Callable[..., Ended], foreign: str) -> None:
    path = run(method="zs").path
    whole = path.read_bytes()
    content = {"cut": whole[:-200], "text": b"hello", "empty": b"", "other": b""}[foreign]
    path.write_bytes(content)
    if foreign == "other":
        pq.write_table(pa.table({"a": [1]}), path)
    sentence(run(method="zs"), str(path), "repeat its run", code=5)
    done = run("--overwrite", method="zs")
    assert done.code == 0
    validate(done.record.frame, path)


@pytest.mark.slow
def test_another_recipe_in_the_same_suite(run: Callable[..., Ended], tmp_path: Path) -> None:
    toml = write_suite(tmp_path / "suite")
    assert run(method="zs", suite=toml).code == 0
    toml.write_text(SUITE.replace("batch_size = 4", "batch_size = 6"))
    sentence(run(method="zs", suite=toml), "recipe", "--overwrite", code=5)
    toml.write_text('version = "2.0"\n' + SUITE)
    sentence(run(method="zs", suite=toml), "suite_version", code=5)
    assert run("--overwrite", method="zs", suite=toml).record.frame["suite_version"][0] == "2.0"


LAST: dict[str, tuple[dict[str, Any], str, int]] = {
    "corrupt image": ({"image": [{"bytes": picture(1)[:60], "path": None}] * 6}, "row 0", 2),
    "blank caption": ({"captions": [["a"], ["b"], ["c"], ["d"], ["e"], ["  "]]}, "row 5", 2),
    "no caption": ({"captions": [["a"], ["b"], [], ["d"], ["e"], ["f"]]}, "row 2", 2),
    "missing column": ({"captions": None}, "captions", 2),
    "empty": ({"image": [], "captions": [], "label": []}, "other-test.parquet", 2),
}


@pytest.mark.parametrize("case", LAST)
def test_the_last_dataset_is_read_before_the_first_step(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    def no_step(*_: Any) -> float:
        raise AssertionError("a training step was made")

    monkeypatch.setattr("benchmark.run.train.Fit._step", no_step)
    toml = write_suite(tmp_path / "suite")
    changes, words, code = LAST[case]
    if case == "empty":
        table = pq.read_table(tmp_path / "suite" / "other-test.parquet")
        pq.write_table(table.slice(0, 0), tmp_path / "suite" / "other-test.parquet")
    else:
        write_split(tmp_path / "suite" / "other-test.parquet", N_TEST, 7, **changes)
    sentence(run(suite=toml), "other-test.parquet", words, code=code)


def test_a_missing_data_file(run: Callable[..., Ended], tmp_path: Path) -> None:
    toml = write_suite(tmp_path / "suite")
    (tmp_path / "suite" / "other-test.parquet").unlink()
    sentence(run(suite=toml), "other-test.parquet", code=4)


def test_a_diverging_run_is_one_sentence(run: Callable[..., Ended]) -> None:
    sentence(run("--hp", "lr=1e30", "--epochs", 3), "a finite loss", "lower --hp lr", code=3)


# ---- The other commands ------------------------------------------------------------------------


@pytest.mark.slow
def test_show(run: Callable[..., Ended], cli: Callable[..., Ended], tmp_path: Path) -> None:
    path = run("--limit", 6, method="dar").path
    shown = cli("show", path)
    assert shown.code == 0
    for words in (
        "order forward (first,second,third), seed 42, tiny-s (random:0)", f"numerics {NUMERICS}",
        "text to image R@1", "image to text R@1", "accuracy, rows", "0 zero-shot", "3 third",
        "images routed to each adapter", "texts routed to each adapter", "not for the leaderboard",
    ):  # fmt: skip
        assert words in shown.out, words
    routes = shown.out.partition("images routed")[2].splitlines()[4]
    assert sum(float(cell) for cell in routes.split()[1:]) == pytest.approx(100, abs=0.2)
    assert "R@5" in cli("show", path, "--k", 5).out
    sentence(cli("show", path, "--k", 7), "a score that the record has")
    sentence(cli("show", tmp_path / "none.parquet"), "none.parquet", code=4)
    sentence(cli("show", tmp_path), "a record's file")
    (tmp_path / "x.parquet").write_text("x")
    sentence(cli("show", tmp_path / "x.parquet"), "x.parquet", code=5)


def record_of(path: Path, titles: dict[str, str], about: dict[str, Any], *more: str) -> Path:
    """A small record of two pairs tasks; `more` are modalities whose routes are noted."""
    rows: list[dict[str, Any]] = []
    for step, (place, (task, title)) in itertools.product(
        range(3), enumerate(titles.items(), start=1)
    ):
        run = {
            "suite": "own", "suite_version": "1.0", "method": "ft", "variant": "", "settings": "",
            "backbone": "tiny", "pretrained": "p", "order": "forward", "seed": 1, "n_steps": 2,
            "task_order": ",".join(titles), "uses": "", "source": "measured", "status": "ok",
            "step": step, "eval_task": task, "eval_title": title, "eval_position": place,
            "role": "seen", "kind": "pairs", "n_queries": 10, "n_gallery": 10,
        }  # fmt: skip
        cells = [("hit", d, k, 4 + place) for d in ("t2i", "i2t") for k in (1, 5, 10)]
        cells += [("route", d, k, 5 * k + 2) for d in more for k in (0, 1)]
        for metric, direction, k, hits in cells:
            score = {"metric": metric, "direction": direction, "k": k}
            rows.append(run | score | {"hits": hits, "value": hits / 10})
    write_record(path, rows, about)
    return path


def test_show_tells_datasets_of_one_title_apart(cli: Callable[..., Ended], tmp_path: Path) -> None:
    titles = {"first": "Same", "second": "Same"}
    shown = cli("show", record_of(tmp_path / "r.parquet", titles, {}, "image"))
    assert shown.code == 0, shown.err
    assert "Same (first)" in shown.out
    assert "Same (second)" in shown.out
    routes = shown.out.partition("images routed to each adapter")[2].splitlines()[3:]
    assert [line.split() for line in routes] == [
        ["first", "20.0", "70.0"], ["second", "20.0", "70.0"],
    ]  # fmt: skip
    assert "texts routed" not in shown.out


@pytest.mark.parametrize(
    ("peaks", "said"),
    [
        ({"process_mib": 50}, "made ? at commit None, peak 50 MiB\n"),
        ({"process_mib": 50, "gpu_mib": 7}, "peak 50 MiB, GPU 7 MiB\n"),
        ({"prepare": {"process_mib": 90}, "train": {"process_mib": 80}}, "peak 90 MiB\n"),
        (
            {"prepare": {"process_mib": 9}, "train": {"process_mib": 8, "gpu_mib": 6}},
            "peak 9 MiB, GPU 6 MiB\n",
        ),
        ({}, "at commit None\n"),
    ],
)
def test_show_the_largest_memory(
    cli: Callable[..., Ended], tmp_path: Path, peaks: dict[str, Any], said: str
) -> None:
    about = {"peak_memory": peaks}
    assert said in cli("show", record_of(tmp_path / "r.parquet", {"a": "A", "b": "B"}, about)).out


def test_show_what_is_no_record(cli: Callable[..., Ended], tmp_path: Path) -> None:
    empty, odd = tmp_path / "empty.parquet", tmp_path / "odd.parquet"
    write_record(empty, [], {})
    sentence(cli("show", empty), "at least one row", "empty.parquet", code=5)
    record_of(odd, {"a": "A", "b": "B"}, {"code": None})
    sentence(cli("show", odd), "provenance 'code'", "odd.parquet", code=5)


def test_titles_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    display = make_display("rich")
    with display.training("task 1/1 [/v2]", 2, 1, 0):
        display.step(1, 0.5, 4)
    with display.evaluating("stage 1/1 [/v2]", 1):
        display.evaluated("[/v2]", "50.0")
    display.line("[/v2] done")
    assert "task 1/1 [/v2]" in capsys.readouterr().out


def test_tables(
    run: Callable[..., Ended],
    cli: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "benchmark.run.request.git_state", lambda _: {"commit": "0" * 40, "dirty": []}
    )
    assert run("--seed", 1, "--seed", 2, method="zs").code == 0
    where = (
        "--results", tmp_path / "out", "--out", tmp_path / "tables",
        "--leaderboard", tmp_path / "leaderboard.md",
    )  # fmt: skip
    stale = cli("tables", "--check", *where)
    sentence(stale, "leaderboard.md", "make tables", code=5)
    assert not (tmp_path / "tables").exists()
    made = cli("tables", *where)
    assert made.code == 0
    assert all(Path(line).is_file() for line in made.out.splitlines())
    assert "own" in (tmp_path / "leaderboard.md").read_text()
    before = {p: p.read_bytes() for p in (tmp_path / "tables").iterdir()}
    assert cli("tables", "--check", *where).code == 0
    assert cli("tables", *where).code == 0
    assert {p: p.read_bytes() for p in (tmp_path / "tables").iterdir()} == before
    sentence(cli("tables", "--results", tmp_path / "none"), "a folder of results", code=4)


def test_ls(cli: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = cli("ls").out
    for words in ("dar ", "lora-ft", "methods/zs.py", "mini 1.1", "photos, gen-art", "held out",
                  "random:<seed>", "none yet"):  # fmt: skip
        assert words in shown, words


def test_ls_of_a_method(cli: Callable[..., Ended], tmp_path: Path) -> None:
    dar = cli("ls", "dar").out
    for words in ("dar: DAR", "data of the current task alone",
                  "\n  reuse_threshold       none    section 3",
                  "\n  targets               attn.out_proj,mlp.c_fc,mlp.c_proj\n",
                  "--method dar.VARIANT", "rank=8, alpha=16.0, dropout=0.0"):  # fmt: skip
        assert words in dar, words
    oracle = cli("ls", "dar.route-oracle").out
    assert "uses   task id" in oracle
    assert "\n* routing               oracle  by this variant; sample by default\n" in oracle
    assert "variants" not in cli("ls", "ft").out
    file = tmp_path / "mine.py"
    file.write_text(
        "from benchmark.api import Method\n\n\nclass Mine(Method):\n    label = 'Mine'\n"
        "    variants = {'slow': {'lr': 1e-6}}\n"
    )
    assert "--method mine.py:VARIANT)\n  slow          lr=1e-06" in cli("ls", file).out
    sentence(cli("ls", "dra"), "did you mean", "'dar'")


def test_version(cli: Callable[..., Ended]) -> None:
    from benchmark import __version__

    assert cli("--version").out == f"{__version__}\n"


LIGHT = """
import json, sys
from benchmark.cli.main import main
sys.argv = ["cl-bench", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
assert "torch" not in sys.modules, "torch was imported"
assert "open_clip" not in sys.modules
"""


@pytest.mark.parametrize("words", ["--help", "run --help", "ls", "tables", "--version"])
def test_no_torch(words: str, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIGHT, json.dumps(words.split())],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


# What a run with open_clip's towers does not need on a CPU: it takes longer than all that it does.
NEEDLESS = {
    "open_clip", "transformers", "tokenizers", "timm", "torchvision", "torch._dynamo", "sympy",
    "torch._inductor", "matplotlib", "sklearn", "rich", "setuptools", "benchmark.backbones.blip",
}  # fmt: skip
READING = {"datasets", "huggingface_hub", "scipy", "requests", "httpx", "aiohttp", "fsspec"}
PARTS_ALONE = """
import sys
import torch
import benchmark.cli.main, benchmark.cli.run, benchmark.run.runner, benchmark.suites.ready
import benchmark.tables.render, methods.ft
from benchmark.backbones.load import load
from benchmark.protocol.optimisers import eager
clip = load("tiny-s", "bundled")
params = [p for p in clip.parameters() if p is not clip.logit_scale]
optimizer = eager(torch.optim.AdamW)(params, fused=True)
(clip.image(torch.zeros(2, 3, clip.size, clip.size)) @ clip.text(clip.tokenize(["a dog"])).T).sum(
    ).backward()
optimizer.step()
print(*sys.modules)
"""
RUN_ALONE = """
import sys
from benchmark.cli.main import main
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
assert "torch" in sys.modules
print(*sys.modules, file=sys.stderr)
"""


def test_the_parts_of_a_run_import_what_they_need() -> None:
    """All modules that a run is made of, a model that is read, and a step of the optimiser."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PARTS_ALONE], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (NEEDLESS | READING) & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    ("suite", "needless"),
    [
        pytest.param("own.toml", NEEDLESS, id="parquet files, which datasets reads"),
        pytest.param("mini", NEEDLESS | READING, id="embedded"),
    ],
)
@pytest.mark.slow
def test_a_run_imports_what_it_needs(
    suite: str, needless: set[str], toml: Path, cache: Path, tmp_path: Path
) -> None:
    """Data, training, evaluation and the record."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_ALONE, "run", "-m", "ft", "--limit", "4",
         "-s", str(toml if suite == toml.name else suite), "--cache-dir", f"{cache}",
         "--device", "cpu", "--display", "none", "--output-dir", f"{tmp_path}"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(".parquet\n")
    assert needless & set(done.stderr.splitlines()[-1].split()) == set()


def test_doctor_offline(
    cli: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path / "cache"))
    done = cli("doctor")
    assert done.code == 0
    assert "hub: http://127.0.0.1:9 not reachable" in done.out
    assert f"cache: {tmp_path / 'cache'}, 0 MiB used" in done.out
    assert f"torch {torch.__version__.partition('+')[0]}" in done.out
    assert "code: " in done.out
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    done = cli("doctor")
    assert done.code == 0
    assert "cannot be written" in done.out
    assert "offline by HF_HUB_OFFLINE" in done.out


@pytest.mark.parametrize("endpoint", ["http://localhost:80x", "http://local host", "nowhere", ""])
def test_doctor_with_a_wrong_address(
    cli: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path))
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert f"hub: {endpoint} not reachable" in done.out


def test_doctor_while_a_run_changes_the_cache(
    cli: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels").mkdir()
    (tmp_path / "pixels" / "kept").write_bytes(bytes(3 * 2**20))
    (tmp_path / "pixels" / "gone").symlink_to(tmp_path / "nowhere")  # listed, but not there
    monkeypatch.setenv("CL_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "kept").write_bytes(bytes(2**20))
    out = cli("doctor").out
    assert f"cache: {tmp_path}, 4 MiB used" in out
    assert "of it 1 MiB in features/ and trained/" in out
