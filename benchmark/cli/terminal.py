"""The standard streams of a command: nothing that a terminal cannot do ends it.

A character that the encoding lacks gets a stand-in. A reader that has gone, a full disk behind
`> log` or a stream that was closed before the start takes the output, never the work: what is
written from then on goes nowhere, and `main` says by its exit code what was lost.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import typer

from ..errors import BenchError

STAND_INS = {
    "→": "->", "←": "<-", "±": "+-", "×": "x", "·": ".", "…": "...", "–": "-", "—": "-",  # noqa: RUF001
    "§": "S.", "‡": "++",
    "‘": "'", "’": "'", "“": '"', "”": '"', "Δ": "delta", "γ": "gamma", "†": "+",  # noqa: RUF001
}  # fmt: skip
ERRORS = "cl_bench_stand_ins"
ASCII = "cl_bench_ascii"
CLOSED_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE has ended


def stand_in(error: UnicodeError) -> tuple[str, int]:
    """Error handler of the streams: ASCII for what an encoding lacks, as Python would escape it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    shown = (STAND_INS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lost)
    return "".join(shown), error.end


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII under a name of our own: on a stream that is called so, typer would write UTF-8."""
    if name != ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        found.encode,
        found.decode,
        incrementalencoder=found.incrementalencoder,
        incrementaldecoder=found.incrementaldecoder,
        name=ASCII,
    )


codecs.register_error(ERRORS, stand_in)
codecs.register(_plain_ascii)


class Guarded(io.RawIOBase):
    """A stream's bytes, as long as somebody takes them.

    Attributes:
        lost: why nobody does any more; what is written then goes nowhere.
    """

    def __init__(self, stream: Any) -> None:
        self._out = getattr(stream, "raw", stream)  # a buffer would keep what cannot be written
        self.lost: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(self._out.isatty())

    def fileno(self) -> int:
        """Of what is beneath."""
        return int(self._out.fileno())

    def write(self, data: Any) -> int:
        """Write, or drop where nobody takes it; the number of bytes that are done with."""
        if self.lost is None:
            try:
                while (done := self._out.write(data)) is None:  # one that does not block, and full
                    select.select([], [self._out], [])
                self._out.flush()
                return int(done)
            except OSError as error:
                self.lost = error
        return len(data)


class _Lasting(io.TextIOWrapper):
    """A text stream that ends with the command: what a method's code closes stays open."""

    def close(self) -> None:
        """Write out what is there."""
        with suppress(OSError, ValueError):
            self.flush()


@dataclass
class Streams:
    """Standard output and error of a command.

    Attributes:
        result: whether what is printed is what the command is for. That of `run` is its record.
    """

    out: Guarded | None
    err: Guarded | None
    result: bool = True

    @property
    def lost(self) -> OSError | None:
        """Why standard output takes nothing any more."""
        return None if self.out is None else self.out.lost

    @property
    def left(self) -> bool:
        """Whether its reader has gone, as that of a pipe into `head` does."""
        return self.lost is not None and self.lost.errno == errno.EPIPE


_current = Streams(None, None)


def streams() -> Streams:
    """Those of the command that runs."""
    return _current


@contextmanager
def guarded_streams() -> Iterator[Streams]:
    """Inside, sys.stdout and sys.stderr take every text and never raise; and all three are there.

    A stream that was closed (`>&-`) is as one to /dev/null: its number must not become that of
    the next file that is opened, into which others would then write.
    """
    global _current
    _open_closed()
    before = sys.stdout, sys.stderr, _current
    (sys.stdout, out), (sys.stderr, err) = _guarded(sys.stdout), _guarded(sys.stderr)
    _current = Streams(out, err)
    try:
        yield _current
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr, _current = before


def _open_closed() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            there = os.open(os.devnull, os.O_RDWR)
            if there != number:
                os.dup2(there, number)
                os.close(there)
            os.set_inheritable(number, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _guarded(stream: TextIO) -> tuple[TextIO, Guarded | None]:
    """The stream with a guard; as it is where there are no bytes beneath it."""
    beneath = getattr(stream, "buffer", None)
    if beneath is None:
        return stream, None
    guard = Guarded(beneath)
    with suppress(OSError):
        stream.flush()
    encoding = codecs.lookup(stream.encoding).name
    return (
        _Lasting(
            io.BufferedWriter(guard),
            encoding=ASCII if encoding == "ascii" else encoding,
            errors=ERRORS,
            line_buffering=True,
        ),
        guard,
    )


def told(found: Streams, code: int) -> int:
    """The exit code, once it is known whether what was printed has arrived."""
    if found.lost is None or code:
        return code
    if found.left:
        return CLOSED_PIPE if found.result else 0
    fix = "free some space, or send it elsewhere"
    error = BenchError("a place for what is printed", str(found.lost.strerror), fix, 6)
    if found.result:
        typer.echo(f"error: {error}", err=True)
        return error.code
    typer.echo(f"the record is written, its display was lost ({found.lost.strerror})", err=True)
    return 0


@contextmanager
def going_on() -> Iterator[None]:
    """Around runs: an interruption is one sentence, as nothing that was finished is lost."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command goes on from here.", err=True)
        raise typer.Exit(130) from None
