"""`cl-bench repro` and `noise`, from the command to the verdict, on runs of a few images."""

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from benchmark.cli.main import main
from benchmark.records.evidence import Evidence, evidence_file, read_evidence, write_evidence
from benchmark.records.noise import noise_floor, read_noises
from benchmark.records.replays import read_replay, replay_of
from benchmark.records.store import Record, read_record, write_record
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute

torch.set_num_threads(1)

CLEAN = {"commit": "0" * 40, "dirty": []}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The entry point, in this process."""
    old = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cl-bench", *map(str, words), "--display", "none"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    yield call
    signal.signal(signal.SIGTERM, old)


@pytest.fixture(scope="session")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A record of a run on 16 images a split, made once for each method."""
    from benchmark.cli.display import Display

    done: dict[str, Path] = {}

    def get(method: str) -> Path:
        if method not in done:
            request = Request(
                method, "photos,gen-art", pretrained="random:0", limit=16, epochs=1, batch_size=4,
                evals="id", device="cpu", output_dir=tmp_path_factory.mktemp("made"),
                cache_dir=cache, fresh=True,
            )  # fmt: skip
            plan = make_plan(request)
            execute(plan, Display(quiet=True))
            done[method] = plan.target
        return done[method]

    return get


@pytest.fixture
def place(made: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy in a results folder of the test's own."""

    def get(method: str = "zs", name: str = "") -> Path:
        there = made(method)
        path = tmp_path / "kept" / "mini" / (name or there.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there, path)
        shutil.copy(evidence_file(there), evidence_file(path))
        return path

    return get


@pytest.fixture
def repro(cli: Cli, cache: Path, tmp_path: Path) -> Cli:
    def call(*words: object) -> Ended:
        return cli("repro", *words, "--cache-dir", cache, "--output-dir", tmp_path / "again")

    return call


def rewritten(
    path: Path, edit: Callable[[list[dict[str, Any]]], None], answers: Callable[[Any], None]
) -> Record:
    """The record with other rows and answers, sealed as the program would."""
    record = read_record(path)
    plain = record.frame.astype(object).where(record.frame.notna(), None)
    rows: list[dict[str, Any]] = plain.to_dict("records")  # type: ignore[assignment]
    edit(rows)
    there = read_evidence(evidence_file(path))
    found = {where: one.copy() for where, one in there.answers.items()}
    answers(found)
    seal = write_evidence(evidence_file(path), Evidence(there.keys, found, there.run))
    write_record(path, rows, record.provenance | {"evidence": dict(seal)})
    return read_record(path)


def nothing(_: object) -> None:
    """No edit."""


@pytest.mark.slow
def test_equal(repro: Cli, place: Callable[..., Path], tmp_path: Path) -> None:
    path = place()
    before = {p: p.read_bytes() for p in sorted((tmp_path / "kept").rglob("*.*"))}
    done = repro(path)
    assert done.code == 0, done.out + done.err
    assert "verdict: equal" in done.out
    assert (
        "command: OMP_NUM_THREADS=1 cl-bench run --method zs --suite mini --order photos,gen-art "
        "--seed 42 --pretrained random:0 --epochs 1 --batch-size 4 --limit 16 --evals id "
        "--device cpu\n" in done.out
    )
    assert "machine: as the record's" in done.out
    assert "code: the record's own" in done.out
    rows = len(read_record(path).frame)
    answers = sum(len(one) for one in read_evidence(evidence_file(path)).answers.values())
    assert f"compared {rows} scores and {answers} answers to queries" in done.out
    assert {p: p.read_bytes() for p in sorted((tmp_path / "kept").rglob("*.*"))} == before
    assert not list((tmp_path / "again").glob(".cache-*"))
    assert not list((tmp_path / "again").rglob("running/*"))


@pytest.mark.slow
def test_nothing_of_an_earlier_run_is_taken(
    repro: Cli, place: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the record of an earlier repetition nor features that lie in the user's cache."""
    from benchmark.data.cache.embeddings import Embeddings

    path = place()
    assert repro(path).code == 0
    assert list((cache / "features").iterdir())
    first: list[tuple[bool, bool]] = []
    plain = Embeddings._encoded

    def watched(self: Any, *args: Any) -> Any:
        first.append(((self._root / "features").exists(), (self._root / "pixels").exists()))
        return plain(self, *args)

    monkeypatch.setattr(Embeddings, "_encoded", watched)
    assert repro(path).code == 0
    assert first[0] == (False, True)  # nothing that a model computed, and the decoded images


@pytest.mark.slow
def test_one_hit_more(repro: Cli, place: Callable[..., Path]) -> None:
    """A forger who raises a score, and makes the evidence fit."""
    path = place()

    def better(found: Any) -> None:
        answer_Q = found["photos", "i2t", 2]
        answer_Q[int(np.argmax(answer_Q == 3))] = 2  # none of the first 10, now one of them

    def raised(rows: list[dict[str, Any]]) -> None:
        row = next(
            r for r in rows
            if (r["step"], r["eval_task"], r["direction"], r["k"]) == (2, "photos", "i2t", 10)
        )  # fmt: skip
        row["hits"] += 1
        row["value"] = row["hits"] / row["n_queries"]

    rewritten(path, raised, better)
    done = repro(path)
    assert done.code == 3
    assert "verdict: different" in done.out
    assert "step 2, photos i2t hit 10: " in done.out
    assert "step 2, photos i2t: 1 of 16 queries answered otherwise" in done.out
    done = repro(path, "--tolerance", "6.25", "--cells", "last")  # one of 16 images
    assert (done.code, "verdict: within tolerance (6.25 points)" in done.out) == (0, True)
    assert repro(path, "--tolerance", "6.2").code == 3
    assert repro(path, "--cells", "canary").code == 0


def test_canary_trains_nothing(
    repro: Cli, place: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a method was built")

    path = place("ft")
    for module in ("runner", "build"):
        monkeypatch.setattr(f"benchmark.run.{module}.build_method", never)
    done = repro(path, "--cells", "canary")
    assert done.code == 0, done.err
    first = read_record(path).frame
    assert f"compared {int((first['step'] == 0).sum())} scores" in done.out

    def other(rows: list[dict[str, Any]]) -> None:
        at = next(r for r in rows if r["step"] == 0 and r["direction"] == "t2i" and r["k"] == 10)
        at["hits"] -= 1
        at["value"] = at["hits"] / at["n_queries"]

    rewritten(path, other, nothing)
    assert repro(path, "--cells", "canary").code == 3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ft", "dar"])
def test_a_trained_method(repro: Cli, place: Callable[..., Path], method: str) -> None:
    done = repro(place(method))
    assert done.code == 0, done.out + done.err
    assert "verdict: equal" in done.out


@pytest.mark.slow
def test_write(
    repro: Cli, place: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = place()
    dirty = {"commit": "0" * 40, "dirty": ["methods/zs.py"]}
    monkeypatch.setattr("benchmark.run.request.git_state", lambda _: dirty)
    done = repro(path, "--write")
    assert done.code == 2
    assert "code that is not committed" in done.err
    monkeypatch.setattr("benchmark.run.request.git_state", lambda _: CLEAN)
    assert "trains nothing" in repro(path, "--write", "--cells", "canary").err
    elsewhere = tmp_path / "other" / path.name
    elsewhere.parent.mkdir()
    shutil.copy(path, elsewhere)
    shutil.copy(evidence_file(path), evidence_file(elsewhere))
    assert repro(elsewhere, "--write").code == 2
    misnamed = place(name="ft--tiny-s--forward--s42.parquet")
    assert repro(misnamed, "--write").code == 5
    assert not list(tmp_path.rglob("replays"))

    done = repro(path, "--write")
    assert done.code == 0, done.err
    replay = replay_of(path)
    assert replay is not None
    assert replay == read_replay(Path(done.out.splitlines()[-1]))
    assert (replay.verdict, replay.cells, replay.commit) == ("equal", "all", "0" * 40)
    assert (replay.compared, replay.otherwise) == (len(read_record(path).frame), 0)
    assert replay.confirms()
    rewritten(path, nothing, lambda found: found["photos", "i2t", 2].fill(0))
    assert replay_of(path) is None  # of these files nobody has made a replay
    assert repro(path, "--write").code == 3
    worse = replay_of(path)
    assert worse is not None
    assert (worse.verdict, worse.confirms(100)) == ("different", False)


METHOD = '''"""A plugin."""
from benchmark.api import Method
class Plugin(Method):
    label = "Plugin"
    def trainable(self):
        return []
'''


@pytest.mark.slow
def test_a_method_by_path(
    repro: Cli, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to be given again, and its content is compared."""
    from benchmark.cli.display import Display

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "plugin.py"
    file.write_text(METHOD)
    request = Request(
        str(file), "photos", pretrained="random:0", limit=8, evals="id", device="cpu",
        output_dir=tmp_path / "kept", cache_dir=cache,
    )  # fmt: skip
    plan = make_plan(request)
    execute(plan, Display(quiet=True))
    done = repro(plan.target)
    assert done.code == 2
    assert "--method" in done.err
    done = repro(plan.target, "--method", file)
    assert (done.code, "verdict: equal" in done.out) == (0, True)
    elsewhere = tmp_path / "elsewhere" / "plugin.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(METHOD + "\n\ndef helper():\n    return 1\n")
    done = repro(plan.target, "--method", elsewhere)
    assert "code: with another content of the method" in done.out
    assert done.code == 0  # it gives the very same numbers, which is said as well


def test_mistakes(repro: Cli, place: Callable[..., Path], tmp_path: Path) -> None:
    path = place()
    for words, code, said in (
        ((path, "--tolerance", "-1"), 2, "--tolerance"),
        ((path, "--tolerance", "nan"), 2, "--tolerance"),
        ((path, "--device", "tpu"), 2, "--device"),
        ((path, "--suite", "mini-xtail"), 2, "expected an order"),
        ((path, "--method", "ft"), 2, "method 'zs', here 'ft'"),
        ((path, "--pretrained", "bundled"), 2, "pretrained 'random:0', here 'bundled'"),
        ((tmp_path / "none.parquet",), 4, "none.parquet"),
        ((tmp_path,), 2, "folder"),
    ):
        done = repro(*words)
        assert (done.code, said in done.err) == (code, True), (words, done.err)
        assert done.err.count("error: expected") == 1
        assert "Traceback" not in done.err
    evidence_file(path).write_bytes(b"PAR1")
    assert repro(path).code == 5
    path.write_bytes(b"PAR1")
    assert repro(path).code == 5


def test_it_never_stands_among_records(
    cli: Cli, place: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = place()
    for folder in ("results", "results/again", tmp_path / "kept", tmp_path):
        done = cli("repro", path, "--output-dir", folder)
        assert (done.code, "--output-dir" in done.err) == (2, True)


@pytest.mark.slow
def test_noise(cli: Cli, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one processor there is none; a score that was moved in one of the runs is found."""
    words = ("noise", "--method", "zs", "--suite", "mini-mtil", "--output-dir", tmp_path / "out",
             "--cache-dir", cache, "--device", "cpu")  # fmt: skip
    assert cli(*words, "--repeats", "1").code == 2
    monkeypatch.setattr("benchmark.run.request.git_state", lambda _: CLEAN)
    limited = Request("zs", "planes,curios", "mini-mtil", limit=8, evals="id", device="cpu",
                      pretrained="random:0")  # fmt: skip
    monkeypatch.setattr(
        "benchmark.run.request.Request",
        lambda *a, **k: Request(**{**vars(limited), "fresh": k["fresh"],
                                   "output_dir": k["output_dir"], "cache_dir": k["cache_dir"]}),
    )  # fmt: skip
    from benchmark.cli import run as module

    plain, runs = module.run_all, list[Request]()

    def moved(requests: list[Request], why: str, mode: Any) -> int:
        runs.extend(requests)
        code = plain(requests, why, mode)
        if len(requests) == 3:  # as on a machine that adds up in another order
            last = make_plan(requests[-1]).target

            def change(rows: list[dict[str, Any]]) -> None:
                row = next(r for r in rows if r["step"] == 2 and r["eval_task"] == "planes")
                row["hits"] += 1 if row["hits"] < row["n_queries"] else -1
                row["value"] = row["hits"] / row["n_queries"]

            rewritten(last, change, nothing)
        return code

    monkeypatch.setattr(module, "run_all", moved)
    root = tmp_path / "out" / "scratch"  # limited runs are not official
    done = cli(*words, "--repeats", "2")
    assert done.code == 0, done.err
    assert "0 of them not the same" in done.out
    assert noise_floor(root, "mini-mtil") == 0.0
    assert len({run.cache_dir for run in runs} | {cache}) == 3
    assert all(run.fresh for run in runs)
    done = cli(*words)
    assert done.code == 0, done.err
    assert "1 of them not the same" in done.out
    assert "step 2, planes acc: at most 12.5 points" in done.out
    (found,) = read_noises(root, "mini-mtil")
    assert found.repeats == 3
    assert noise_floor(root, "mini-mtil") == 12.5  # 1 of 8 images
    assert noise_floor(root, "mini-mtil", step=0) == 0.0
    assert not (root / "noise").exists() or not list((root / "noise").rglob("*.parquet"))
    assert json.loads(Path(done.out.splitlines()[-1]).read_text())["repeats"] == 3
