"""What a run, or a preparation of data, reports while it works; not how it is shown."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

Advance = Callable[[int], None]
"""Is called with the number of bytes or items that were done since the last call; a negative
number takes back what has to be done again."""


def ignore(n: int) -> None:
    """An `Advance` that tells nobody."""


class Report(Protocol):
    """Receives the reports; the command line's `Display` implements it, and a tracker could.

    Whatever may take more than a few seconds stands in one of the contexts, which may be nested.
    """

    def line(self, text: str) -> None:
        """A sentence that stays."""

    def phase(self, head: str, total: int = 0, unit: str = "") -> AbstractContextManager[Advance]:
        """Around work of `total` units, 0 where nobody knows; gives what advances it."""

    def bars(self, *rows: tuple[str, int, str]) -> AbstractContextManager[list[Advance]]:
        """A bar for each (head, total, unit); gives the functions that advance them."""

    def planned(self, steps: Sequence[int], done: int) -> None:
        """Before the first stage of a run.

        Args:
            steps: optimiser steps of each task, as the recipe has them; a method may make none.
            done: number of tasks that an earlier process has learned.
        """

    def training(
        self, head: str, total: int, epochs: int, done: int
    ) -> AbstractContextManager[None]:
        """Around the training of one task: `total` steps in `epochs`, `done` of them already."""

    def step(self, step: int, loss: float, pairs: int) -> None:
        """After an optimiser step on `pairs` examples."""

    def evaluating(self, head: str, total: int) -> AbstractContextManager[None]:
        """Around the evaluation of one stage on `total` sets."""

    def evaluated(self, name: str, score: str) -> None:
        """After one set."""


class _Silent(Report):
    """Tells nobody."""

    def line(self, text: str) -> None:
        """Nothing."""
        return

    def planned(self, steps: Sequence[int], done: int) -> None:
        """Nothing."""
        return

    def step(self, step: int, loss: float, pairs: int) -> None:
        """Nothing."""
        return

    def evaluated(self, name: str, score: str) -> None:
        """Nothing."""
        return

    @contextmanager
    def phase(self, head: str, total: int = 0, unit: str = "") -> Iterator[Advance]:
        """Yields what does nothing."""
        yield ignore

    def bars(self, *rows: tuple[str, int, str]) -> AbstractContextManager[list[Advance]]:
        """Yields what does nothing."""
        return nullcontext([ignore for _ in rows])

    def training(
        self, head: str, total: int, epochs: int, done: int
    ) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def evaluating(self, head: str, total: int) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


SILENT: Report = _Silent()
"""For work that nobody watches."""
