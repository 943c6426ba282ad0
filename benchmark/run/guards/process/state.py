"""One part of the process' state: how it is called, read and put back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Read = Callable[[], Any]
Put = Callable[[Any], object]


@dataclass(frozen=True)
class State:
    """One part: how it is called, read and put back.

    Attributes:
        numbers: whether numbers depend on it.
        said: whether a change of it is told.
        dear: whether it takes long to read, so that it is read around stages and not around sets.
    """

    name: str
    read: Read
    put: Put
    numbers: bool = True
    said: bool = True
    dear: bool = False


def attribute(owner: Any, name: str, called: str = "", numbers: bool = True) -> State:
    """An attribute of a module or class as a part of the state."""

    def put(value: Any) -> None:
        setattr(owner, name, value)

    full = called or f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
    return State(full, lambda: getattr(owner, name), put, numbers)
