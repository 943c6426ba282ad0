"""Batches of several tasks in turn, each of one task alone."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.seeds import generator
from ..protocol.types import Batch, Loader


@dataclass
class TurnLoader:
    """The batches of several loaders, whole, in an order drawn anew in every epoch.

    A contrastive loss learns from the other examples of a batch: from one task they are near, and
    from all tasks mixed most can be told apart by their domain alone. Implements
    `protocol.types.Loader`.
    """

    parts: tuple[Loader, ...]
    seed: tuple[object, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """The batches of that epoch, from batch `start` on; every one of every part once."""
        sizes = torch.tensor([len(part) for part in self.parts])
        turn = torch.arange(len(self.parts)).repeat_interleave(sizes)
        turn = turn[torch.randperm(len(turn), generator=generator(*self.seed, "turns", index))]
        done = torch.bincount(turn[:start], minlength=len(self.parts)).tolist()
        with ExitStack() as stack:
            each = [part.epoch(index, n) for part, n in zip(self.parts, done, strict=True)]
            for one in each:
                stack.enter_context(closing(one))  # type: ignore[type-var]
            for number in turn[start:].tolist():
                yield next(each[number])

    def sweep(self) -> Iterator[Batch]:
        """Every image once, part by part."""
        for part in self.parts:
            yield from part.sweep()

    def keep(self, rows: Tensor) -> None:
        """Parts give up images; this follows."""
        raise AssertionError("joined loaders follow their parts")
