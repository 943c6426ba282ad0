"""Which examples each training batch has: a pure function of seed, epoch and what is left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..common.seeds import generator
from .crops.boxes import DRAWS
from .tensors import PairTensors, Tensors


@dataclass(frozen=True)
class SetPart:
    """What a batch has of one set.

    Attributes:
        rows: its images. captions: one of each, where they have some. box_B4: what is taken of
            each, where they are cropped, see `WideImages.boxes`.
    """

    rows: Tensor
    captions: Tensor | None
    box_B4: Tensor | None


Place = list[SetPart]
"""A batch, set by set."""


@dataclass(frozen=True)
class Examples:
    """What an epoch has of one set: every image once, or every caption once.

    Attributes:
        data: the set.
        left: the images that were not given up; None for all.
        captions: those of these images, where every caption is an example; else None.
    """

    data: Tensors
    left: Tensor | None
    captions: Tensor | None

    @classmethod
    def of(cls, data: Tensors, left: Tensor | None, every_caption: bool) -> "Examples":
        """The examples of a set of which some images are left."""
        if not (every_caption and isinstance(data, PairTensors)):
            return cls(data, left, None)
        rows = torch.arange(len(data)) if left is None else left
        return cls(data, left, captions_of(data, rows)[0])

    def __len__(self) -> int:
        if self.captions is not None:
            return len(self.captions)
        return len(self.data) if self.left is None else len(self.left)

    def part(self, example: Tensor, draw: Tensor, uniform_BU: Tensor | None) -> SetPart:
        """Some of the examples.

        Args:
            example: (B,) in [0, len(self)).
            draw: (B,) in [0, 1), which picks one of several captions.
            uniform_BU: picks their crops; None where there are none.
        """
        data, captions = self.data, None
        if self.captions is not None:
            assert isinstance(data, PairTensors)
            captions = self.captions[example]
            rows = data.owner_M[captions]
        else:
            rows = example if self.left is None else self.left[example]
            if isinstance(data, PairTensors):
                first, count = data.first_N[rows], data.first_N[rows + 1] - data.first_N[rows]
                captions = first + (draw * count).long()
        if data.wide is None or uniform_BU is None:
            return SetPart(rows, captions, None)
        return SetPart(rows, captions, data.wide.boxes(rows, uniform_BU))


def captions_of(data: PairTensors, rows: Tensor) -> tuple[Tensor, Tensor]:
    """All captions of the images at `rows`, image by image, and how many each has."""
    first, counts = data.first_N[rows], data.first_N[rows + 1] - data.first_N[rows]
    starts = counts.cumsum(0) - counts
    shift = (first - starts).repeat_interleave(counts)
    return torch.arange(len(shift)) + shift, counts


def cut(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into the fewest batches of at most batch_size, as equal as can be.

    No example is dropped, and no small last batch trains with few negatives.
    """
    count = -(-len(order) // batch_size)
    return [torch.from_numpy(part) for part in np.array_split(order.numpy(), count)]


Drawn = tuple[Tensor, Tensor, Tensor]


def sample_epoch(
    sizes: list[int],
    batch_size: int,
    seed: tuple[object, ...],
    epoch: int,
    start: int,
    owner_N: Tensor | None = None,
) -> Iterator[Drawn]:
    """Draws the batches of one epoch over several sets, shuffled together.

    Args:
        sizes: examples of each set.
        batch_size: most examples of a batch.
        seed: of the loader.
        epoch: its number.
        start: the first batch.
        owner_N: what two examples of one batch should not share, see `apart`; None for nothing.

    Yields:
        For each batch from `start` on: the set of each example, its row there, and a draw in
        [0, 1) that picks one of several captions.
    """
    of_set = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    row = torch.cat([torch.arange(n) for n in sizes])
    order = torch.randperm(len(row), generator=generator(*seed, "order", epoch))
    if owner_N is not None:
        order = apart(order, owner_N, batch_size)
    draw = torch.rand(len(row), generator=generator(*seed, "caption", epoch))
    for part in cut(order, batch_size)[start:]:
        yield of_set[part], row[part], draw[part]


def places(
    sets: Sequence[Examples], batch_size: int, seed: tuple[object, ...], epoch: int, start: int
) -> Iterator[Place]:
    """The batches of `sample_epoch`, set by set, with captions and crops."""
    owner_N = _owners(sets)
    drawn = sample_epoch([len(one) for one in sets], batch_size, seed, epoch, start, owner_N)
    for number, (of_set, example, draw) in enumerate(drawn, start):
        uniform_BU = None
        if any(one.data.wide is not None for one in sets):
            source = generator(*seed, "crop", epoch, number)
            uniform_BU = torch.rand(len(example), DRAWS, dtype=torch.float64, generator=source)
        place = []
        for s, one in enumerate(sets):
            mine = of_set == s
            its = None if uniform_BU is None else uniform_BU[mine]
            place.append(one.part(example[mine], draw[mine], its))
        yield place


def _owners(sets: Sequence[Examples]) -> Tensor | None:
    """The image of each example, where one image has several; numbered over all sets."""
    if all(one.captions is None for one in sets):
        return None
    owners, first = list[Tensor](), 0
    for one in sets:
        data, of = one.data, torch.arange(len(one))
        if one.captions is not None and isinstance(data, PairTensors):
            of = data.owner_M[one.captions]
        owners.append(of + first)
        first += len(data)
    return torch.cat(owners)


def apart(order: Tensor, owner_N: Tensor, batch_size: int) -> Tensor:
    """An order whose batches have no two examples of one owner, as far as that can be had.

    Two captions of one image in a batch would each be a wrong answer for the other. So the second
    one changes places with the next example of another batch that shares its owner with none there.
    Where there is none, as for an image with more captions than there are batches, it stays.

    Args:
        order: a permutation (N,) of the examples.
        owner_N: the owner of each example.
        batch_size: as in `cut`.
    """
    out, owners = order.numpy().copy(), owner_N.numpy()[order.numpy()]
    parts = cut(order, batch_size)
    ends = np.cumsum([len(part) for part in parts])
    batch_N = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    pairs = batch_N * (int(owners.max()) + 1) + owners
    by_pair = np.argsort(pairs, kind="stable")
    again = by_pair[1:][pairs[by_pair[1:]] == pairs[by_pair[:-1]]]
    for place in np.sort(again).tolist():
        mine = batch_N[place]
        here = slice(ends[mine] - len(parts[mine]), ends[mine])
        if (owners[here] == owners[place]).sum() < 2:
            continue  # the other one has left
        taken = np.isin(batch_N, batch_N[owners == owners[place]]) | np.isin(owners, owners[here])
        free = np.flatnonzero(~taken)
        if len(free):
            other = free[np.searchsorted(free, place) % len(free)]
            for x in (out, owners):
                x[[place, other]] = x[[other, place]]
    return torch.from_numpy(out)
