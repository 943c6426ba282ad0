"""V16: what a change does to records that were there. A checkout of its own, and its branch."""

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from forger import Forgery, book, codes, copied, honest

from benchmark.errors import BenchError
from benchmark.records.store import read_record, record_files
from benchmark.validation import inspect as inspection
from benchmark.validation.checks.history import supersede, supersede_since, superseded
from benchmark.validation.inspect import examine, inspect, installed_methods

FT, FT43 = "ft--forward--s42", "ft--forward--s43"
ZS, ZS43 = "zs--forward--s42", "zs--forward--s43"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    copied(tmp_path / "results", FT, ZS)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "records")
    git(tmp_path, "checkout", "-qb", "change")
    return tmp_path / "results"


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *who, "-C", str(root), *words], check=True, capture_output=True)


def against(results: Path, ref: str = "main") -> tuple[set[str], int]:
    findings, checked = inspect(results, against=ref, book=book())
    return codes(findings), checked


def file(results: Path, name: str = "ft") -> Path:
    return results / "mini-xtail" / f"{name}--tiny-s--forward--s42.parquet"


def test_a_new_record_is_checked_alone(results: Path) -> None:
    assert against(results) == (set(), 0)
    copied(results, FT43)
    assert against(results) == (set(), 1)
    git(results.parent, "add", ".")
    git(results.parent, "commit", "-qm", "more")
    assert against(results) == (set(), 1)


def blamed(results: Path, ref: str | None = "main") -> dict[str, set[str]]:
    """Name of a record -> codes of its errors."""
    found: dict[str, set[str]] = {}
    for one in inspect(results, against=ref, book=book())[0]:
        if one.severity == "error":
            found.setdefault(one.path.name, set()).add(one.code)
    return found


def backdated(forged: Forgery) -> Forgery:
    """Made in the second after its commit."""
    code = book().code(forged.about["code"]["commit"])
    assert not isinstance(code, str)
    forged.about["created"] = datetime.fromtimestamp(code.date + 1, UTC).isoformat()
    forged.identify()
    return forged


def test_what_was_there_is_no_copy_of_what_a_change_brings(results: Path) -> None:
    forged = honest(FT)
    forged.set(seed=41)
    path = backdated(forged).write(results)
    assert blamed(results) == {path.name: {"V13"}}
    whole = examine([read_record(p) for p in record_files(results)], book(), {path})
    assert {run.path for run in whole if run.unsound} == {path}


def moved_zero_shot(seed: int) -> Forgery:
    """A seed of a method that draws nothing, with other answers after step 0."""
    forged = honest(ZS)
    forged.set(seed=seed)
    forged.answer(lambda where, a: np.roll(a, 1) if where[2] else a)
    forged.count()
    return backdated(forged)


def test_new_runs_are_no_majority(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs that agree against one that was there."""
    promise_equal_seeds(monkeypatch)
    paths = [moved_zero_shot(seed).write(results) for seed in (1, 2, 3)]
    runs = examine([read_record(p) for p in record_files(results)], book(), set(paths))
    assert {run.path for run in runs if run.unsound} == set(paths)


def test_new_runs_that_disagree_are_all_blamed(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none was there, none is right."""
    promise_equal_seeds(monkeypatch)
    for path in results.glob("*/zs*"):
        path.unlink()
    copied(results, ZS43)
    paths = [moved_zero_shot(seed).write(results) for seed in (1, 2, 3)]
    paths += results.glob("*/zs*s43.parquet")
    runs = examine([read_record(p) for p in record_files(results)], book(), set(paths))
    assert {run.path for run in runs if run.unsound} == set(paths)


def promise_equal_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """`zs` promises that seeds are equal, and no more."""
    declared = installed_methods()["zs"]
    assert declared is not None
    seeds = replace(declared, invariants={"same in every seed": {}})
    monkeypatch.setattr(inspection, "installed_methods", lambda: {"zs": seeds})


@pytest.mark.parametrize("evidence", [True, False])
def test_a_new_record_is_of_the_schema_of_today(results: Path, evidence: bool) -> None:
    forged = honest(FT43)
    for row in forged.rows:
        row["schema_version"] = 1
    if not evidence:
        forged.evidence, forged.about["evidence"] = None, None
    path = forged.write(results)
    assert blamed(results) == {path.name: {"V09"}}
    assert blamed(results, None) == {}, "it may have been there"


def test_a_record_that_is_changed_or_gone_needs_a_reason(results: Path) -> None:
    forged = honest(FT)
    forged.about["created"] = "2031-01-01T00:00:00+00:00"
    forged.write(results)
    assert against(results) == ({"V16"}, 1)
    assert supersede_since(results, "main", "made\nagain") == 1
    assert against(results) == (set(), 1)
    (line,) = superseded((results / "superseded.csv").read_text(), results)
    assert (line[0], line[3]) == ("mini-xtail/ft--tiny-s--forward--s42.parquet", "made again")
    for path in results.glob("mini-xtail/zs*"):
        path.unlink()
    assert against(results) == ({"V16"}, 1)
    git(results.parent, "add", "-A")
    git(results.parent, "commit", "-qm", "gone")
    assert against(results)[0] == {"V16"}
    assert supersede_since(results, "main", "withdrawn") == 1
    assert against(results)[0] == set()


def test_a_change_of_main_meanwhile_is_not_this_changes(results: Path) -> None:
    """The last common commit counts, not the tip of the other branch."""
    root = results.parent
    git(root, "checkout", "-q", "main")
    copied(results, FT43)
    git(root, "add", ".")
    git(root, "commit", "-qm", "more")
    git(root, "checkout", "-q", "change")
    assert against(results) == (set(), 0)


def test_lines_of_the_list_stay(results: Path) -> None:
    supersede(results, [file(results)], "before")
    supersede(results, [file(results)], "twice is once")
    git(results.parent, "add", ".")
    git(results.parent, "commit", "-qm", "list")
    git(results.parent, "branch", "-f", "main")
    assert len(superseded((results / "superseded.csv").read_text(), results)) == 1
    (results / "superseded.csv").unlink()
    assert against(results)[0] == {"V16"}


@pytest.mark.parametrize("ref", ["nowhere", "--help", ""])
def test_a_ref_that_is_none_is_a_sentence(results: Path, ref: str) -> None:
    with pytest.raises(BenchError, match="--against"):
        inspect(results, against=ref or "no such", book=book())
    shutil.rmtree(results.parent / ".git")
    with pytest.raises(BenchError, match="--against"):
        inspect(results, against="main", book=book())


def test_a_reason_is_needed_and_the_list_is_one(results: Path) -> None:
    with pytest.raises(BenchError, match="a reason"):
        supersede(results, [file(results)], "  ")
    (results / "superseded.csv").write_text("file,sha256,date,reason\nx,y,z,w\n")
    with pytest.raises(BenchError, match="lines of file"):
        supersede(results, [file(results)], "why")
