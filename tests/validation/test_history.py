"""V16: what a change does to records that were there. A checkout of its own, and its branch."""

import shutil
import subprocess
from pathlib import Path

import pytest
from forger import book, codes, copied, honest

from benchmark.errors import BenchError
from benchmark.validation.checks.history import supersede, supersede_since, superseded
from benchmark.validation.inspect import inspect

FT, FT43, ZS = "ft--forward--s42", "ft--forward--s43", "zs--forward--s42"


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
