"""The live view of a run on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .display import Display
from .meters import Meter, Meters, Training


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

    def _enter(self, meters: Meters) -> None:
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
        super()._enter(meters)

    def _leave(self, meters: Meters) -> None:
        """Their rows vanish, and with the last one the view."""
        super()._leave(meters)
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
