"""The boxes of torchvision's RandomResizedCrop(scale=(0.9, 1)), as a function of uniform draws.

The official scripts of X-TAIL and MTIL train on it, without a flip: of the whole picture, whatever
its shape, at least nine tenths are taken and scaled to a square.
"""

from math import log, sqrt

import torch
from torch import Tensor

from .room import SCALE

RATIO = (3 / 4, 4 / 3)  # width over height
TRIES = 10
DRAWS = 2 * TRIES + 2  # uniform numbers that a box takes


def drawn_boxes(uniform_BU: Tensor, size_B2: Tensor) -> Tensor:
    """A box for each picture.

    As `torchvision.transforms.RandomResizedCrop.get_params`: of ten tries, each of an area and of
    the logarithm of a ratio, the first that fits into the picture; else the largest box in the
    middle whose ratio is allowed.

    Args:
        uniform_BU: (B, `DRAWS`) float64 in [0, 1).
        size_B2: (B, 2) int64, width and height of the pictures.

    Returns:
        (B, 4) int64: left, top, width, height in pixels of the picture.
    """
    width_B, height_B = size_B2.double().unbind(1)
    area_BT = SCALE[0] + (SCALE[1] - SCALE[0]) * uniform_BU[:, :TRIES]
    area_BT = area_BT * (width_B * height_B)[:, None]
    low, high = log(RATIO[0]), log(RATIO[1])
    ratio_BT = (low + (high - low) * uniform_BU[:, TRIES : 2 * TRIES]).exp()
    w_BT, h_BT = (area_BT * ratio_BT).sqrt().round(), (area_BT / ratio_BT).sqrt().round()
    fits_BT = (w_BT > 0) & (w_BT <= width_B[:, None]) & (h_BT > 0) & (h_BT <= height_B[:, None])
    first_B1 = fits_BT.int().argmax(dim=1, keepdim=True)
    w_B, h_B = w_BT.gather(1, first_B1)[:, 0], h_BT.gather(1, first_B1)[:, 0]
    top_B = (uniform_BU[:, -2] * (height_B - h_B + 1)).floor()
    left_B = (uniform_BU[:, -1] * (width_B - w_B + 1)).floor()
    box_B4 = torch.stack([left_B, top_B, w_B, h_B], dim=1).long()
    return torch.where(fits_BT.any(dim=1)[:, None], box_B4, _middle(size_B2))


def _middle(size_B2: Tensor) -> Tensor:
    """The largest box (B, 4) in the middle whose ratio is allowed."""
    width_B, height_B = size_B2.unbind(1)
    ratio_B = width_B.double() / height_B
    narrow_B, wide_B = ratio_B < RATIO[0], ratio_B > RATIO[1]
    w_B = torch.where(wide_B, (height_B.double() * RATIO[1]).round().long(), width_B)
    h_B = torch.where(narrow_B, (width_B.double() / RATIO[0]).round().long(), height_B)
    left_B = (width_B - w_B).div(2, rounding_mode="floor")
    top_B = (height_B - h_B).div(2, rounding_mode="floor")
    return torch.stack([left_B, top_B, w_B, h_B], dim=1)


def reach(size_B2: Tensor) -> Tensor:
    """What of each picture any box can show, as (B, 4) boxes.

    All of it, but for pictures so long that no try can fit: these have the box in the middle alone.
    So every box takes about nine tenths or more of each side of what it can show.
    """
    width_B, height_B = size_B2.double().unbind(1)
    least_B = (SCALE[0] * width_B * height_B).sqrt() / sqrt(RATIO[1])  # shortest side of a try
    never_B = least_B > torch.minimum(width_B, height_B) + 0.5
    whole_B4 = torch.cat([torch.zeros_like(size_B2), size_B2], dim=1)
    return torch.where(never_B[:, None], _middle(size_B2), whole_B4)
