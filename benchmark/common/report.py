"""What a run, or a preparation of data, reports while it works; not how it is shown."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Is called with the number of bytes or items that were done since the last call; a negative
number takes back what has to be done again."""

Say = Callable[[str], None]
"""Is given a sentence that stays, as `Report.line` is."""


def silent(text: str) -> None:
    """A `Say` for whoever has nobody to tell."""


class Report(Protocol):
    """Receives the reports; the command line's `Display` implements it, and a tracker could."""

    def line(self, text: str) -> None:
        """A sentence that stays."""

    def bars(self, *rows: tuple[str, int, str]) -> AbstractContextManager[list[Advance]]:
        """A bar for each (head, total, unit); gives the functions that advance them."""

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
