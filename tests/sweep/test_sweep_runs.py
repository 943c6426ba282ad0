"""Whole sweeps: what they read, what they choose, and going on after a stop."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_suite import small_suite
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.data import rendered
from benchmark.data.split import Pairs
from benchmark.errors import BenchError
from benchmark.records.store import read_record
from benchmark.run import runner
from benchmark.run.asked.validation import Validation
from benchmark.run.request import Request, make_plan
from benchmark.suites.find import find_suite
from benchmark.suites.suite import Suite
from benchmark.tables.render import build_tables
from benchmark.validation.inspect import inspect

SWEEP = """
suite = "small.toml"
method = "ft"
tasks = 2
share = 0.25
seeds = [1]
[grid]
lr = [1e-5, 1e-3]
"""


@pytest.fixture
def ended(monkeypatch) -> list[str]:
    """The names of the runs that were made, in order."""
    found: list[str] = []
    execute = runner.execute

    def counted(plan: Any, report: Any) -> None:
        found.append(plan.stem)
        execute(plan, report)

    monkeypatch.setattr("benchmark.run.runner.execute", counted)
    return found


def sweep(file: Path, *more: str, display: str = "none") -> Any:
    where = ["--output-dir", str(file.parent / "out"), "--cache-dir", str(file.parent / "cache")]
    arguments = ["sweep", str(file), *where, "--display", display, *more]
    return CliRunner().invoke(app, arguments)


def made(folder: Path, text: str = SWEEP) -> Path:
    small_suite(folder)
    file = folder / "small-ft.toml"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished sweep, for reading."""
    file = made(tmp_path_factory.mktemp("whole"))
    done = sweep(file)
    assert done.exit_code == 0, done.output
    return file


def rewrite(table: Path, change: Callable[[list[str]], list[str]]) -> None:
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    says = change([row["says"] for row in rows])
    texts = [json.dumps({**row, "says": s}) for row, s in zip(rows, says, strict=True)]
    table.write_text("\n".join(texts))


def poison(folder: Path) -> None:
    """Labels and captions of every test set, and all that later tasks say, are others."""
    for table in folder.glob("*-test.jsonl"):
        before = table.read_text()
        rewrite(table, lambda says: says[1:] + says[:1])
        assert table.read_text() != before
    rewrite(folder / "later-train.jsonl", lambda says: [f"new {one}" for one in says])


def remove(folder: Path) -> None:
    """No test set is there, with its pictures, nor anything of later tasks."""
    for file in folder.iterdir():
        if "-test" in file.name or file.name.startswith("later"):
            file.unlink()


@pytest.mark.parametrize("change", [pytest.param(poison, marks=pytest.mark.slow), remove])
def test_what_test_sets_and_later_tasks_say_changes_no_byte(whole, tmp_path, change):
    file = made(tmp_path / "other")
    change(file.parent)
    done = sweep(file)
    assert done.exit_code == 0, done.output
    assert file.with_suffix(".json").read_bytes() == whole.with_suffix(".json").read_bytes()


@pytest.mark.slow
def test_training_data_do_change_it(whole, tmp_path):
    """The comparison above can fail."""
    file = made(tmp_path / "other")
    rewrite(file.parent / "words-train.jsonl", lambda says: says[1:] + says[:1])
    sweep(file)
    one, other = (json.loads(f.with_suffix(".json").read_text()) for f in (file, whole))
    parts = [found["tasks"]["words"]["validation"]["sha256"] for found in (one, other)]
    assert parts[0] != parts[1]
    assert one["trials"] != other["trials"]


def test_a_result_says_all_that_a_reader_needs(whole):
    found = json.loads(whole.with_suffix(".json").read_text())
    assert found["suite"] == {"name": "small", "version": "1.0"}
    assert list(found["tasks"]) == ["words", "forms"]
    sizes = {n: [t[p]["images"] for p in ("training", "validation")]
             for n, t in found["tasks"].items()}  # fmt: skip
    assert sizes == {"words": [12, 4], "forms": [12, 4]}
    assert [t["settings"] for t in found["trials"]] == [{"lr": 1e-5}, {"lr": 1e-3}]
    assert found["settings_of_every_trial"]["recipe"]["epochs"] == 1
    assert "lr" not in found["settings_of_every_trial"]["method"]
    assert found["code"]["numerics"] >= 3
    assert found["machine"]["threads"] == 1
    # A score is that of the record, by hand: mean of t2i and i2t for pairs, accuracy for labels.
    records = (whole.parent / "out" / "scratch" / "small").glob("ft+lr=0.001*.parquet")
    frame = read_record(next(records)).frame
    last = frame[(frame["step"] == 2) & ((frame["k"] == 1) | (frame["metric"] == "acc"))]
    scores = 100 * last.groupby("eval_task")["value"].mean()
    run = found["trials"][1]["runs"][0]
    assert run["tasks"] == pytest.approx(dict(scores), abs=1e-5)
    assert run["score"] == pytest.approx(scores.mean(), abs=1e-5)
    assert str(whole.parent) not in whole.with_suffix(".json").read_text()


def test_a_finished_sweep_runs_nothing_and_writes_the_same(whole, ended):
    before = whole.with_suffix(".json").read_bytes()
    done = sweep(whole)
    assert (done.exit_code, ended) == (0, [])
    assert whole.with_suffix(".json").read_bytes() == before
    assert 'sweep="small-ft", trials=2)' in done.output
    checked = CliRunner().invoke(app, ["sweep", str(whole), "--check"])
    assert checked.exit_code == 0
    assert checked.output.splitlines()[1:] == done.output.splitlines()[-len(
        checked.output.splitlines()) + 1:]  # fmt: skip
    mixed = CliRunner().invoke(app, ["sweep", str(whole), "--check", "--overwrite"])
    assert isinstance(mixed.exception, BenchError)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_ends_alike(whole, tmp_path, monkeypatch):
    file = made(tmp_path / "other")
    execute, made_runs = runner.execute, list[str]()

    def stopped(plan: Any, report: Any) -> None:
        if made_runs:
            raise KeyboardInterrupt
        made_runs.append(plan.stem)
        execute(plan, report)

    with monkeypatch.context() as patch:
        patch.setattr("benchmark.run.runner.execute", stopped)
        assert sweep(file).exit_code == 130
    assert not file.with_suffix(".json").exists()

    def second(plan: Any, report: Any) -> None:
        made_runs.append(plan.stem)
        execute(plan, report)

    monkeypatch.setattr("benchmark.run.runner.execute", second)
    assert sweep(file).exit_code == 0
    assert len(made_runs) == len(set(made_runs)) == 2
    assert file.with_suffix(".json").read_bytes() == whole.with_suffix(".json").read_bytes()


@pytest.mark.slow
def test_a_trial_that_diverges_is_recorded_not_chosen_and_not_run_again(tmp_path, ended):
    text = SWEEP.replace("[1e-5, 1e-3]", "[1e30, 1e-12, 2e-12]")
    file = made(tmp_path / "nan", text)
    done = sweep(file)
    assert done.exit_code == 0, done.output
    assert "trial 1 has failed" in done.output
    found = json.loads(file.with_suffix(".json").read_text())
    assert [t["status"] for t in found["trials"]] == ["failed", "ok", "ok"]
    assert "finite" in found["trials"][0]["runs"][0]["error"]
    # Steps too small to change a weight: both are the untouched model, and the first is taken.
    assert found["trials"][1]["mean"] == found["trials"][2]["mean"]
    assert found["chosen"] == {"trial": 2, "settings": {"lr": 1e-12}}
    assert found["not_separated_from_the_chosen"] == [3]
    assert len(ended) == 3
    assert sweep(file).exit_code == 0
    assert len(ended) == 3


@pytest.mark.slow
def test_a_sweep_of_which_every_trial_fails_chooses_none(tmp_path):
    file = made(tmp_path / "none", SWEEP.replace("[1e-5, 1e-3]", "[1e30]"))
    done = sweep(file)
    assert done.exit_code == 3
    assert "nothing is chosen" in done.output
    assert json.loads(file.with_suffix(".json").read_text())["chosen"] is None
    assert CliRunner().invoke(app, ["sweep", str(file), "--check"]).exit_code == 3


# -- what is read


def sealed(suite: Suite, first: tuple[str, ...]) -> Suite:
    """The suite with 16 images a task, whose test sets and other tasks raise when looked at."""

    def load(name: str) -> Callable[[str], Pairs]:
        def of(split: str) -> Pairs:
            assert split == "train", f"the test set of {name} was read"
            assert name in first, f"{name} was read"
            return rendered.render_pairs(name, "train", 16, 0)

        return of

    def never(_: str) -> Pairs:
        raise AssertionError("a held-out set was read")

    tasks = tuple(
        replace(d, load=load(d.name), needs=None if d.name in first else "not-prepared")
        for d in suite.tasks
    )
    held_out = tuple(replace(d, load=never, needs="not-prepared") for d in suite.held_out)
    return replace(suite, tasks=tasks, held_out=held_out)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        pytest.param("reverse", ("scans", "sketches"), marks=pytest.mark.slow),
        pytest.param("random:5", None, marks=pytest.mark.slow),
        ("cartoons,photos,scans", ("cartoons", "photos")),
    ],
)
def test_no_test_set_and_no_later_task_is_read(order, first, tmp_path, monkeypatch):
    import numpy as np

    names = [d.name for d in find_suite("mini").tasks]
    if first is None:
        first = tuple(names[i] for i in np.random.default_rng(5).permutation(len(names))[:2])
    double = sealed(find_suite("mini"), first)
    monkeypatch.setattr("benchmark.run.request.find_suite", lambda *_, **__: double)
    file = tmp_path / "mini-ft.toml"
    file.write_text(
        f'suite = "mini"\nmethod = "ft"\ntasks = 2\norder = "{order}"\nseeds = [1]\n'
        "[grid]\nlr = [1e-5]\nepochs = [1]\n"
    )
    done = sweep(file)
    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(file.with_suffix(".json").read_text())
    assert tuple(found["tasks"]) == first
    assert found["order"] == order


def test_the_parts_depend_on_no_seed_order_or_method():
    def parts(**changes: Any) -> list[Any]:
        asked: dict[str, Any] = {"method": "ft", "validation": Validation(3), **changes}
        plan = make_plan(Request(**asked))
        task = {d.name: d for d in plan.suite.tasks}["gen-art"]
        both = [task.load("train"), task.load("test")]
        assert all(isinstance(part, Pairs) for part in both)
        return [part.captions for part in both]  # type: ignore[union-attr]

    one = parts()
    assert [len(part) for part in one] == [360, 120]
    other = {"seed": 7, "order": "products,gen-art,scans", "method": "dar"}
    assert parts(**other) == one


@pytest.mark.parametrize("suite", ["mini-xtail", "mini-mtil"])
def test_a_part_of_a_few_shot_suite_has_every_class_and_no_other_tasks(suite):
    plan = make_plan(Request("ft", suite=suite, validation=Validation(2)))
    assert len(plan.suite.tasks) == 2
    assert plan.suite.held_out == ()
    for task in plan.suite.tasks:
        train, held = task.load("train"), task.load("test")
        assert not isinstance(train, Pairs)
        assert not isinstance(held, Pairs)
        assert set(train.labels) == set(held.labels) == set(range(len(train.classnames)))


# -- what a record of it is


def test_a_run_on_a_validation_part_is_no_result(whole, tmp_path, monkeypatch):
    """Moved among the results by hand, it enters no table, and is told."""
    results = tmp_path / "results"
    shutil.copytree(whole.parent / "out" / "scratch" / "small", results / "small")
    record = read_record(next((results / "small").glob("*lr=0.001*.parquet")))
    assert "validation=2,validation.share=0.25" in record.row["settings"]
    assert any("training data" in reason for reason in record.provenance["unofficial"])
    assert record.provenance["asked"]["validation"] == {"tasks": 2, "share": 0.25, "rule": "1"}
    findings, number = inspect(results)
    assert number == 2
    assert {(f.code, f.severity) for f in findings if f.path.suffix == ".parquet"} == {
        ("V03", "error")
    }

    def shown() -> bool:
        paths = build_tables(results, tmp_path / "tables", tmp_path / "leaderboard.md")
        texts = [p.read_text() for p in paths if p.suffix in (".md", ".csv", ".tex")]
        return any("lr=0.001" in text for text in texts)

    assert not shown()
    with monkeypatch.context() as patch:  # what would be seen of another unofficial record
        patch.setattr("benchmark.tables.render.on_validation", lambda _: False)
        assert shown()
    asked = ["repro", str(record.path), "--output-dir", str(tmp_path / "x")]
    again = CliRunner().invoke(app, asked)
    assert isinstance(again.exception, BenchError)
    assert "scores on test sets" in str(again.exception)


def test_validate_is_an_option_of_run():
    told = CliRunner().invoke(
        app, ["run", "-m", "ft", "--suite", "mini", "--validate", "2", "--order", "measured"]
    )
    assert isinstance(told.exception, BenchError)
    assert "needs no test data" in str(told.exception)
    for count in ("0", "8"):
        told = CliRunner().invoke(app, ["run", "-m", "ft", "--suite", "mini", "--validate", count])
        assert isinstance(told.exception, BenchError)
