"""What long work tells of itself while it runs; what shows it is none of its concern."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Told of so many more bytes or items; negative where some were in vain."""


class Report(Protocol):
    """What a run and a preparation tell; the command line's display is one that shows it."""

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
