"""Checks of a method from a process that none of its code can reach. No torch.

The checks run in a child. One that hangs is shown to hang, one that ends is shown to end, each at
its line as far as anybody can tell, and another child goes on with the next check.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import BenchError
from .outcome import FOUND, Checked, Outcome, Pending

KINDS = ("pairs", "labelled")
TIMEOUT = 120.0  # seconds for one check
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from benchmark.check.worker import main; main(sys.argv[2], int(sys.argv[3]))"
)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>.+)')


@dataclass
class Session:
    """The checks of one method, on both kinds of tasks at once, in a process each.

    Attributes:
        method: name, name.variant, or path. hp: settings, KEY=VALUE.
        suites: embedded suites that are run. full: whether there are minutes.
        tell: is given each outcome as it comes. timeout: seconds that a check may take.
    """

    method: str
    hp: Sequence[str] = ()
    suites: Sequence[str] = ("mini", "mini-xtail")
    full: bool = False
    tell: Callable[[Outcome], None] = lambda outcome: None
    timeout: float = TIMEOUT
    checked: Checked = field(init=False)
    _jobs: list[Pending] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> Checked:
        """Ask all checks; whatever the method's code does, there is an outcome for each.

        Raises:
            BenchError: code 6, no process can be started for them.
        """
        self.checked = Checked(self.method, self.full, __version__)
        started = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="cl-bench-check-") as folder,
            ThreadPoolExecutor(len(KINDS)) as pool,
        ):
            lanes = [pool.submit(_Lane(self, kind, Path(folder) / kind).run) for kind in KINDS]
            for lane in lanes:
                lane.result()
        self._complete()
        self.checked.seconds = round(time.monotonic() - started, 1)
        return self.checked

    def done(self, kind: str) -> list[Outcome]:
        """Outcomes of a kind of tasks, and of no kind."""
        with self._lock:
            return [one for one in self.checked.outcomes if one.kind in ("", kind)]

    def found(self, about: dict[str, Any]) -> None:
        """What the method says of itself."""
        for name, of in about.items():
            setattr(self.checked, name, of)

    def expect(self, jobs: list[Pending]) -> None:
        """All checks that are to be asked."""
        with self._lock:
            self._jobs += [job for job in jobs if job not in self._jobs]

    def add(self, outcome: Outcome) -> None:
        """One more outcome; what is asked in both processes counts once."""
        with self._lock:
            there = {(one.check, one.kind) for one in self.checked.outcomes}
            if (outcome.check, outcome.kind) in there:
                return
            self.checked.outcomes.append(outcome)
            self.tell(outcome)

    def _complete(self) -> None:
        """In the protocol's order; and none is missing, whoever ended what."""
        order = {job.check: i for i, job in reversed([*enumerate(self._jobs)])}
        failed = [o.check for o in self.checked.of("fail")]
        if FOUND.check not in failed:
            fix = "Look for code that ends the process or writes to its open files."
            for job in self._jobs:
                self.add(job.outcome("fail", "the process ended before it was asked", fix))
        kinds = ("", *KINDS)
        self.checked.outcomes.sort(key=lambda o: (order.get(o.check, -1), kinds.index(o.kind)))


@dataclass
class _Lane:
    """The processes for one kind of tasks, one after the other."""

    session: Session
    kind: str
    folder: Path
    _job: Pending | None = None
    _place: str = ""
    _over: bool = False
    _deadline: float = 0.0

    def run(self) -> None:
        """Until all checks are asked, or a process ends before any."""
        self.folder.mkdir()
        before = -1
        while not self._over and before != (before := len(self.session.done(self.kind))):
            self._job, self._place = None, ""
            self._child()

    def _child(self) -> None:
        """One process, from its start to its end or to a check that does not end."""
        session = self.session
        asked = {
            "method": session.method, "hp": list(session.hp), "suites": list(session.suites),
            "full": session.full, "kind": self.kind, "folder": str(self.folder),
            "done": [asdict(one) for one in session.done(self.kind)],
        }  # fmt: skip
        reader, writer = os.pipe()
        log = self.folder / "log.txt"
        words = [
            json.dumps([p or str(Path.cwd()) for p in sys.path]),
            json.dumps(asked),
            str(writer),
        ]
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(writer,),
                start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        os.close(writer)
        try:
            hung = self._listen(reader)
            if hung:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGUSR1)  # it writes where it is
                time.sleep(0.5)
        finally:
            os.close(reader)
            if self._over:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            code = child.wait()
        if not self._over:
            self._ended(hung, code, log.read_text(encoding="utf-8", errors="replace"))

    def _listen(self, reader: int) -> bool:
        """Take what the child tells, until it ends (False) or says nothing for too long (True)."""
        self._deadline = time.monotonic() + self.session.timeout
        for line in _lines(reader, lambda: self._deadline - time.monotonic()):
            if line is None:
                return True
            (word, value), *_ = json.loads(line).items()
            if word != "place":
                self._deadline = time.monotonic() + self.session.timeout
            self._take(word, value)
            if self._over:
                return False
        return False

    def _take(self, word: str, value: Any) -> None:
        if word == "jobs":
            self.session.expect([Pending(**job) for job in value])
        elif word == "start":
            self._job, self._place = Pending(**value), ""
        elif word == "place":
            self._place = value
        elif word == "found":
            self.session.found(value)
        elif word == "outcome":
            self._job = None
            self.session.add(Outcome(**value))
        elif word == "end":
            self._over = True

    def _ended(self, hung: bool, code: int, log: str) -> None:
        """The check that was being asked is one that the process did not survive."""
        job = self._job
        if job is None:
            if self.session.done(self.kind):
                return  # between two checks: the next process goes on, or they are missing
            raise BenchError(
                "the process that runs the checks to start",
                f"exit code {code} ({_last(log)})",
                "run `cl-bench doctor`",
                6,
            )
        where = _where(log, self.session.checked.file or self.session.method.partition(":")[0])
        place = f" in {self._place}" if self._place else ""
        if hung:
            said = f"it does not end: nothing for {self.session.timeout:.0f} s{place}{where}"
            remedy = "Let every hook end; a wait for something outside never does."
        else:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            said = f"the process ended with {how}{place}{where}"
            remedy = "Raise an error where something is wrong; never end the process."
            if code == -signal.SIGKILL:
                remedy = "Use less memory: the system has ended the process."
        self.session.add(job.outcome("fail", said, remedy))
        if job.check == FOUND.check:
            self._over = True


def _lines(reader: int, left: Callable[[], float]) -> Iterator[bytes | None]:
    """Whole lines of a pipe; None, at last, where none comes in time."""
    rest = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, left()))
        if not ready:
            yield None
            return
        some = os.read(reader, 2**16)
        if not some:
            return
        *whole, rest = (rest + some).split(b"\n")
        yield from whole


def _where(log: str, file: str) -> str:
    """The method's line in the last stack that the child wrote, its newest frame first."""
    stack = log.rpartition("most recent call first")[2]
    for found in _FRAME.finditer(stack):
        if file and Path(found["file"]).name == Path(file).name:
            return f" ({Path(file).name}:{found['line']}, in {found['name'].strip()})"
    return ""


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"
