"""State of the process that a method's code may change, read before its hooks and put back after.

Two kinds: what numbers depend on (torch's switches, generators, hooks and functions), and what the
rest of a call depends on (folder, environment, streams, signals). The first kind is a fault, as a
record would not say under what its numbers were made; the second is put back, and said.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....common.report import Say
from ....errors import MethodError, quoted
from .state import State
from .surroundings import surroundings
from .switches import generators, shared_parts, switches

UNKNOWN = "unknown"  # what a state is that cannot be read


@dataclass(frozen=True)
class Change:
    """What was changed: its name, and how it was and is, as text."""

    state: State
    before: Any
    after: Any

    @property
    def text(self) -> str:
        """The change in words."""
        if others := getattr(self.before, "others", None):
            return f"{self.state.name} ({others(self.after)})"
        old, new = (quoted(value, 40) for value in (self.before, self.after))
        plain = isinstance(self.before, bool | int | float | str) or " " not in old + new
        return self.state.name + (f" from {old} to {new}" if plain and len(old + new) < 90 else "")


class ProcessState:
    """How the process is now.

    Args:
        draws: whether generators belong to it; a hook of training may draw, one of evaluation not.
        cheap: leave out what no number depends on, and what is dear to read.
    """

    def __init__(self, draws: bool = False, cheap: bool = False) -> None:
        states = [s for s in _states() if not cheap or (s.numbers and not s.dear)]
        states += generators() if draws else []
        self._values = [(state, _read(state)) for state in states]

    def changes(self) -> list[Change]:
        """What is another now."""
        found = ((state, value, _read(state)) for state, value in self._values)
        return [Change(*one) for one in found if not _equal(one[1], one[2])]

    def put_back(self, changes: list[Change]) -> list[str]:
        """Put changes back; the names of those for which that failed."""
        lost = []
        for change in changes:
            try:
                change.state.put(change.before)
            except Exception:  # whatever a library says of it
                lost.append(change.state.name)
                continue
            if not _equal(_read(change.state), change.before):
                lost.append(change.state.name)
        return lost


@contextmanager
def kept(hook: str, say: Say, draws: bool = False) -> Iterator[None]:
    """Around a method's hooks: afterwards, the process is as it was.

    Args:
        hook: their name, for the sentences.
        say: is told what was put back.
        draws: see `ProcessState`.

    Raises:
        MethodError: they changed something that numbers depend on; it is put back.
    """
    state = ProcessState(draws)
    try:
        yield
    except BaseException:
        state.put_back(state.changes())
        raise
    restore(state, hook, say)


def restore(state: ProcessState, hook: str, say: Say) -> None:
    """Put back what `hook` has changed since; raises as `kept`."""
    changes = state.changes()
    if not changes:
        return
    lost = state.put_back(changes)
    told = [c.text for c in changes if c.state.said and c.state.name not in lost]
    if told:
        say(f"{hook} of the method has changed {', '.join(told)}; it is put back")
    if lost:
        say(f"{hook} of the method has changed {', '.join(lost)}, which cannot be put back")
    wrong = [change for change in changes if change.state.numbers]
    if wrong:
        raise MethodError(
            f"{hook} to leave the process as it was",
            f"another {wrong[0].text}",
            "leave it to the harness, whose record would not say it"
            + (", or draw from a generator of your own" if _is_draw(wrong[0]) else ""),
            code=3,
        )


def _is_draw(change: Change) -> bool:
    return change.state.name.startswith("state of ")


def _read(state: State) -> Any:
    try:
        return state.read()
    except Exception:  # a library that is not built in, or a folder that was removed
        return UNKNOWN


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other)


_known: list[State] = []


def _states() -> list[State]:
    if not _known:
        _known.extend(switches() + shared_parts() + surroundings())
    return _known
