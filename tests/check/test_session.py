"""The command's process survives whatever a method's code does in the other one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmark.check import report
from benchmark.check.outcome import Checked, Outcome, Pending
from benchmark.check.session import Session
from benchmark.cli.main import app
from benchmark.errors import BenchError

METHOD = '''"""A method."""

{imports}

from benchmark.api import Method, Task


class Mine(Method):
    label = "Mine"

    def before_task(self, task: Task) -> None:
        {line}
'''
SUITES: tuple[str, ...] = ()


def write(folder: Path, line: str = "pass", imports: str = "") -> Path:
    file = folder / "mine.py"
    file.write_text(METHOD.format(line=line, imports=imports))
    return file


def failures(checked: Checked) -> dict[str, str]:
    return {f"{o.check} {o.kind}".strip(): o.said for o in checked.of("fail")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name\n", r"ModuleNotFoundError: .*\(mine\.py:1, in <module>\)"),
        ("x = 1\n1 / 0\n", r"ZeroDivisionError: .*\(mine\.py:2, in <module>\)"),
        ("class Mine(:\n", r"SyntaxError: .*\(mine\.py:1\)"),
        ("import sys\nsys.exit(0)\n", r"SystemExit: 0 \(mine\.py:2"),
        ("x = 1\n", r"expected one subclass of Method in .*, got none"),
        (
            'from benchmark.api import Method\nclass A(Method):\n    label = "A"\n'
            'class B(Method):\n    label = "B"\n',
            r"got A, B",
        ),
        ("import os\nos._exit(0)\n", r"ended with exit code 0 \(mine\.py:2, in <module>\)"),
    ],
)
@pytest.mark.slow
def test_a_file_that_is_no_method_is_one_failure(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    checked = Session(str(file)).run()
    (failure,) = checked.outcomes
    assert (failure.check, failure.status) == ("found", "fail")
    assert re.search(said, failure.said), failure.said
    assert failure.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imports", "line", "said"),
    [
        ("import os", "os._exit(0)", r"exit code 0 in `before_task` of task 1 \(mine\.py:12, in"),
        ("import ctypes", "ctypes.string_at(0)", r"signal SIGSEGV in `before_task` of task 1"),
        ("import time", "time.sleep(999)", r"does not end: nothing for 8 s in .*\(mine\.py:12, in"),
        ("import os", "os.kill(os.getpid(), 9)", r"signal SIGKILL in `before_task` of task 1"),
    ],
)
def test_a_hook_that_ends_or_stops_the_process_is_a_failed_check(
    imports: str, line: str, said: str, tmp_path: Path
) -> None:
    told: list[Outcome] = []
    session = Session(
        str(write(tmp_path, line, imports)), suites=SUITES, tell=told.append, timeout=8
    )
    checked = session.run()
    found = failures(checked)
    assert found.keys() <= {"imports", "trains pairs", "trains labelled"}
    assert re.search(said, found["trains pairs"]), found
    assert re.search(said, found["trains labelled"]), found
    after = [o for o in checked.outcomes if o.check in ("same-seed", "batch-invariance")]
    assert {o.status for o in after} == {"not applicable"}
    assert {o.check for o in told} == {o.check for o in checked.outcomes}


@pytest.mark.slow
def test_what_a_method_prints_is_no_outcome(tmp_path: Path) -> None:
    """Not even in the words of the other process."""
    line = """import sys; sys.stdout.write('{"end": true}\\\\n'); sys.stderr.write("x\\\\n")"""
    checked = Session(str(write(tmp_path, line)), suites=SUITES).run()
    assert failures(checked) == {}
    assert len(checked.outcomes) > 40


@pytest.mark.slow
def test_a_process_that_says_it_is_done_before_it_is_has_not_passed(tmp_path: Path) -> None:
    line = (
        "import os; [os.write(n, b'{\"end\": true}\\n') for n in range(3, 30) "
        "if os.path.exists(f'/proc/self/fd/{n}') and 'pipe' in os.readlink(f'/proc/self/fd/{n}')]"
    )
    checked = Session(str(write(tmp_path, line)), suites=SUITES).run()
    assert not checked.passed
    assert "the process ended before it was asked" in {o.said for o in checked.of("fail")}


@pytest.mark.slow
def test_the_command_shows_what_is_broken_and_ends_with_5(tmp_path: Path) -> None:
    file, page = write(tmp_path, "1 / 0"), tmp_path / "out" / "page.md"
    done = CliRunner().invoke(app, ["check-method", str(file), "--report", str(page)])
    assert done.exit_code == 5
    assert "FAIL" in done.output
    assert "ZeroDivisionError: division by zero, in `before_task` of task 1" in " ".join(
        done.output.split()
    )
    text = page.read_text()
    assert text.startswith(f"# `{file}` does not pass")
    assert "| training | trains | pairs | **fail** |" in text
    assert "## What to do" in text


def test_a_method_that_there_is_not_ends_the_command_with_2() -> None:
    for asked in ("no-such-method", "no/such/file.py"):
        done = CliRunner().invoke(app, ["check-method", asked])
        assert isinstance(done.exception, BenchError)
        assert done.exception.code == 2


# -- what is shown


def some() -> Checked:
    promise = "Rows have length 1."
    jobs = [
        Pending("found", "declaration", "", "It imports."),
        Pending("b", "inference", "pairs", promise),
    ]
    jobs.append(Pending("b", "inference", "labelled", promise))
    outcomes = [
        jobs[0].outcome("pass"),
        jobs[1].outcome("fail", "lengths of <b>3 | [x](y) @all\nhere", "Return `unit(x)`."),
        jobs[2].outcome("not applicable", "it refuses labelled: no"),
    ]
    return Checked("mine.py", False, "1.0", "Mine", "mine.py", "ab" * 32, ["samples"], outcomes, 3)


def test_the_text_has_promise_finding_and_remedy() -> None:
    shown = report.text(some())
    assert "  FAIL     b (pairs)\n" in shown
    assert "promise  Rows have length 1." in shown
    assert "remedy   Return `unit(x)`." in shown
    assert "-        b (labelled)  it refuses labelled: no" in shown
    last = "mine.py (--quick, 3 s): 1 hold, 1 do not, 1 not applicable; broken: b"
    assert shown.splitlines()[-1] == last
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_a_method_writes_no_markup_into_the_page() -> None:
    shown = report.markdown(some())
    row = next(line for line in shown.splitlines() if line.startswith("| inference | b | pairs"))
    assert "<b>" not in row
    assert "[x]" not in row.replace("\\[x]", "")
    assert "@all" not in row
    assert row.replace("\\|", "").count("|") == 6


def test_json_says_all() -> None:
    shown: dict[str, Any] = json.loads(report.as_json(some()))
    assert shown["passed"] is False
    assert [one["status"] for one in shown["outcomes"]] == ["pass", "fail", "not applicable"]
