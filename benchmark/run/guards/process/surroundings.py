"""What the rest of a call depends on in a process: folder, environment, streams, signals."""

import gc
import locale
import os
import signal
import sys
import threading
import warnings
from concurrent.futures import thread as pool
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any

from .state import State, attribute


def surroundings() -> list[State]:
    """All of them; see `State`."""

    def put_environment(value: dict[str, str]) -> None:
        for name in os.environ.keys() - value.keys():
            del os.environ[name]
        os.environ.update(value)

    def lists(name: str, owner: list[Any], said: bool = True) -> State:
        return State(
            name, lambda: list(owner), lambda v: owner.__setitem__(slice(None), v), False, said
        )

    def umask() -> int:
        now = os.umask(0o022)
        os.umask(now)
        return now

    found = [
        State("the current folder", os.getcwd, os.chdir, False),
        State("environment variables", lambda: dict(os.environ), put_environment, False),
        State("signal handlers", _handlers, _put_handlers, False),
        State("timers", _timers, _stop_timers, False),
        State("standard streams", _streams, _put_streams, False),
        State("the trace function", sys.gettrace, sys.settrace, False),
        State("the profile function", sys.getprofile, sys.setprofile, False),
        State("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, False),
        State("the locale", lambda: locale.setlocale(locale.LC_ALL),
               lambda value: locale.setlocale(locale.LC_ALL, value), False),
        State("the mask of new files", umask, os.umask, False),
        State("garbage collection", gc.isenabled,
               lambda on: gc.enable() if on else gc.disable(), False),
        State("threads (one still runs)", _threads, lambda _: None, False),
        # Libraries that are imported late add filters; nobody needs to be told.
        State("filters of warnings", lambda: list(warnings.filters), _put_filters, False, False),
        lists("places of imports", sys.path),
    ]  # fmt: skip
    for name in ("excepthook", "unraisablehook", "displayhook"):
        found.append(attribute(sys, name, numbers=False))
    found.append(attribute(threading, "excepthook", numbers=False))
    return found


def _put_filters(value: list[Any]) -> None:
    warnings.filters[:] = value  # type: ignore[index]
    if (changed := getattr(warnings, "_filters_mutated", None)) is not None:
        changed()


def _threads() -> int:
    """Threads that would keep the process from ending.

    A pool's that waits for work does not: such threads are told to stop when the process ends.
    """
    frames = sys._current_frames()
    lasting = [t.ident for t in threading.enumerate() if not t.daemon]
    return sum(not _waits(frames.get(ident or 0)) for ident in lasting)


def _waits(frame: FrameType | None) -> bool:
    """Whether a thread is a pool's without anything to do."""
    inside = set[CodeType]()
    while frame is not None:
        inside.add(frame.f_code)
        frame = frame.f_back
    return pool._worker.__code__ in inside and pool._WorkItem.run.__code__ not in inside


def in_main() -> bool:
    """Whether this is the main thread, which alone has signal handlers."""
    return threading.current_thread() is threading.main_thread()


def _handlers() -> dict[int, Any]:
    if not in_main():
        return {}
    return {int(number): signal.getsignal(number) for number in signal.valid_signals()}


def _put_handlers(value: dict[int, Any]) -> None:
    for number, handler in value.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _timers() -> list[bool]:
    return [signal.getitimer(timer)[0] > 0 for timer in _TIMERS]


def _stop_timers(value: list[bool]) -> None:
    for timer, on in zip(_TIMERS, value, strict=True):
        if not on:
            signal.setitimer(timer, 0)


_spare: dict[int, int] = {}  # copies of the three descriptors, for when a method closes one


def _files() -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for number in range(3):
        try:
            about = os.fstat(number)
            found.append((about.st_dev, about.st_ino))
        except OSError:
            found.append(None)
    return found


def _streams() -> tuple[Any, ...]:
    streams = (sys.stdin, sys.stdout, sys.stderr)
    closed = [bool(getattr(stream, "closed", True)) for stream in streams]
    return (*streams, closed, _files())


def keep_spares() -> None:
    """Copies of the descriptors as they are now."""
    for number, about in enumerate(_files()):
        spare = _spare.get(number)
        with suppress(OSError):
            if spare is not None:
                there = os.fstat(spare)
                if (there.st_dev, there.st_ino) == about:
                    continue
                os.close(spare)
        _spare.pop(number, None)
        if about is not None:
            _spare[number] = os.dup(number)


def _put_streams(value: tuple[Any, ...]) -> None:
    *streams, _, files = value
    for number, (before, now) in enumerate(zip(files, _files(), strict=True)):
        if before != now and number in _spare:
            os.dup2(_spare[number], number)
    sys.stdin, sys.stdout, sys.stderr = streams
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(streams[number], "closed", True) and not value[3][number] and number in _spare:
            # Another object on the same descriptor: the closed one cannot be opened again.
            raw = os.fdopen(os.dup(_spare[number]), "w", encoding="utf-8", errors="replace")
            setattr(sys, name, raw)
