"""`cl-bench compare`: what it says, in three forms, and what it refuses."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_runs import Spread, draw_images, draw_method
from saved_runs import save_runs
from synthetic import trusting
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import BenchError
from benchmark.records.answers import AnswerKey, Evidence
from benchmark.stats.answered import AnsweredRun
from benchmark.tables.board import tier_report

SPREAD = Spread(method=0.3, seed=0.1)
SKILLS = {"good": 0.9, "fair": 0.1, "same": 0.1}


def every_step(run: AnsweredRun) -> AnsweredRun:
    """A run that never changes, so that it has all steps."""
    answers = {
        (task, way, step): answer_Q
        for (task, way, _), answer_Q in run.evidence.answers.items()
        for step in range(len(run.tasks) + 1)
    }
    return replace(run, evidence=replace(run.evidence, answers=answers))


def drawn(label: str, generator: np.random.Generator, n: int = 60) -> Iterator[AnsweredRun]:
    images = draw_images(np.random.default_rng(1), SPREAD, 3, n)
    for run in draw_method(generator, label, images, SPREAD, skill=SKILLS.get(label, 0.0)):
        yield every_step(run)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    generator = np.random.default_rng(2)
    for label in SKILLS:
        save_runs(folder, drawn(label, generator))
    save_runs(folder, labelled("few", 1), "few")
    save_runs(folder, labelled("less", 2), "few")
    return folder


def labelled(label: str, seed: int) -> Iterator[AnsweredRun]:
    key = AnswerKey("labelled", np.arange(40) % 4)
    for order in ("forward", "reverse"):
        for number in (1, 2, 3):
            generator = np.random.default_rng((seed, number, len(order)))
            answers: dict[Any, Any] = {
                (task, None, step): generator.integers(0, 4, 40)
                for task in ("leaves", "coins")
                for step in range(3)
            }
            tasks = ("leaves", "coins") if order == "forward" else ("coins", "leaves")
            evidence = Evidence({"leaves": key, "coins": key}, answers, "x")
            yield AnsweredRun(label, order, number, tasks, evidence, {}, label)


def said(results: Path, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, ["compare", *arguments, "--results", str(results)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


def refused(results: Path, *arguments: str) -> BenchError:
    with pytest.raises(BenchError) as error:
        CliRunner().invoke(
            app, ["compare", *arguments, "--results", str(results)], catch_exceptions=False
        )
    return error.value


@cache
def data(results: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(results, *arguments, "--json"))
    return found


def test_what_is_said_of_two_methods(results: Path) -> None:
    text = said(results, "good", "fair")
    assert "good against fair: lab 1.0, tiny (seed-0)" in text
    assert "Recall@1 at the end, mean of both directions; mean over 3 sets." in text
    assert "Paired: 6 runs of each (orders forward, reverse; seeds 42, 43, 44)" in text
    assert "180 test images, 1,080 queries a run" in text
    assert "good is better, at 5 % (one test, no correction)." in text
    assert "2 degrees of freedom" in text
    assert "set0 T→I" in text
    assert "1.67" in text  # one of 60 images is chance


def test_exchanging_the_methods_changes_signs_and_no_digit(results: Path) -> None:
    one, other = (
        data(results, *names, "--per-set") for names in (("good", "fair"), ("fair", "good"))
    )
    assert one["better"] == other["better"] == "good"
    for a, b in ((one, other), *zip(one["per_set"], other["per_set"], strict=True)):
        left, right = a.get("result", a), b.get("result", b)
        assert left["difference"] == -right["difference"]
        assert (left["a"], left["b"], left["p"]) == (right["b"], right["a"], right["p"])
        assert left["interval"] == [-right["interval"][1], -right["interval"][0]]
        here, there = a["interval_test_images"], b["interval_test_images"]
        assert here == [-there[1], -there[0]]


def test_equal_records_have_no_difference(results: Path) -> None:
    found = data(results, "good", "good", "--per-set")
    assert found["result"]["difference"] == 0
    assert found["result"]["p"] == 1
    assert found["better"] is None
    assert all(one["p_corrected"] == 1 for one in found["per_set"])
    assert all(
        c["mcnemar_p"] == 1 for one in found["per_set"] for c in one["captions_as_independent"]
    )


def test_the_same_bytes_again(results: Path) -> None:
    assert said(results, "good", "fair", "--md") == said(results, "good", "fair", "--md")


def test_numbers_are_those_of_the_records(results: Path) -> None:
    found = data(results, "good", "fair", "--metric", "hit", "--k", "1", "--direction", "i2t",
                 "--per-set", "--step", "2")  # fmt: skip
    import pandas as pd

    frames = [pd.read_parquet(p) for p in sorted((results / "lab").glob("good--*.parquet"))]
    rows = pd.concat(frames)
    rows = rows[(rows["k"] == 1) & (rows["direction"] == "i2t") & (rows["step"] == 2)]
    for one in found["per_set"]:
        mine = rows[rows["eval_task"] == one["set"]]
        assert one["a"] == pytest.approx(mine["value"].mean())
        assert one["queries"] == mine["n_queries"].iloc[0]
    assert found["result"]["a"] == pytest.approx(rows["value"].mean())
    assert found["asked"]["step"] == 2


def test_two_records_have_no_verdict(results: Path) -> None:
    paths = [str(results / "lab" / f"{m}--tiny--forward--s42.parquet") for m in ("good", "fair")]
    text = said(results, *paths, "--per-set")
    assert "No verdict: one training run of each" in text
    assert "McNemar" in text
    found = data(results, *paths, "--per-set")
    assert found["result"]["p"] is None
    assert found["result"]["interval"] is None
    assert found["better"] is None
    assert found["interval_test_images"][0] > 0
    mid = data(results, *paths, "--per-set", "--mid-p")
    for one, other in zip(found["per_set"], mid["per_set"], strict=True):
        exact, less = (x["captions_as_independent"][0]["mcnemar_p"] for x in (one, other))
        assert less < exact


def test_the_intersection_of_unequal_grids(results: Path, tmp_path: Path) -> None:
    for path in (results / "lab").glob("*"):
        if path.name.startswith("good") or not path.name.startswith("fair--tiny--reverse--s44"):
            target = tmp_path / "lab" / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    text = said(tmp_path, "good", "fair")
    assert "seeds 42, 43" in text or "order forward; seeds 42, 43, 44" in text
    assert "Left out:" in text
    assert "not in both" in text


def test_options_do_something(results: Path) -> None:
    plain = data(results, "good", "fair")
    assert data(results, "good", "fair", "--k", "5")["result"]["a"] >= plain["result"]["a"]
    wide = data(results, "good", "fair", "--alpha", "0.01")["result"]["interval"]
    assert wide[0] < plain["result"]["interval"][0]
    few = data(results, "good", "fair", "--resamples", "500")
    assert few["interval_test_images"] != plain["interval_test_images"]
    over = data(results, "good", "fair", "--over-sets")["over_sets"]
    assert (over["sets"], over["df"]) == (3, 2)
    assert "Another question" in said(results, "good", "fair", "--over-sets")
    by = {c: data(results, "fair", "same", "--per-set", "--correction", c)["per_set"]
          for c in ("holm", "bh", "none")}  # fmt: skip
    p = {c: [one["p_corrected"] for one in rows] for c, rows in by.items()}
    assert all(h >= b >= n for h, b, n in zip(*p.values(), strict=True))
    assert p["holm"] != p["none"]
    assert data(results, "few", "less", "--metric", "acc")["mean_over"][0]["chance"] == 0.25
    assert data(results, "good", "fair", "--metric", "delta")["result"]["difference"] == 0
    assert said(results, "good", "fair", "--md").startswith("### good against fair")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["good"], 2, "two methods"),
        (["goof", "fair"], 4, "did you mean 'good'"),
        (["good", "fair", "--suite", "labs"], 4, "did you mean 'lab'"),
        (["good", "fair", "--backbone", "big"], 4, "another --backbone"),
        (["good", "few"], 5, "one suite"),
        (["good", "fair", "--k", "2"], 2, "--k among 1, 5, 10"),
        (["good", "fair", "--metric", "finl"], 2, "did you mean 'final'"),
        (["good", "fair", "--direction", "up"], 2, "--direction among"),
        (["good", "fair", "--step", "2"], 2, "--step for the metrics hit and acc"),
        (["good", "fair", "--metric", "hit", "--step", "two"], 2, "--step last or a number"),
        (["good", "fair", "--metric", "hit", "--step", "9"], 5, "at step 9"),
        (["good", "fair", "--metric", "acc"], 5, "no acc"),
        (["good", "fair", "--metric", "ood"], 5, "no ood"),
        (["good", "fair", "--metric", "acc", "--k", "5"], 2, "leave out --k"),
        (["few", "less", "--k", "5"], 2, "leave out --k"),
        (["few", "less", "--direction", "t2i"], 2, "leave out --direction"),
        (["few", "less", "--over-sets"], 5, "2 sets"),
        (["good", "fair", "--per-set", "--metric", "forgetting"], 2, "leave out --per-set"),
        (["good", "fair", "--correction", "bh"], 2, "give --per-set"),
        (["good", "fair", "--mid-p"], 2, "give --per-set"),
        (["good", "fair", "--alpha", "0"], 2, "--alpha above 0"),
        (["good", "fair", "--resamples", "3"], 2, "--resamples from"),
        (["good", "fair", "--json", "--md"], 2, "--json and --md"),
        (["good", "fair", "--all"], 2, "without what is for two methods"),
        (["--all", "--per-set"], 2, "--per-set"),
        (["--all", "--resamples", "500"], 2, "--resamples"),
        (["--all", "--suite", "lap"], 4, "did you mean 'lab'"),
        (["--all", "--backbone", "big"], 4, "backbone"),
        (["--all", "--suite", "few", "--k", "5"], 2, "leave out --k"),
    ],
)
def test_refusals(results: Path, arguments: list[str], code: int, word: str) -> None:
    error = refused(results, *arguments)
    assert (error.code, word in str(error)) == (code, True), str(error)


def test_no_common_runs_evidence_or_images(results: Path, tmp_path: Path) -> None:
    lab = results / "lab"
    paths = [str(lab / f"good--tiny--{o}--s42.parquet") for o in ("forward", "reverse")]
    assert refused(results, *paths).code == 5
    generator = np.random.default_rng(3)
    save_runs(tmp_path, drawn("good", generator))
    save_runs(tmp_path, drawn("fair", generator, n=59))
    assert "same test data of 'set0'" in str(refused(tmp_path, "good", "fair"))
    odd = [replace(run, data={"set1": "other"}) for run in drawn("same", generator)]
    save_runs(tmp_path, odd)
    assert "same test data of 'set1'" in str(refused(tmp_path, "good", "same"))
    (tmp_path / "lab" / "fair--tiny--forward--s42.evidence").unlink()
    assert refused(tmp_path, "good", "fair").code == 4
    assert refused(tmp_path / "none", "good", "fair").code == 4


def test_a_failed_cell_leaves_its_run_out(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    runs = list(drawn("good", generator))
    answers = {w: a for w, a in runs[0].evidence.answers.items() if w[0] != "set1" or w[2] != 3}
    runs[0] = replace(runs[0], evidence=replace(runs[0].evidence, answers=answers))
    save_runs(tmp_path, runs)
    save_runs(tmp_path, drawn("fair", generator))
    text = said(tmp_path, "good", "fair")
    assert "- good--tiny--forward--s42: no answers to 'set1' at step 3" in text


def test_all_methods_of_a_suite(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_report, "standings", trusting)  # no commit made these records
    text = said(results, "--all", "--suite", "lab")
    assert "Rank intervals by 3 comparisons, Holm's correction, 5 %." in text
    ranks = [
        line.split()[:2] for line in text.splitlines() if line.strip().startswith(("1 ", "2-3"))
    ]
    assert ranks[0] == ["1", "good"]
    assert sorted(label for _, label in ranks[1:]) == ["fair", "same"]
    found = data(results, "--all", "--suite", "lab")["sections"][0]
    assert [one["rank"] for one in found["methods"]] == [[1, 1], [2, 3], [2, 3]]
    assert len(found["pairs"]) == 3
    alone = data(results, "good", "fair")["result"]
    pair = next(p for p in found["pairs"] if {p["a"], p["b"]} == {"good", "fair"})
    assert pair["difference"] == pytest.approx(alone["difference"])
    assert pair["p"] == pytest.approx(alone["p"])  # of three methods, nothing is borrowed
    assert said(results, "--all", "--suite", "lab", "--md").startswith("### lab 1.0")
    both = data(results, "--all")
    assert [one["suite"] for one in both["sections"]] == ["few", "lab"]
