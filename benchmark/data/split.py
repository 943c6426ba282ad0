"""What one split of one dataset is, before any transform. No torch here.

Two closed kinds: `Pairs` (images with captions) and `Labelled` (images with class labels). The
evaluator knows which inference hook each of them calls; nothing else in the harness asks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from .pixels import PixelRows


@dataclass(frozen=True)
class ImageSource:
    """Images that are decoded on demand.

    Attributes:
        size: number of images.
        open: index in [0, size) -> decoded RGB image of any size. Raises BenchError with the
            row's name when the image cannot be decoded.
        content: hex digest of everything that the pixels derive from (file bytes, or the
            renderer's source and seed). Two sources with equal content decode equally.
        in_order: every index once, with what decodes its image in any thread, in the order that
            is cheapest to read; None where that is no other than from the first to the last.
        encoded: the sha256 of each image's encoded bytes; None where there are none.
    """

    size: int
    open: Callable[[int], Image.Image]
    content: str
    in_order: Callable[[], Iterator[tuple[int, Callable[[], Image.Image]]]] | None = None
    encoded: Callable[[], Sequence[str]] | None = None

    def each(self) -> Iterator[tuple[int, Callable[[], Image.Image]]]:
        """Every index, with what decodes its image, in the order of `in_order`."""
        if self.in_order is None:
            return ((i, partial(self.open, i)) for i in range(self.size))
        return self.in_order()


@dataclass(frozen=True)
class StoredImages:
    """Images that were decoded before, see `benchmark.data.published`.

    Attributes:
        size: number of images.
        pixels: image side -> pixels (size, S, S, 3) after the eval transform, and hex sha256 that
            depends on them alone. Raises BenchError where that side was not prepared.
        about: source and revision.
        encoded: the sha256 of each image's encoded bytes; None where they are not known.
        wide: image side -> what crops of that side are taken from, see `WideImages`: pixels
            (size, T, T, 3), hex sha256 that depends on them alone, and int64 (size, 2), width and
            height of each image before; None where nothing of the kind is kept. Raises BenchError
            where it was not prepared.
    """

    size: int
    pixels: Callable[[int], tuple[PixelRows, str]]
    about: str
    encoded: Callable[[], Sequence[str]] | None = None
    wide: Callable[[int], tuple[PixelRows, str, npt.NDArray[np.int64]]] | None = None


@dataclass(frozen=True)
class Pairs:
    """Images with captions; `captions[i]` belongs to image i and has one or several."""

    name: str
    images: ImageSource | StoredImages
    captions: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Labelled:
    """Images with class labels.

    Attributes:
        labels: (size,) int64 in [0, len(classnames)).
        classnames: class names in label order.
        templates: prompts with one `{}` each; the first is used in training, all at test time.
    """

    name: str
    images: ImageSource | StoredImages
    labels: npt.NDArray[np.int64]
    classnames: tuple[str, ...]
    templates: tuple[str, ...]


Split = Pairs | Labelled
