"""What code of a method's file asks of the system: files, other programs, the network."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import benchmark

_HOME = str(Path(benchmark.__file__).parent)
_EVENTS = {
    "open": "opens the file",
    "os.listdir": "lists the folder",
    "os.scandir": "lists the folder",
    "os.remove": "removes the file",
    "os.rename": "renames",
    "os.mkdir": "makes the folder",
    "os.rmdir": "removes the folder",
    "os.system": "runs the command",
    "os.exec": "runs the program",
    "os.posix_spawn": "runs the program",
    "os.fork": "starts a process",
    "os.putenv": "changes the environment",
    "subprocess.Popen": "runs the program",
    "socket.connect": "connects to",
    "socket.bind": "listens on",
    "socket.getaddrinfo": "asks for the address of",
    "pickle.find_class": "unpickles",
}


class _Guard:
    """The process's one listener: it cannot be taken away again, so it is told when to look."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.seen: list[str] = []
        self.listening = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        file = self.file
        if file is None or event not in _EVENTS:
            return
        self.file = None  # what is done here is not the method's
        try:
            if (line := _asked_by(str(file))) is not None:
                what = f" {args[0]!r}"[:120] if args else ""
                self.seen.append(f"{file.name}:{line} {_EVENTS[event]}{what}")
        finally:
            self.file = file


_guard = _Guard()


@contextmanager
def watched(file: Path) -> Iterator[list[str]]:
    """Inside, the list gets what that file's own code asks of the system, with its line.

    What the harness does in its name (a look-up in a cache) is not of it.
    """
    if not _guard.listening:
        sys.addaudithook(_guard)
        _guard.listening = True
    _guard.seen, _guard.file = [], file
    try:
        yield _guard.seen
    finally:
        _guard.file = None


def _asked_by(file: str) -> int | None:
    """The line of the file that asks, unless the harness asks in between."""
    for frame, line in traceback.walk_stack(sys._getframe(2)):
        name = frame.f_code.co_filename
        if name == file:
            return line
        if name.startswith(_HOME):
            return None
    return None
