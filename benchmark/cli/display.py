"""What a run shows: a live view on a terminal, plain lines in a pipe, or nothing but the end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import typer

from ..common.report import Advance, Report

DisplayMode = Literal["auto", "rich", "plain", "none"]
EVERY = 10.0  # seconds between plain lines of long work


@dataclass
class Meter:
    """How far some work is; `unit` "B" counts bytes."""

    head: str
    total: int
    unit: str
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def status(self) -> str:
        """Done, total, rate and time left, in one line."""
        seconds = max(1e-9, time.monotonic() - self.started)
        rate = self.done / seconds
        left = round((self.total - self.done) / rate) if rate > 0 else 0
        ends = f"  {left // 60}:{left % 60:02d} left" if 0 < self.done < self.total else ""
        if self.unit == "B":
            return f"{self.done / 1e9:.2f}/{self.total / 1e9:.2f} GB  {rate / 1e6:.1f} MB/s{ends}"
        return f"{self.done}/{self.total} {self.unit}  {rate:.0f}/s{ends}"


class Display(Report):
    """Plain lines: one per phase and one per epoch. Also the base of the live view."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._started = 0.0
        self._pairs = 0

    def line(self, text: str) -> None:
        """A sentence that stays on the screen."""
        if not self.quiet:
            typer.echo(text)

    def result(self, text: str) -> None:
        """The end of a run; shown in every mode."""
        typer.echo(text)

    @contextmanager
    def training(self, head: str, total: int, epochs: int, done: int) -> Iterator[None]:
        """Around the training of one task: `total` steps in `epochs`, `done` of them already."""
        self.head, self.total, self.epochs = head, total, epochs
        self._started, self._pairs, self._first = time.monotonic(), 0, done
        yield

    def step(self, step: int, loss: float, pairs: int) -> None:
        """After an optimiser step on `pairs` examples."""
        self._pairs += pairs
        per_epoch = max(1, self.total // max(1, self.epochs))
        if step % per_epoch == 0:
            self.line(f"{self.head}  {self.status(step, loss)}")

    def status(self, step: int, loss: float) -> str:
        """Epoch, step, loss, rate and time left, in one line."""
        seconds = max(1e-9, time.monotonic() - self._started)
        left = round(seconds / max(1, step - self._first) * (self.total - step))
        epoch = -(-step * self.epochs // max(1, self.total))
        return (
            f"epoch {epoch}/{self.epochs}  step {step}/{self.total}  loss {loss:.3f}  "
            f"{self._pairs / seconds:.0f} examples/s  {left // 60}:{left % 60:02d} left"
        )

    @contextmanager
    def evaluating(self, head: str, total: int) -> Iterator[None]:
        """Around the evaluation of one stage on `total` sets."""
        self.line(f"{head}  evaluating {total} sets")
        yield

    def evaluated(self, name: str, score: str) -> None:
        """After one set."""

    @contextmanager
    def bars(self, *rows: tuple[str, int, str]) -> Iterator[list[Advance]]:
        """Work of several kinds at once; gives a function per row that advances it.

        Args:
            rows: (head, total, unit) each; the unit "B" is shown in GB.
        """
        meters = [Meter(*row) for row in rows]
        last = time.monotonic()

        def advance(meter: Meter, n: int) -> None:
            nonlocal last
            meter.done += n
            if time.monotonic() - last > EVERY:
                last = time.monotonic()
                self.line("  ".join(f"{m.head} {m.status()}" for m in meters))

        yield [partial(advance, meter) for meter in meters]


class LiveDisplay(Display):
    """A progress line that is redrawn in place, above it the lines that stay."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self.console = Console()

    def line(self, text: str) -> None:
        """A sentence that stays on the screen."""
        self.console.print(text, markup=False, highlight=False)

    def _progress(self) -> Any:
        """Bars that vanish when they are done."""
        from rich.progress import BarColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}", markup=False),
            console=self.console,
            transient=True,
        )

    @contextmanager
    def training(self, head: str, total: int, epochs: int, done: int) -> Iterator[None]:
        """A bar over the task's steps."""
        with super().training(head, total, epochs, done), self._progress() as self._bar:
            self._row = self._bar.add_task(head, total=total, completed=done, status="")
            yield
            self.line(f"{head}  {self._last}" if total else f"{head}  nothing to train")

    _last = ""

    def step(self, step: int, loss: float, pairs: int) -> None:
        """Redraw the bar."""
        self._pairs += pairs
        self._last = self.status(step, loss)
        self._bar.update(self._row, completed=step, status=self._last)

    @contextmanager
    def evaluating(self, head: str, total: int) -> Iterator[None]:
        """A bar over the stage's evaluation sets."""
        with self._progress() as self._bar:
            self._row = self._bar.add_task(f"{head}  evaluating", total=total, status="")
            yield

    def evaluated(self, name: str, score: str) -> None:
        """Advance the bar."""
        self._bar.update(self._row, advance=1, status=f"{name} {score}")

    @contextmanager
    def bars(self, *rows: tuple[str, int, str]) -> Iterator[list[Advance]]:
        """One bar a row."""
        with self._progress() as bar:

            def row(head: str, total: int, unit: str) -> Advance:
                meter, task = Meter(head, total, unit), bar.add_task(head, total=total, status="")

                def advance(n: int) -> None:
                    meter.done += n
                    bar.update(task, completed=meter.done, status=meter.status())

                return advance

            yield [row(*each) for each in rows]


def make_display(mode: DisplayMode) -> Display:
    """Auto is the live view where the output is a terminal, plain lines elsewhere."""
    if mode == "auto":
        mode = "rich" if sys.stdout.isatty() else "plain"
    return LiveDisplay() if mode == "rich" else Display(quiet=mode == "none")
