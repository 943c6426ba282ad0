"""A training batch's crops, as a method sees them."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...protocol.items import Images
from ...protocol.lookup import Lookup
from ..cache.frozen import standardised
from ..device.moved import moved
from ..items import Items
from .resample import resampled
from .wide import WideImages


def cropped_images(
    feed: Items,
    wide: WideImages,
    rows: Tensor,
    box_B4: Tensor,
    check: Callable[[], None],
    early: Callable[[], Tensor] | None = None,
) -> Images:
    """Crops of the images at `rows`, of which nothing is kept: no two draws are the same.

    All that is asked of such an image is of its crop, as in the official scripts, where a teacher
    and a query see the augmented image too: rows of the untouched backbone and of every other
    encoder are computed from the pixels that the method trains on. The store has no number for
    them, so that none can be taken for the row of the image as it is.

    Args:
        feed: whose backbone they are for.
        wide: the set.
        rows: int64 (B,), on the CPU.
        box_B4: a box for each, see `WideImages.boxes`.
        check: is called before pixels are read.
        early: gives what `wide` has at `rows`, on the device, where it may have been read before.
    """
    whole = torch.arange(len(rows))

    def pixels(places: Tensor) -> Tensor:
        check()
        if early is not None and places is whole:
            pixels_BTT3 = early()
        else:
            resident = feed.ahead.resident
            pixels_BTT3 = resident.take(wide.pixels, wide.digest, rows[places])
        return standardised(resampled(pixels_BTT3, box_B4[places], feed.clip.size), feed.clip)

    def frozen(places: Tensor) -> Tensor:
        return moved(feed.frozen.of_pixels(places, pixels), feed.device)

    return Images(Lookup(pixels, whole), Lookup(frozen, whole))
