"""What a run shows: a live view on a terminal, plain lines in a pipe, or nothing but the end.

Work that takes long is a stack of meters: a stage, in it a set. A thread looks at them every
second, so that one step or one batch that takes minutes is no silence either.
"""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal

import typer

from ..common.report import Advance, Report
from .meters import Meter, Meters, Remaining, Training
from .terminal import streams

DisplayMode = Literal["auto", "rich", "plain", "none"]
DisplayOption = Annotated[DisplayMode, typer.Option(help="live view or plain lines")]
EVERY = 10.0  # seconds between plain lines of long work
SELDOM = 60.0  # the same where it has taken long already
LOOK = 1.0  # seconds between looks at the meters
_MAIN = threading.main_thread()


class Display(Report):
    """Plain lines: one per phase and one per epoch. Also the base of the live view.

    Args:
        quiet: show the end alone.
        ends: whether the command ends where nobody reads it, as one that makes nothing else does.
    """

    def __init__(self, quiet: bool = False, ends: bool = False) -> None:
        self.quiet, self.ends = quiet, ends
        self.remaining = Remaining()
        self._stack: list[Meters] = []
        self._spoke = 0.0
        self._stop: threading.Event | None = None
        self._stages: list[Meter] = []
        self._task: Training | None = None

    def line(self, text: str) -> None:
        """A sentence that stays on the screen."""
        if not self.quiet:
            typer.echo(text)
        self._spoke = time.monotonic()
        self._heard()

    def result(self, text: str) -> None:
        """The end of a run; shown in every mode."""
        typer.echo(text)

    def _heard(self) -> None:
        if self.ends and streams().lost is not None and _MAIN is threading.current_thread():
            raise typer.Exit(0)  # the exit code is the entry point's

    # -- runs of a call

    @contextmanager
    def running(self, index: int) -> Iterator[None]:
        """Around one of the runs that `remaining.kinds` names."""
        self.remaining.begin(index)
        whole = False
        try:
            yield
            whole = True
        finally:
            self.remaining.end(whole)

    def planned(self, steps: Sequence[int], done: int) -> None:
        """Before the first stage of a run, see `Report.planned`."""
        self.remaining.run.planned(steps, done)

    # -- work

    @contextmanager
    def _working(self, *meters: Meter) -> Iterator[None]:
        """Inside, somebody looks at the meters, of which the newest are the innermost."""
        self._push(meters)
        try:
            yield
        finally:
            self._pop(meters)
        self._heard()

    def _push(self, meters: Meters) -> None:
        self._stack.append(meters)
        if self._stop is None and not self.quiet:
            self._spoke = time.monotonic()
            self._stop = threading.Event()
            threading.Thread(target=self._watch, args=(self._stop,), daemon=True).start()

    def _pop(self, meters: Meters) -> None:
        self._stack.remove(meters)
        if not self._stack and self._stop is not None:
            self._stop.set()
            self._stop = None

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK):
            self._look()

    def _look(self) -> None:
        """A line, where there was none for long."""
        stack = list(self._stack)
        if not stack:
            return
        now, started = time.monotonic(), stack[-1][0].started
        if now - self._spoke >= min(SELDOM, max(EVERY, (now - started) / 10)):
            self._spoke = now
            self.line(self._shown(stack))

    def _shown(self, stack: list[Meters]) -> str:
        outer = [meter.short() for meters in stack[:-1] for meter in meters]
        inner = [f"{meter.head}  {meter.status()}".strip() for meter in stack[-1]]
        whole = self.remaining.text()
        return "  ".join([*outer, *inner, *([f"[{whole}]"] if whole else [])])

    def _moved(self, meter: Meter) -> None:
        """A meter has another state; the live view redraws it."""

    @contextmanager
    def phase(self, head: str, total: int = 0, unit: str = "") -> Iterator[Advance]:
        """Around work of `total` units, 0 where nobody knows; gives what advances it."""
        with self.bars((head, total, unit)) as (advance,):
            yield advance

    @contextmanager
    def bars(self, *rows: tuple[str, int, str]) -> Iterator[list[Advance]]:
        """Work of several kinds at once; gives a function per row that advances it.

        Args:
            rows: (head, total, unit) each; the unit "B" is shown in GB.
        """
        meters = [Meter(*row) for row in rows]

        def advance(meter: Meter, n: int) -> None:
            meter.done += n
            self._moved(meter)

        with self._working(*meters):
            yield [partial(advance, meter) for meter in meters]

    @contextmanager
    def training(self, head: str, total: int, epochs: int, done: int) -> Iterator[None]:
        """Around the training of one task: `total` steps in `epochs`, `done` of them already."""
        self._task = task = Training(head, total, "steps", done, epochs=epochs, first=done)
        self.remaining.run.training()
        with self._working(task):
            yield

    def step(self, step: int, loss: float, pairs: int) -> None:
        """After an optimiser step on `pairs` examples."""
        self.remaining.run.step()
        if (task := self._task) is None:
            return
        task.done, task.loss, task.pairs = step, loss, task.pairs + pairs
        self._stepped(task)

    def _stepped(self, task: Training) -> None:
        if task.done % max(1, task.total // max(1, task.epochs)) == 0:
            whole = self.remaining.text()
            self.line(f"{task.head}  {task.status()}" + (f"  [{whole}]" if whole else ""))

    @contextmanager
    def evaluating(self, head: str, total: int) -> Iterator[None]:
        """Around the evaluation of one stage on `total` sets."""
        stage = Meter(f"{head}  evaluating", total, "sets")
        self._evaluates(stage)
        self._stages.append(stage)
        try:
            with self._working(stage):
                yield
            self.remaining.run.evaluated()
        finally:
            self._stages.remove(stage)

    def _evaluates(self, stage: Meter) -> None:
        self.line(f"{stage.head} {stage.total} sets")

    def evaluated(self, name: str, score: str) -> None:
        """After one set."""
        if self._stages:
            stage = self._stages[-1]
            stage.done, stage.note = stage.done + 1, f"{name} {score}"
            self._moved(stage)


class LiveDisplay(Display):
    """Bars that are redrawn in place, above them the lines that stay."""

    def __init__(self, ends: bool = False) -> None:
        super().__init__(ends=ends)
        from rich.console import Console

        self.console = Console()
        self._bar: Any = None
        self._rows: dict[Meter, Any] = {}
        self._top: Any = None  # the row of the whole call

    def line(self, text: str) -> None:
        """A sentence that stays on the screen."""
        self.console.print(text, markup=False, highlight=False)
        self._heard()

    def _push(self, meters: Meters) -> None:
        """A row for each, and the view where it is the first."""
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}", markup=False),
                console=self.console,
                transient=True,
            )
            self._top = self._bar.add_task("", total=None, visible=False, status="")
            self._bar.start()
        for meter in meters:
            self._rows[meter] = self._bar.add_task(
                meter.head, total=meter.total or None, completed=meter.done, status=meter.status()
            )
        super()._push(meters)

    def _pop(self, meters: Meters) -> None:
        """Their rows vanish, and with the last one the view."""
        super()._pop(meters)
        for meter in meters:
            self._bar.remove_task(self._rows.pop(meter))
        if not self._rows:
            self._bar.stop()
            self._bar = None

    def _moved(self, meter: Meter) -> None:
        self._redraw(meter, self._bar)

    def _redraw(self, meter: Meter, bar: Any) -> None:
        row = self._rows.get(meter)
        if bar is not None and row is not None:
            bar.update(row, completed=meter.done, status=meter.status())

    def _look(self) -> None:
        """Times go on without a step, too."""
        bar = self._bar
        try:
            for meter in list(self._rows):
                self._redraw(meter, bar)
            if bar is not None:
                whole = self.remaining.text()
                bar.update(self._top, visible=bool(whole), description=whole)
        except KeyError:  # it was removed meanwhile
            return

    @contextmanager
    def training(self, head: str, total: int, epochs: int, done: int) -> Iterator[None]:
        """A bar over the task's steps."""
        with super().training(head, total, epochs, done):
            yield
        assert self._task is not None, "it was trained"
        self.line(f"{head}  {self._task.status()}")

    def _stepped(self, task: Training) -> None:
        self._moved(task)

    def _evaluates(self, stage: Meter) -> None:
        """The bar says it."""


def first_word(
    suite: str, methods: Sequence[str], orders: Sequence[str], seeds: Sequence[int]
) -> str:
    """What is going to run, from the options alone: it is said before anything is loaded."""
    asked = {"method": methods, "order": orders, "seed": seeds}
    parts = [
        f"{word}{'s' * (len(found) > 1)} {', '.join(map(str, found))}"
        for word, found in ((word, list(dict.fromkeys(given))) for word, given in asked.items())
    ]
    return f"suite {suite}; {'; '.join(parts)}"


def make_display(mode: DisplayMode, ends: bool = False) -> Display:
    """Auto is the live view where the output is a terminal, plain lines elsewhere.

    Args:
        mode: of the display.
        ends: see `Display`.
    """
    if mode == "auto":
        mode = "rich" if sys.stdout.isatty() else "plain"
    return LiveDisplay(ends) if mode == "rich" else Display(mode == "none", ends)
