"""What a check is, what it may say, and the method that it is asked of."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ..data.tensors import PairTensors
from ..errors import BenchError
from ..run.registry import ResolvedMethod
from ..suites.names import Kind
from .instruments.torch_state import TorchState
from .lab import Lab
from .learned import Learned
from .outcome import NEEDS, Group, Outcome, Pending

SUITES: dict[Kind, str] = {"pairs": "mini", "labelled": "mini-xtail"}
"""The embedded suite of each kind of task."""
KINDS: tuple[Kind, ...] = get_args(Kind)


class Broken(Exception):
    """A promise that does not hold.

    Args:
        found: what was found instead, as a clause, with numbers where there are some.
        remedy: what to do, where it is another than the check's own.
        warning: the method may be right all the same.
    """

    def __init__(self, found: str, remedy: str = "", warning: bool = False) -> None:
        super().__init__(found)
        self.found, self.remedy, self.warning = found, remedy, warning


class NotApplicable(Exception):
    """The promise does not concern this method; the text says why."""


@dataclass
class Subject:
    """The method that is checked, and what it learned so far.

    Attributes:
        found: the method as it was resolved. lab: where it is trained.
        captioned: a set that it never learned, with several captions an image.
        changes: settings of the method that are others in the lab, to save time.
        asked: its name or path, as for --method. hp: what was asked of its settings beside.
        suites: kinds whose embedded suite is run. full: whether there is time for more.
    """

    found: ResolvedMethod
    lab: Lab
    captioned: PairTensors
    changes: Mapping[str, Any] = field(default_factory=dict)
    asked: str = ""
    hp: tuple[str, ...] = ()
    suites: tuple[Kind, ...] = KINDS
    full: bool = False
    _learned: dict[Kind, Learned] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where the method is defined."""
        return self.found.file

    def train(self, kind: Kind, seed: int = 0, lab: Lab | None = None) -> Learned:
        """The method after two tasks of that kind, trained now."""
        there = lab or self.lab
        run = there.train(self.found, there.sets(kind)[:2], seed, **self.changes)
        run.kept = run.feed.alive()
        return run

    def learned(self, kind: Kind) -> Learned:
        """The same, trained once; so no check may change it."""
        if kind not in self._learned:
            self._learned[kind] = self.train(kind)
        return self._learned[kind]

    def forget(self) -> None:
        """Train anew from now on: a check has found the method changed by it."""
        self._learned.clear()


Ask = Callable[[Subject, Kind], str | None]


@dataclass(frozen=True)
class Promise:
    """One promise of the protocol, and how it is asked.

    Attributes:
        id: what it is called. group: which part of the protocol it belongs to.
        promise: what holds, as a sentence. remedy: what to do where it does not, as a sentence.
        ask: ask(subject, kind) -> a note or None; raises `Broken`, `NotApplicable` or whatever
            the method raises.
        once: whether it does not depend on the kind of task; `ask` is given "pairs" then.
        needs: ids of checks that mean the same mistake, or without which this one says nothing.
        full: whether it is left to `--full`.
    """

    id: str
    group: Group
    promise: str
    remedy: str
    ask: Ask
    once: bool = False
    needs: tuple[str, ...] = ()
    full: bool = False

    def job(self, kind: Kind) -> Pending:
        """The check with that kind of task."""
        return Pending(self.id, self.group, "" if self.once else kind, self.promise)


def check(
    group: Group, remedy: str, *, once: bool = False, needs: tuple[str, ...] = (),
    full: bool = False,
) -> Callable[[Ask], Promise]:  # fmt: skip
    """Make a check of a function: its name is the id, and its first line the promise.

    The arguments are those of `Promise`; `needs` has names of the functions of other checks.
    """

    def make(ask: Ask) -> Promise:
        name = getattr(ask, "__name__").replace("_", "-")  # noqa: B009 - a callable may have none
        promise = (ask.__doc__ or "").splitlines()[0]
        after = tuple(one.replace("_", "-") for one in needs)
        return Promise(name, group, promise, remedy, ask, once, after, full)

    return make


def walk(
    subject: Subject,
    kind: Kind,
    checks: Iterable[Promise],
    done: Iterable[Outcome] = (),
    begin: Callable[[Pending], None] = lambda job: None,
) -> Iterator[Outcome]:
    """Ask checks one after the other, on one kind of tasks.

    A check whose `needs` do not hold is not asked: it would find the same mistake, or nothing.
    Torch is put back after each, and after a failure the method is trained anew.

    Args:
        subject: the method.
        kind: of the tasks.
        checks: in an order in which what is needed comes first.
        done: outcomes that there are already, which are not asked again.
        begin: is told of each check that is asked, before.
    """
    switches = TorchState.now()
    known = {one.check: one for one in done}
    refused = subject.found.cls.refused(subject.found.config)
    for what in checks:
        if what.id in known:
            continue
        job, started = what.job(kind), time.monotonic()
        idle = [n for n in what.needs if n in known and known[n].stops]
        if kind in refused and not what.once:
            outcome = job.outcome("not applicable", f"it refuses {kind}: {refused[kind]}")
        elif idle:
            outcome = job.outcome("not applicable", f"{NEEDS} `{idle[0]}`, which does not hold")
        else:
            begin(job)
            outcome = ask(what, subject, kind)
        switches.restore()
        if outcome.status == "fail":
            subject.forget()
        known[what.id] = outcome
        yield replace(outcome, seconds=round(time.monotonic() - started, 2))


def ask(what: Promise, subject: Subject, kind: Kind) -> Outcome:
    """Ask one check of a method; whatever its code raises is an outcome."""
    subject.lab.place.at("")
    job = what.job(kind)
    try:
        note = what.ask(subject, kind)
    except NotApplicable as e:
        return job.outcome("not applicable", str(e))
    except Broken as e:
        return job.outcome("warning" if e.warning else "fail", e.found, e.remedy or what.remedy)
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # SystemExit too: it is the method's code that is asked
        return job.outcome("fail", told(e, subject), _mend(e))
    return job.outcome("pass", note or "")


def _mend(error: BaseException) -> str:
    if isinstance(error, BenchError):
        return f"{error.fix[:1].upper()}{error.fix[1:]}."
    return "Mend what raises it; the rest of this check was not reached."


def told(error: BaseException, subject: Subject) -> str:
    """An error of the method's code in one sentence, with the hook and its line in the file."""
    name = type(error).__name__
    if isinstance(error, BenchError):
        text = f"expected {error.expected}, got {error.got}"
    else:  # whatever its __str__ does
        text = " ".join(str(traceback.TracebackException.from_exception(error)).split())[:400]
        text = text.removeprefix(f"{name}: ")
    where = last_line(error, subject.file)
    place = str(subject.lab.place)
    return (
        f"{name}{': ' * bool(text)}{text}"
        + (f", in {place}" if place else "")
        + (f" ({where})" if where else "")
    )


def last_line(error: BaseException, file: Path) -> str:
    """`my_method.py:34, in loss`: the last line of a file that an error, or its cause, went by."""
    seen: set[int] = set()
    at: BaseException | None = error
    found = ""
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        for frame in traceback.extract_tb(at.__traceback__):
            if Path(frame.filename) == file:
                found = f"{file.name}:{frame.lineno}, in {frame.name}"
        at = at.__cause__ or at.__context__
        if found:
            return found
    return found
