"""Training batches: loaders of pairs and of labelled images, and what else reads a task's data.

`sampler` draws which examples a batch has; `lease` says whether they may still be read.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..common.report import Say
from ..errors import BenchError
from ..protocol.items import Images, Texts, together
from ..protocol.types import Batch, Loader
from .crops.cropped import cropped_images
from .device.ahead import Reading, SetRows
from .device.moved import moved
from .items import Items
from .lease import Lease
from .sampler import Examples, Place, SetPart, captions_of, places
from .tensors import LabelTensors, PairTensors, Tensors
from .turns import TurnLoader


def _check_open(leases: tuple[Lease, ...]) -> None:
    if any(lease.closed for lease in leases):
        raise BenchError(
            "a method to read a task's data during that task only",
            "a read after it had ended",
            "declare 'samples' in `uses` if the method keeps data, so that it is shown",
        )


@dataclass
class PairLoader:
    """Training batches over one or several sets of pairs. Implements `protocol.types.Loader`.

    Every image once per epoch, with one of its captions drawn anew in every epoch; or, with
    `every_caption`, every caption once per epoch, with its image.
    """

    feed: Items
    sets: tuple[PairTensors, ...]
    seed: tuple[object, ...]
    batch_size: int
    leases: tuple[Lease, ...]
    every_caption: bool = False

    def __len__(self) -> int:
        return _batches(self)

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """The batches of that epoch, from batch `start` on."""
        for place, reading in _places(self, index, start):
            yield self._batch(place, reading)

    def _batch(self, place: Place, reading: Reading | None) -> Batch:
        texts = [
            self.feed.texts(data.tokens_ML, data.text_key, part.captions)
            for data, part in zip(self.sets, place, strict=True)
            if part.captions is not None and len(part.captions)
        ]
        images = _images(self, place, reading)
        target = torch.arange(sum(map(len, images)), device=self.feed.device)
        return Batch(_cat_images(images), _cat_texts(texts), target, paired=True)

    def sweep(self) -> Iterator[Batch]:
        """Every image once in order, with all of its captions."""
        for data, lease in zip(self.sets, self.leases, strict=True):
            for rows in lease.places(data).split(self.batch_size):
                _check_open(self.leases)
                captions, counts = captions_of(data, rows)
                target = moved(counts.cumsum(0) - counts, self.feed.device)
                texts = self.feed.texts(data.tokens_ML, data.text_key, captions)
                single = len(captions) == len(rows)
                images = self.feed.images(data, rows, check=partial(_check_open, self.leases))
                yield Batch(images, texts, target, paired=single)

    def keep(self, rows: Tensor) -> None:
        """Give up all images but these."""
        _keep(self, rows)


@dataclass
class LabelLoader:
    """Training batches over labelled sets; the texts are all classes' first prompts.

    Implements `protocol.types.Loader`. Joined sets share one list of classes.
    """

    feed: Items
    sets: tuple[LabelTensors, ...]
    seed: tuple[object, ...]
    batch_size: int
    leases: tuple[Lease, ...]

    def __len__(self) -> int:
        return _batches(self)

    def keep(self, rows: Tensor) -> None:
        """Give up all images but these."""
        _keep(self, rows)

    def _offsets(self) -> list[int]:
        sizes = [len(s.names) for s in self.sets]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """The batches of that epoch, from batch `start` on."""
        classes = self.feed.classes(self.sets, first_prompt_only=True)
        for place, reading in _places(self, index, start):
            each = zip(self.sets, self._offsets(), place, strict=True)
            target = torch.cat([data.label_N[part.rows] + start for data, start, part in each])
            images = _cat_images(_images(self, place, reading))
            yield Batch(images, classes.prompts, moved(target, self.feed.device), paired=False)

    def sweep(self) -> Iterator[Batch]:
        """Every image once in order, with the prompts of all classes."""
        prompts = self.feed.classes(self.sets, first_prompt_only=True).prompts
        for data, lease, offset in zip(self.sets, self.leases, self._offsets(), strict=True):
            for rows in lease.places(data).split(self.batch_size):
                _check_open(self.leases)
                target = moved(data.label_N[rows] + offset, self.feed.device)
                images = self.feed.images(data, rows, check=partial(_check_open, self.leases))
                yield Batch(images, prompts, target, paired=False)


Loaders = PairLoader | LabelLoader


def _parts(loader: Loaders) -> list[tuple[Tensors, Lease]]:
    sets: tuple[Tensors, ...] = loader.sets
    return list(zip(sets, loader.leases, strict=True))


def _examples(loader: Loaders) -> list[Examples]:
    every = isinstance(loader, PairLoader) and loader.every_caption
    return [Examples.of(data, lease.rows, every) for data, lease in _parts(loader)]


def _batches(loader: Loaders) -> int:
    return -(-sum(map(len, _examples(loader))) // loader.batch_size)


def _places(
    loader: Loaders, epoch: int, start: int
) -> Generator[tuple[Place, Reading | None], None, None]:
    """As `sample_epoch`, over the images that are left, with what reads their pixels."""
    left, sets = [lease.rows for lease in loader.leases], _examples(loader)

    def drawn() -> Iterator[tuple[Place, list[SetRows]]]:
        for place in places(sets, loader.batch_size, loader.seed, epoch, start):
            yield place, [_read(one.data, part) for one, part in zip(sets, place, strict=True)]

    with closing(loader.feed.ahead.each(drawn())) as batches:
        for one in batches:
            _check_open(loader.leases)
            if any(lease.rows is not rows for lease, rows in zip(loader.leases, left, strict=True)):
                raise BenchError(
                    "a method that gives up images between epochs",
                    "one that does it inside one",
                    "begin another epoch after `keep`",
                )
            yield one


def _read(data: Tensors, part: SetPart) -> SetRows:
    """Where the pixels of a part come from."""
    if part.box_B4 is None or data.wide is None:
        return SetRows(data.pixels, data.pixel_key, part.rows)
    return SetRows(data.wide.pixels, data.wide.digest, part.rows)


def _images(loader: Loaders, place: Place, reading: Reading | None) -> list[Images]:
    """Those of each set that has some in a batch."""
    check, images, feed = partial(_check_open, loader.leases), [], loader.feed
    for s, ((data, _), part) in enumerate(zip(_parts(loader), place, strict=True)):
        if not len(part.rows):
            continue
        early = None if reading is None else partial(reading.take, s)
        if part.box_B4 is None or data.wide is None:
            images.append(feed.images(data, part.rows, check=check, early=early))
        else:
            images.append(cropped_images(feed, data.wide, part.rows, part.box_B4, check, early))
    return images


def make_room(loader: Loader, say: Say) -> bool:
    """See `Items.make_room`, which what a task's loader reads is given by."""
    return isinstance(loader, Loaders) and loader.feed.make_room(say)


def _keep(loader: Loaders, rows: Tensor) -> None:
    assert len(loader.sets) == 1, "joined loaders follow their parts"
    _check_open(loader.leases)
    loader.leases[0].keep(loader.sets[0], rows)


def make_loader(
    feed: Items,
    data: Tensors,
    seed: tuple[object, ...],
    batch_size: int,
    every_caption: bool = False,
) -> Loaders:
    """The training loader of a loaded split.

    Args:
        feed: makes its items.
        data: the split; of images that it has to be cropped, every batch has new crops.
        seed: of the draws.
        batch_size: most examples of a batch.
        every_caption: whether an epoch has every caption of an image, and not one of them.
    """
    if isinstance(data, PairTensors):
        return PairLoader(feed, (data,), seed, batch_size, (Lease(),), every_caption)
    return LabelLoader(feed, (data,), seed, batch_size, (Lease(),))


def join(loaders: Iterable[Loader], mixed: bool = True) -> Loader:
    """One loader of the examples of several; a pure function of the set, not the order.

    It can be read as long as every part can, and has what every part has left. Batches mix the
    examples of all, or else each has those of one part alone.

    Raises:
        BenchError: pairs and labelled sets together, which have no common batch.
    """
    parts = sorted(loaders, key=lambda p: repr(getattr(p, "seed", "")))
    pairs = [p for p in parts if isinstance(p, PairLoader)]
    labelled = [p for p in parts if isinstance(p, LabelLoader)]
    same = pairs or labelled
    if len(same) < len(parts):
        raise BenchError(
            "tasks of one kind to be trained jointly",
            "image-caption and labelled tasks in one suite",
            "choose another method or split the suite",
        )
    feed, size = same[0].feed, same[0].batch_size
    seed = ("joined", *(p.seed for p in same))
    if not mixed:
        return TurnLoader(tuple(same), seed)
    leases = tuple(lease for p in same for lease in p.leases)
    if pairs:
        every = pairs[0].every_caption
        return PairLoader(feed, tuple(s for p in pairs for s in p.sets), seed, size, leases, every)
    return LabelLoader(feed, tuple(s for p in labelled for s in p.sets), seed, size, leases)


def draw_pairs(feed: Items, data: PairTensors, batch_size: int) -> Batch:
    """A random batch of pairs, drawn with torch's global generator."""
    rows = torch.randint(len(data), (batch_size,))
    first, count = data.first_N[rows], data.first_N[rows + 1] - data.first_N[rows]
    captions = first + (torch.rand(batch_size) * count).long()
    texts = feed.texts(data.tokens_ML, data.text_key, captions)
    target = torch.arange(batch_size, device=feed.device)
    return Batch(feed.images(data, rows), texts, target, paired=True)


def kept_bytes(loader: Loader) -> int:
    """Bytes of a task's pixels, tokens and labels that may still be read."""
    total = 0
    if isinstance(loader, Loaders):
        for data, lease in _parts(loader):
            if not lease.closed:
                seen = (data.pixels, *(() if data.wide is None else (data.wide.pixels,)))
                total += sum(p.nbytes for p in seen) // len(data) * lease.count(data)
                if isinstance(data, PairTensors):
                    captions, _ = captions_of(data, lease.places(data))
                    total += data.tokens_ML[captions].nbytes
                else:
                    total += data.label_N[lease.places(data)].nbytes
    return total


def spread_texts(feed: Items, data: PairTensors, count: int) -> Texts:
    """At most `count` of the captions, evenly spaced; the frozen rows are of these alone."""
    total = len(data.tokens_ML)
    if count >= total:
        return feed.texts(data.tokens_ML, data.text_key, torch.arange(total))
    return feed.texts(data.tokens_ML, data.text_key, torch.arange(count) * total // count)


def close(loader: Loader) -> None:
    """End a lease: the loader gives no batch any more."""
    if isinstance(loader, Loaders):
        for lease in loader.leases:
            lease.closed = True


def _cat_images(parts: list[Images]) -> Images:
    return parts[0] if len(parts) == 1 else together(parts)


def _cat_texts(parts: list[Texts]) -> Texts:
    return parts[0] if len(parts) == 1 else together(parts)
