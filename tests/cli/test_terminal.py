"""Terminals that lack characters, streams that are closed, full or without a reader."""

import ast
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmark.cli.display import make_display
from benchmark.cli.main import main
from benchmark.cli.terminal import CLOSED_PIPE, ERRORS, Guarded, guarded_streams, streams

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "mini" / "zs--tiny-s--forward--s42.parquet"
ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "cp037", "utf-8")
SMALL = (
    "run", "-m", "zs", "-o", "photos", "--evals", "id", "--limit", "2", "--pretrained", "random:0",
    "--device", "cpu",
)  # fmt: skip


class Out(io.RawIOBase):
    """A stream of the system that takes bytes until it breaks."""

    def __init__(self, broken: int = 0, after: int = 0) -> None:
        self.taken, self.broken, self.after, self.tries = b"", broken, after, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.tries += 1
        if self.broken and self.tries > self.after:
            raise OSError(self.broken, os.strerror(self.broken))
        self.taken += bytes(data)
        return len(data)


def text(raw: io.RawIOBase, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding)


Ended = tuple[int, bytes, bytes]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """The command with streams of one's own: exit code, and what either has taken."""

    def call(
        *words: object, out: Out | None = None, err: Out | None = None, encoding: str = "utf-8"
    ) -> Ended:
        out, err = out or Out(), err or Out()
        monkeypatch.setattr(sys, "argv", ["cl-bench", *map(str, words)])
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", text(out, encoding))
            patch.setattr(sys, "stderr", text(err, encoding))
            with pytest.raises(SystemExit) as ended:
                main()
            sys.stdout.flush()  # nothing is left behind that the interpreter would trip over
            sys.stderr.flush()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.taken, err.taken

    return call


# -- characters


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_text_can_be_shown(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Out()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", text(out, encoding))
        with guarded_streams():
            typer.echo("T→I ± café 日本 \udce9 \U0001f600")
            sys.stdout.write("… again")
    shown = out.taken.decode(encoding)
    full = encoding == "utf-8"
    assert shown.startswith("T→I ± café 日本" if full else "T->I ")
    assert "\\udce9" in shown
    assert shown.rstrip("\n").endswith("… again" if full or encoding == "cp1252" else "... again")
    if encoding == "ascii":
        assert "T->I +- caf\\xe9 \\u65e5\\u672c" in shown


def test_what_the_program_prints_itself_has_readable_stand_ins() -> None:
    """Whatever is in a string of these rooms, but for the Markdown and LaTeX files of `tables`."""
    files = [*(ROOT / "benchmark/cli").rglob("*.py"), *(ROOT / "benchmark/tables").rglob("*.py")]
    found = {
        c
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for c in node.value
        if ord(c) > 127
    }
    assert "→" in found
    assert {c for c in found if b"\\" in c.encode("ascii", ERRORS)} == set()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words", [("--help",), ("run", "--help"), ("data", "--help"), ("show", RECORD), ("ls",)]
)
def test_commands_on_any_terminal(
    words: tuple[object, ...], encoding: str, cli: Callable[..., Ended]
) -> None:
    code, out, err = cli(*words, encoding=encoding)
    assert (code, err) == (0, b"")
    assert out.decode(encoding).strip()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_mistakes_on_any_terminal(encoding: str, cli: Callable[..., Ended]) -> None:
    code, _, err = cli("show", "café→.parquet", encoding=encoding)
    assert code == 4
    assert err.decode(encoding).startswith("error: expected a readable record 'caf")
    code, _, err = cli("run", "--no-such-option→", encoding=encoding)
    assert code == 2
    assert "No such option" in err.decode(encoding)


# -- streams that take nothing


def test_a_reader_that_has_gone_ends_a_listing_quietly(cli: Callable[..., Ended]) -> None:
    assert cli("ls", out=Out(errno.EPIPE)) == (CLOSED_PIPE, b"", b"")
    assert cli("show", RECORD, out=Out(errno.EPIPE)) == (CLOSED_PIPE, b"", b"")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_behind_a_listing_is_one_sentence(
    number: int, cli: Callable[..., Ended]
) -> None:
    code, _, err = cli("ls", out=Out(number))
    assert code == 6
    assert err.decode().startswith("error: expected a place for what is printed, got ")
    assert os.strerror(number) in err.decode()
    assert err.count(b"\n") == 1


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_without_a_place_for_errors_the_exit_code_says_it(
    number: int, cli: Callable[..., Ended]
) -> None:
    code, out, _ = cli("show", "none.parquet", err=Out(number))
    assert (code, out) == (4, b"")
    assert cli("show", "none.parquet", out=Out(number), err=Out(number))[0] == 4


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (errno.EPIPE, 1),
        *(
            pytest.param(number, after, marks=pytest.mark.slow)
            for number, after in ((errno.EPIPE, 0), (errno.ENOSPC, 0), (errno.ENOSPC, 1))
        ),
    ],
)
def test_a_run_goes_on_to_its_record_without_a_reader(
    number: int, after: int, cli: Callable[..., Ended], cache: Path, tmp_path: Path
) -> None:
    where = ("--output-dir", tmp_path, "--cache-dir", cache)
    code, _, err = cli(*SMALL, *where, "--seed", 1, "--seed", 2, out=Out(number, after))
    assert code == 0
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert (err == b"") == (number == errno.EPIPE)


def test_what_makes_nothing_ends_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", text(Out(errno.EPIPE)))
        with guarded_streams() as found:
            make_display("plain").line("a run goes on")
            with pytest.raises(typer.Exit):
                make_display("plain", ends=True).line("`order` does not")
            assert found.left
            assert streams() is found
    assert streams() is not found


def test_a_stream_that_does_not_block_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(Out):
        def write(self, data: Any) -> int:
            self.tries += 1
            return None if self.tries < 3 else super().write(data)  # type: ignore[return-value]

    waited: list[object] = []
    monkeypatch.setattr("select.select", lambda *_: waited.append(1))
    busy = Busy()
    guard = Guarded(busy)
    assert guard.write(b"all of it") == 9
    assert (busy.taken, len(waited), guard.lost) == (b"all of it", 2, None)


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PY": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=300, env=env
    )


def test_a_closed_stream_gives_its_number_to_no_file() -> None:
    """Into a record that is open as number 1, everything that prints would write."""
    code = (
        "import os, sys; from benchmark.cli.terminal import guarded_streams\n"
        "with guarded_streams():\n"
        "    print('lost'); sys.stderr.write('lost'); assert sys.stdin.read() == ''\n"
        "    there = os.open('pyproject.toml', os.O_RDONLY)\n"
        "sys.exit(10 + there)"
    )
    done = shell(f'"$PY" -c "{code}" <&- >&- 2>&-')
    assert done.returncode > 12
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.slow
def test_the_streams_of_a_shell(tmp_path: Path) -> None:
    bench = '"$PY" -m benchmark '
    assert shell(bench + 'ls | true; exit "${PIPESTATUS[0]}"').returncode in (0, CLOSED_PIPE)
    full = shell(bench + "ls > /dev/full")
    assert full.returncode == 6
    assert "Traceback" not in full.stderr
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        assert shell(bench + f"ls {closed}").returncode == 0
    run = f"{bench} {' '.join(SMALL)} --cache-dir {tmp_path / 'cache'} --output-dir "
    cut = shell(f'{run} {tmp_path / "a"} -m ft | head -1; exit "${{PIPESTATUS[0]}}"')
    assert (cut.returncode, cut.stderr) == (0, "")
    assert len(list((tmp_path / "a").rglob("*.parquet"))) == 2
    old = shell(f"PYTHONIOENCODING=latin-1 {run} {tmp_path / 'b'} -m ft --display rich")
    assert (old.returncode, old.stderr) == (0, "")
    assert len(list((tmp_path / "b").rglob("*.parquet"))) == 2
