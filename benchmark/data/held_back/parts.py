"""A training split in its two parts, of which no picture is decoded here."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from ...common.digests import digest
from ..pixels import PixelRows
from ..split import ImageSource, Labelled, Pairs, Split, StoredImages
from .rule import Indices, validation_rows

Wide = Callable[[int], tuple[PixelRows, str, Indices]]


def divide(split: Split, share: float) -> tuple[Split, Split]:
    """The training and the validation part of a training split, each in the split's order.

    Args:
        split: a training split.
        share: see `validation_rows`.

    Raises:
        BenchError: as `validation_rows`.
    """
    size = split.images.size
    # What is not known by its bytes is rendered, one scene a row.
    encoded = split.images.encoded
    pictures: Sequence[Hashable] = range(size) if encoded is None else encoded()
    labels = split.labels.tolist() if isinstance(split, Labelled) else None
    held = validation_rows(split.name, pictures, share, labels)
    return _rows(split, np.setdiff1d(np.arange(size), held)), _rows(split, held)


def _rows(split: Split, rows: Indices) -> Split:
    images = _picked(split.images, rows)
    if isinstance(split, Pairs):
        return replace(split, images=images, captions=tuple(split.captions[i] for i in rows))
    return replace(split, images=images, labels=split.labels[rows])


def _picked(images: ImageSource | StoredImages, rows: Indices) -> ImageSource | StoredImages:
    """Some of the images, ascending; none is decoded."""
    key = rows.astype("<i8").tobytes()
    encoded = None if images.encoded is None else partial(_some, images.encoded, rows)
    if isinstance(images, StoredImages):
        every = images.pixels

        def pixels(side: int) -> tuple[PixelRows, str]:
            found, sha = every(side)
            return found.pick(rows), digest([sha, key])

        return replace(
            images,
            size=len(rows),
            pixels=pixels,
            encoded=encoded,
            wide=None if images.wide is None else partial(_some_wide, images.wide, rows),
        )
    whole, place = images, {int(row): i for i, row in enumerate(rows)}

    def in_order() -> Iterator[tuple[int, Callable[[], Image.Image]]]:
        return ((place[row], opened) for row, opened in whole.each() if row in place)

    return ImageSource(
        size=len(rows),
        open=lambda i: whole.open(int(rows[i])),
        content=digest([images.content, key]),
        in_order=in_order,
        encoded=encoded,
    )


def _some_wide(every: Wide, rows: Indices, side: int) -> tuple[PixelRows, str, Indices]:
    found, sha, size_N2 = every(side)
    return found.pick(rows), digest([sha, rows.astype("<i8").tobytes()]), size_N2[rows]


def _some(every: Callable[[], Sequence[str]], rows: Indices) -> list[str]:
    found = every()
    return [found[i] for i in rows]
