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
from typing import Literal

import typer

from ..common.report import Advance, Report
from .meters import Meter, Meters, Remaining, Training
from .terminal import streams

DisplayMode = Literal["auto", "rich", "plain", "none"]
EVERY = 10.0  # seconds between plain lines of long work
SELDOM = 60.0  # the same where it has taken long already
LOOK = 1.0  # seconds between looks at the meters


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
        if self.ends and streams().lost is not None and _main_thread():
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
        self._enter(meters)
        try:
            yield
        finally:
            self._leave(meters)
        self._heard()

    def _enter(self, meters: Meters) -> None:
        self._stack.append(meters)
        if self._stop is None and not self.quiet:
            self._spoke = time.monotonic()
            self._stop = threading.Event()
            threading.Thread(target=self._watch, args=(self._stop,), daemon=True).start()

    def _leave(self, meters: Meters) -> None:
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


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def make_display(mode: DisplayMode, ends: bool = False) -> Display:
    """Auto is the live view where the output is a terminal, plain lines elsewhere.

    Args:
        mode: of the display.
        ends: see `Display`.
    """
    if mode == "auto":
        mode = "rich" if sys.stdout.isatty() else "plain"
    if mode == "rich":
        from .live import LiveDisplay

        return LiveDisplay(ends)
    return Display(mode == "none", ends)
