"""How far work is, and the time that a call of several runs has left.

An estimate has a basis or is none. A run has one once a whole task with its evaluation is behind
it, and a step where steps are planned: evaluation before the first task reads features that a
cache may have. A run to come has one in a finished run of its method, in the present one where it
is of that method, else in the mean of those that have finished.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Clock = Callable[[], float]
DONE = ""  # the kind of a run whose record is there
UNEVEN = ("sets", "splits", "runs")  # of which one may take a hundred times as long as another


def clock_text(seconds: float) -> str:
    """m:ss, and from an hour on h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(eq=False)
class Meter:
    """How far some work is; `unit` "B" counts bytes, `total` is 0 where nobody knows."""

    head: str
    total: int
    unit: str
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    note: str = ""

    def seconds(self) -> float:
        """Since its start."""
        return max(1e-9, time.monotonic() - self.started)

    def short(self) -> str:
        """Head, done and total, for work inside of it to stand behind."""
        if not self.total:
            return self.head
        return f"{self.head} {self.done}/{self.total} {self.unit}".rstrip()

    def status(self) -> str:
        """Done, total, rate and time left, in one line; the time that it has taken, if unknown."""
        if self.unit == "B":
            return self._bytes()
        if not self.total:
            return f"{clock_text(self.seconds())} so far"
        if self.unit in UNEVEN:
            return f"{self.done}/{self.total} {self.unit}{'  ' * bool(self.note)}{self.note}"
        shown = f"{self.done}/{self.total} {self.unit}"
        if not self.done:
            return f"{shown}  {clock_text(self.seconds())} so far"
        return f"{shown}  {self.done / self.seconds():.0f}/s{self._left()}"

    def _bytes(self) -> str:
        shown = f"{self.done / 1e9:.2f}/{self.total / 1e9:.2f} GB"
        return f"{shown}  {self.done / self.seconds() / 1e6:.1f} MB/s{self._left()}"

    def _left(self) -> str:
        if not 0 < self.done < self.total:
            return ""
        seconds = self.seconds() / self.done * (self.total - self.done)
        return f"  {clock_text(seconds)} left"


@dataclass(eq=False)
class Training(Meter):
    """The training of a task; `done` counts steps.

    Attributes:
        first: steps that were done before. pairs: examples since. loss: of the newest step.
    """

    epochs: int = 1
    first: int = 0
    pairs: int = 0
    loss: float = 0.0

    def status(self) -> str:
        """Epoch, step, loss, rate and time left, in one line."""
        made = self.done - self.first
        if not self.total:
            return "nothing to train"
        if not made:
            return f"step {self.done}/{self.total}  {clock_text(self.seconds())} so far"
        left = self.seconds() / made * (self.total - self.done)
        epoch = -(-self.done * self.epochs // max(1, self.total))
        return (
            f"epoch {epoch}/{self.epochs}  step {self.done}/{self.total}  loss {self.loss:.3f}  "
            f"{self.pairs / self.seconds():.0f} examples/s  {clock_text(left)} left"
        )


Meters = tuple[Meter, ...]


@dataclass
class RunTime:
    """Times of one run.

    Attributes:
        steps: planned of each task. first: the first task that this process learns itself.
        stage: number of stages that are finished.
        whole: whether this process does all of it.
        tasks: seconds and training steps of the finished tasks that this process has learned.
    """

    clock: Clock
    steps: Sequence[int] = ()
    first: int = 0
    stage: int = 0
    whole: bool = False
    tasks: list[tuple[float, int]] = field(default_factory=list)
    began: float = 0.0
    _since: float = 0.0  # of the task that runs
    _made: int = 0  # its steps
    _step_seconds: float = 0.0
    _step_count: int = 0
    _last: float = 0.0

    def planned(self, steps: Sequence[int], done: int) -> None:
        """See `Report.planned`."""
        self.steps, self.first, self._since = steps, done, self.clock()
        self.whole = done == 0

    def training(self) -> None:
        """The first step of a task begins."""
        self._last = self.clock()

    def step(self) -> None:
        """A step was made."""
        now = self.clock()
        self._step_seconds += now - self._last
        self._step_count += 1
        self._made += 1
        self._last = now

    def evaluated(self) -> None:
        """All sets were scored, which ends a task; the first time, before any."""
        now = self.clock()
        if self.stage > self.first:
            self.tasks.append((now - self._since, self._made))
        self.stage, self._since, self._made = self.stage + 1, now, 0

    def left(self) -> float | None:
        """Seconds to the end of the run; None without a basis."""
        if not self.tasks:
            return None
        trained = [task for task in self.tasks if task[1]]
        if self._step_count:
            per_step = self._step_seconds / self._step_count
        elif any(self.steps):
            return None  # the training may be still to come, all at once
        else:
            per_step = 0.0
        rests = [seconds - per_step * steps for seconds, steps in trained or self.tasks]
        rest = max(0.0, sum(rests) / len(rests))
        ahead = self.steps[max(0, self.stage - 1) :]
        total = sum(rest + per_step * steps for steps in ahead)
        begun = self.clock() - self._since
        return max(total - begun, sum(rest + per_step * n for n in ahead[1:]), 0.0)


class Remaining:
    """Times of all runs of a call.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.kinds: list[str] = []  # of the runs, in order: what they have to be alike in
        self.now: int = -1  # index of the one that runs
        self.run = RunTime(clock)
        self._took: dict[str, list[float]] = {}

    def begin(self, index: int) -> None:
        """A run begins."""
        self.now, self.run = index, RunTime(self.clock, began=self.clock())

    def end(self, whole: bool) -> None:
        """The run has ended, `whole` or by an error."""
        if whole and self.run.whole:
            seconds = self.clock() - self.run.began
            self._took.setdefault(self.kinds[self.now], []).append(seconds)
        self.run = RunTime(self.clock)

    def left(self) -> float | None:
        """Seconds to the end of the call; None without a basis."""
        mine = self._of_this_run()
        if mine is None:
            return None
        ahead = [self._of(kind) for kind in self.kinds[self.now + 1 :]]
        return None if None in ahead else mine + sum(each or 0.0 for each in ahead)

    def text(self) -> str:
        """'run 2/6, about 1:02:03 left'; what of it is known, "" for nothing."""
        many = len(self.kinds) > 1 and self.now >= 0
        parts = [f"run {self.now + 1}/{len(self.kinds)}"] if many else []
        if (left := self.left()) is not None:
            parts.append(f"about {clock_text(left)} left" + " in all" * many)
        elif (left := self._of_this_run()) is not None:
            parts.append(f"about {clock_text(left)} of it left" if many else "")
        return ", ".join(parts)

    def _of_this_run(self) -> float | None:
        """Seconds to the end of the run; from finished ones where it has no basis itself."""
        if self.now < 0:
            return None
        found, took = self.run.left(), self._took.get(self.kinds[self.now])
        if found is not None or not took:
            return found
        rest = sum(took) / len(took) - (self.clock() - self.run.began)
        return rest if rest > 0 else None  # longer than they took: nobody knows

    def _of(self, kind: str) -> float | None:
        """Seconds of a run to come."""
        if kind == DONE:
            return 0.0
        if took := self._took.get(kind):
            return sum(took) / len(took)
        mine = self.run.left()
        if self.kinds[self.now] == kind and mine is not None:
            return self.clock() - self.run.began + mine
        every = [seconds for some in self._took.values() for seconds in some]
        return sum(every) / len(every) if every else None
