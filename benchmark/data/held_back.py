"""The validation part of a training split: what settings may be chosen on.

The division is a property of the dataset. It depends on its name, on the places of its rows and on
which of them show one picture, and on nothing else: no seed of a run, no order of tasks, no
generator of a library. So it is the same on every machine, for every method and every trial.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..common.digests import digest
from ..errors import BenchError
from .pixels import PixelRows
from .split import ImageSource, Labelled, Pairs, Split, StoredImages

VERSION = "1"  # of the rule; a change makes every choice of settings stale
Indices = npt.NDArray[np.int64]


def validation_rows(
    name: str,
    pictures: Sequence[Hashable],
    share: float,
    labels: Sequence[int] | None = None,
) -> Indices:
    """The rows of a training split that are its validation part.

    Rows of one picture stay together. The pictures are ranked by the sha256 of the rule's version,
    the dataset's name and the place of the picture's first row, and the first round(share x all)
    of them are taken, at least one and not all. Of a labelled split this is done class by class. A
    class with one picture stays in training, and so does a picture that is in two classes.

    Args:
        name: of the dataset.
        pictures: what rows of one picture, and no others, have in common; in the split's order.
        share: of the pictures, in (0, 1).
        labels: class of every row; None for images with captions.

    Returns:
        (m,) int64 ascending indices in [0, len(pictures)).

    Raises:
        BenchError: nothing could be held back without leaving nothing to train on.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows.setdefault(picture, []).append(row)
    classes: dict[int, list[list[int]]] = {}
    for together in rows.values():
        found = {0 if labels is None else int(labels[row]) for row in together}
        if len(found) == 1:
            classes.setdefault(found.pop(), []).append(together)
    held: list[int] = []
    for every in classes.values():
        count = min(max(1, int(share * len(every) + 0.5)), len(every) - 1)
        ranked = sorted(every, key=lambda together: _rank(name, together[0]))
        held += [row for together in ranked[:count] for row in together]
    if not held:
        what = "two different images" if labels is None else "two different images in a class"
        raise BenchError(
            f"{what} in the training data of '{name}', of which one can be held back",
            f"{len(rows)} image(s)" + ("" if labels is None else ", one in each class"),
            "leave that task out with --order, or choose settings on another suite",
        )
    return np.asarray(sorted(held), dtype=np.int64)


def _rank(name: str, place: int) -> bytes:
    return hashlib.sha256(repr(("validation", VERSION, name, place)).encode()).digest()


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

        return replace(images, size=len(rows), pixels=pixels, encoded=encoded)
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


def _some(every: Callable[[], Sequence[str]], rows: Indices) -> list[str]:
    found = every()
    return [found[i] for i in rows]
