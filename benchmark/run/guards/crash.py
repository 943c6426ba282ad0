"""What a method's own code raised, as one sentence; where it happened; the traceback in a file."""

import inspect
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...common.files import atomic
from ...errors import BenchError, MethodError
from .process.interrupts import interrupted


@dataclass
class RunPlace:
    """Where a run is; what a failure is told with.

    Attributes:
        hook: that was called last. task: name of the dataset that is learned or was learned last.
        number: of that task, from 1. tasks: of all. step: optimiser steps done in it.
        steps: of all. stage: number of finished tasks whose evaluation runs; None while one is
            learned. scored: the set that is evaluated.
    """

    hook: str = "__init__"
    task: str | None = None
    number: int = 0
    tasks: int = 0
    step: int = 0
    steps: int = 0
    stage: int | None = None
    scored: str | None = None

    def begin(self, task: str, number: int) -> None:
        """The next task."""
        self.task, self.number, self.step, self.steps = task, number, 0, 0

    def text(self) -> str:
        """In words, without the hook."""
        if self.stage is not None:
            on = f" on {self.scored}" if self.scored else ""
            return f"at stage {self.stage} of {self.tasks}{on}"
        if self.task is None:
            return "before the first task"
        return (
            f"in task {self.number} of {self.tasks}, {self.task}, "
            f"after step {self.step} of {self.steps}"
        )


def said(error: BaseException) -> str:
    """Type and text of an exception on one line, whatever its own `__str__` does."""
    try:
        text = " ".join(str(error).split())[:200]
    except BaseException:
        text = ""
    return f"{type(error).__name__}{': ' * bool(text)}{text}"


def is_failure(error: BaseException, files: frozenset[Path]) -> bool:
    """Whether an exception is one of the run, and not the user's wish to end the call.

    A method may raise what ends a process, too: those count as its own if they passed its code.

    Args:
        error: the exception.
        files: of the method.
    """
    if isinstance(error, KeyboardInterrupt) and interrupted():
        return False
    if isinstance(error, Exception | SystemExit):
        return True
    return _passed(error, files)


def files_of(cls: type, file: Path) -> frozenset[Path]:
    """The files that a method is written in: its own, and those of classes between it and ours."""
    found = {file}
    for base in cls.__mro__:
        if base.__module__.startswith("benchmark."):
            break
        with suppress(TypeError, OSError):
            found.add(Path(inspect.getfile(base)))
    return frozenset(found)


def hook_of(error: BaseException, files: frozenset[Path], place: RunPlace) -> str:
    """The hook that an exception came from: the method's first function on the way to it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if Path(code.co_filename) in files and code.co_name != "<module>":
            parts = code.co_qualname.split(".<locals>")[0].split(".")
            return parts[-1]
    return place.hook


def line_of(error: BaseException, files: frozenset[Path]) -> str:
    """The last line of the method on the way to an exception; of any code, where it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) in files]
    if not frames:
        return "no line"
    where = (own or frames)[-1]
    return f"{Path(where.filename).name}, line {where.lineno}, in {where.name}"


def failure(
    asked: str,
    error: BaseException,
    files: frozenset[Path],
    place: RunPlace | None,
    kept: Path | None,
) -> BenchError:
    """One sentence for what a method's code raised.

    Args:
        asked: the method as it was asked for.
        error: the exception.
        files: of the method.
        place: where the run was; None before there was one.
        kept: the file that has the traceback; None where it could not be written.
    """
    if isinstance(error, BenchError):
        if place is None:
            return error
        if not _passed(error, files):
            if type(error) is not MethodError:
                return error
            names = ", ".join(sorted(file.name for file in files))
            told = f"{error.got} ({names}, {place.text()})"
            return MethodError(error.expected, told, error.fix, error.code)
        # A sentence already; it is told with its place, and with a code that is one.
        expected, got, fix = _parts(error)
        told = f"{got} ({place_text(error, files, place)})"
        return MethodError(expected, told, fix, _code(error))
    where = "" if place is None else f", raised {place_text(error, files, place)}"
    fix = "mend it"
    if kept is not None:
        fix = f"mend it, or report it where it is ours; the whole traceback is in '{kept}'"
    return MethodError(
        f"the method '{asked}' to run to its end",
        f"{said(error)}{where} ({line_of(error, files)})",
        fix,
        code=3,
    )


def _passed(error: BaseException, files: frozenset[Path]) -> bool:
    return any(Path(f.filename) in files for f in traceback.extract_tb(error.__traceback__))


def place_text(error: BaseException, files: frozenset[Path], place: RunPlace) -> str:
    """Hook and place of an exception in words."""
    return f"in {hook_of(error, files, place)} {place.text()}"


def _parts(error: BenchError) -> tuple[str, str, str]:
    found = (getattr(error, name, "") for name in ("expected", "got", "fix"))
    expected, got, fix = (part if isinstance(part, str) else "" for part in found)
    return expected or "a run to its end", got or type(error).__name__, fix or "mend the method"


def _code(error: BenchError) -> int:
    code = getattr(error, "code", 3)
    return code if isinstance(code, int) and 2 <= code <= 6 else 3


def keep_traceback(error: BaseException, file: Path) -> Path | None:
    """Write the traceback; the file, or None where that failed."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # an exception that cannot be shown
        text = said(error)
    with suppress(BenchError), atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        return file
    return None
