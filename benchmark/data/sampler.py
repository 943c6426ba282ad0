"""Which examples each training batch has: a pure function of seed, epoch and sizes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..common.seeds import generator


def cut(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into the fewest batches of at most batch_size, as equal as can be.

    No example is dropped, and no small last batch trains with few negatives.
    """
    count = -(-len(order) // batch_size)
    return [torch.from_numpy(part) for part in np.array_split(order.numpy(), count)]


Drawn = tuple[Tensor, Tensor, Tensor]


def sample_epoch(
    sizes: list[int], batch_size: int, seed: tuple[object, ...], epoch: int, start: int
) -> Iterator[Drawn]:
    """Draws the batches of one epoch over several sets, shuffled together.

    Yields:
        For each batch from `start` on: the set of each example, its row there, and a draw in
        [0, 1) that picks one of several captions.
    """
    of_set = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    row = torch.cat([torch.arange(n) for n in sizes])
    order = torch.randperm(len(row), generator=generator(*seed, "order", epoch))
    draw = torch.rand(len(row), generator=generator(*seed, "caption", epoch))
    for part in cut(order, batch_size)[start:]:
        yield of_set[part], row[part], draw[part]
