"""`init-method`: the file passes what it will be asked, and names that cannot be are refused."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from benchmark.check import scaffold
from benchmark.check.contract import Subject, walk
from benchmark.check.promises import whole
from benchmark.check.promises.every import CHECKS
from benchmark.check.scaffold import Start, write_scaffold
from benchmark.check.session import Session
from benchmark.cli.main import app
from benchmark.errors import BenchError
from benchmark.run.registry import find_method

ROOT = Path(__file__).parents[2]
KINDS = get_args(Start)
PAPER = 'Some Body and O\'Hara, "A title" that is rather long, so long that no single line of a '
PAPER += "hundred characters could ever hold it as it is given, Journal of Long Titles 2026"


def tool(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paper", ["", "Somebody, Something, 2026", PAPER])
def test_ruff_has_nothing_to_say(kind: Start, paper: str, tmp_path: Path) -> None:
    made = write_scaffold("my-own-2", kind, tmp_path, paper)
    files = [str(made.file), str(made.test)]
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    assert tool("ruff", "check", *settings, *files) == ""
    assert tool("ruff", "format", "--check", *settings, *files) == ""
    assert paper in [getattr(n, "value", "") for n in ast.walk(ast.parse(made.file.read_text()))]


@pytest.mark.slow
def test_mypy_strict_has_nothing_to_say(tmp_path: Path) -> None:
    for kind in KINDS:
        write_scaffold(f"my-{kind}", kind, tmp_path, "")
    assert tool("mypy", "--strict", str(tmp_path)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_every_promise(kind: Start, tmp_path: Path, lab: Any, captioned: Any) -> None:
    made = write_scaffold("mine", kind, tmp_path, "")
    subject = Subject(find_method(str(made.file), []), lab, captioned, asked=str(made.file))
    for tasks in ("pairs", "labelled"):
        checks = [one for one in CHECKS if one not in whole.CHECKS]
        found = list(walk(subject, tasks, checks))
        assert [one for one in found if one.status in ("fail", "warning")] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_test_runs_as_it_is(kind: Start, tmp_path: Path) -> None:
    made = write_scaffold("mine", kind, tmp_path, "")
    assert tool("pytest", "-q", "-p", "no:cacheprovider", str(made.test)) == ""


@pytest.mark.slow
def test_the_command_passes_on_it(tmp_path: Path) -> None:
    made = write_scaffold("mine", "adapter", tmp_path, "")
    checked = Session(str(made.file)).run()
    assert checked.passed, checked.of("fail")
    assert {o.check for o in checked.of("pass")} >= {"run-to-a-record", "cost-of-a-step"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ft", "ft"), ("dar", "methods/dar.py"), ("lambda", "keyword"), ("Mine", "'mine'"),
        ("my_method", "'my-method'"), ("-x", "'x'"), ("2x", "another name"), ("", "another name"),
        ("x" * 61, "60"), ("a--b", "'a-b'"), ("../x", "'x'"), ("json", "imported in its place"),
        ("torch", "imported in its place"), ("größe", "lower-case"), ("a b", "'a-b'"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=said) as error:
        write_scaffold(name, "adapter", tmp_path / "new", "")
    assert error.value.code == 2
    assert not (tmp_path / "new").exists()


def test_a_name_of_an_entry_point_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"theirs": "entry point theirs.module"}
    monkeypatch.setattr(scaffold, "method_names", lambda: names)
    with pytest.raises(BenchError, match="entry point theirs"):
        write_scaffold("theirs", "adapter", tmp_path, "")


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py"])
def test_no_file_is_written_over(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(BenchError, match=there):
        write_scaffold("mine", "adapter", tmp_path, "")
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("paper", ["x" * 301, "a\nb", "<b>", "a | b", "[x](y)", "a\u202eb"])
def test_a_paper_that_no_table_holds_is_refused(paper: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--paper"):
        write_scaffold("mine", "adapter", tmp_path, paper)


def test_no_class_hides_what_it_imports(tmp_path: Path) -> None:
    for name in ("method", "config", "tensor", "task", "images"):
        made = write_scaffold(name + "" if name != "x" else name, "inference", tmp_path, "")
        classes = [n for n in ast.parse(made.file.read_text()).body if isinstance(n, ast.ClassDef)]
        assert [c.name for c in classes][1] == f"{name.capitalize()}Method"


def test_the_command_prints_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init-method", "mine", "--into", str(tmp_path)])
    assert done.exit_code == 0
    steps = [line for line in done.output.splitlines() if line.startswith("  ")]
    assert [line.split()[:2] for line in steps[:3]] == [
        ["cl-bench", "check-method"], ["cl-bench", "run"], ["python", "-m"],
    ]  # fmt: skip
    assert "`mine`" in steps[3]
