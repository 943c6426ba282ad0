"""Decoded images that crops are taken from: all that a crop can show, a little larger than it.

They lie beside those of the eval transform, as an array and a transform of their own, and only
training reads them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ...common.digests import digest
from ...common.report import Advance, Say, ignore, silent
from ...errors import BenchError
from ..cache.arrays import SIZES
from ..cache.decoded import PIXELS, build, mapped, unread
from ..pixels import PixelRows, Pixels
from ..split import ImageSource, StoredImages
from .boxes import drawn_boxes, reach
from .room import room, wide_id


@dataclass(frozen=True)
class WideImages:
    """Images to be cropped.

    What `reach` has of an image lies in the first rows and columns: as it is in a direction where
    it has no more pixels than there is room for, else scaled to fill the room.

    Attributes:
        pixels: (N, T, T, 3) uint8. digest: their sha256.
        size_N2: int64, width and height of each image before.
    """

    pixels: PixelRows
    digest: str
    size_N2: Tensor

    def pick(self, rows: list[int], digest: str) -> "WideImages":
        """Some of the images, of another sha256."""
        return WideImages(self.pixels.pick(rows), digest, self.size_N2[rows])

    def boxes(self, rows: Tensor, uniform_BU: Tensor) -> Tensor:
        """A random box (B, 4) for each of some images, in pixels of `pixels`, float64.

        Args:
            rows: int64 (B,).
            uniform_BU: see `drawn_boxes`.
        """
        size_B2 = self.size_N2[rows]
        box_B4, reach_B4 = drawn_boxes(uniform_BU, size_B2).double(), reach(size_B2).double()
        kept_B2 = reach_B4[:, 2:].clamp(max=self.pixels.shape[1])
        scale_B2 = kept_B2 / reach_B4[:, 2:]
        first_B2 = (box_B4[:, :2] - reach_B4[:, :2]) * scale_B2
        return torch.cat([first_B2, box_B4[:, 2:] * scale_B2], dim=1)


def fit_wide(image: Image.Image, side: int) -> Pixels:
    """What is kept of an RGB image of any size, (T, T, 3) uint8; see `WideImages`."""
    most = room(side)
    left, top, w, h = (int(v) for v in reach(torch.tensor([image.size]))[0])
    image = image.crop((left, top, left + w, top + h))
    if w > most or h > most:
        image = image.resize((min(w, most), min(h, most)), Image.Resampling.BICUBIC)
    out = np.zeros((most, most, 3), np.uint8)
    out[: image.height, : image.width] = np.asarray(image)
    return out


def wide_images(
    source: ImageSource | StoredImages,
    side: int,
    root: Path,
    advance: Advance = ignore,
    say: Say = silent,
) -> WideImages:
    """The source's images to be cropped to `side`, from the cache or decoded now.

    Args:
        source: images to decode.
        side: of the crops, in pixels.
        root: cache folder.
        advance: is called with the number of images that were decoded.
        say: is told of a damaged file that is made again.

    Raises:
        BenchError: an image cannot be decoded, the cache cannot be written, or the source has been
            decoded before and is there in the view alone that is tested, or is damaged.
    """
    if isinstance(source, StoredImages):
        if source.wide is None:
            raise BenchError(
                "whole images to be cropped",
                f"those of {source.about}, which are prepared in the view alone that is tested",
                "leave --crops at none",
            )
        rows, sha256, stored_N2 = source.wide(side)
        return WideImages(rows, sha256, torch.from_numpy(stored_N2))
    path = PIXELS.path(root, digest([source.content, wide_id(side)]))
    key = digest([source.content, "width and height"])
    sizes = SIZES.path(root, key)

    def read(say: Say) -> WideImages | None:
        found = SIZES.load(sizes, (source.size, 2), np.int64, say)
        pixels = mapped(path, source.size, room(side), say)
        if found is None or pixels is None:
            return None
        return WideImages(pixels.pixels, pixels.digest, torch.from_numpy(found[0]))

    if (there := read(say)) is not None:
        return there
    size_N2: npt.NDArray[np.int64] = np.zeros((source.size, 2), np.int64)

    def fit(i: int, image: Image.Image) -> Pixels:
        size_N2[i] = image.size
        return fit_wide(image, side)

    build(source, room(side), path, fit, advance, transform=wide_id(side))
    SIZES.save(sizes, size_N2, key=key)
    return read(silent) or unread(path)
