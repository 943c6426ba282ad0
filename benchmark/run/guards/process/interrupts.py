"""Whether a KeyboardInterrupt is the user's wish to end the call, or raised by a method."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .surroundings import in_main, keep_spares

_asked = False


@contextmanager
def noting_interrupts() -> Iterator[None]:
    """Inside, `interrupted` knows whether a KeyboardInterrupt is the user's or a method's own."""
    global _asked
    _asked = False
    before: dict[int, Any] = {}

    def noting(handler: Callable[[int, Any], object]) -> Callable[[int, Any], object]:
        def note(number: int, frame: Any) -> object:
            global _asked
            _asked = True
            return handler(number, frame)

        return note

    if in_main():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(number)):
                before[number] = handler
                signal.signal(number, noting(handler))
    keep_spares()
    try:
        yield
    finally:
        for each, handler in before.items():
            with suppress(ValueError):
                signal.signal(each, handler)


def interrupted() -> bool:
    """Whether the user has asked the call to end, be it that a method kept it from ending."""
    return _asked
