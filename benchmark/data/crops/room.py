"""How large the images are that crops are taken from, and what they are called. No torch here."""

from math import ceil

SCALE = (0.9, 1.0)  # share of the picture's area that a crop has
VERSION = "1"  # of what is kept of an image


def room(side: int) -> int:
    """Side of the array in which images lie that are cropped to `side`.

    A box has nine tenths of a side at least, so that no crop has fewer pixels than the model's.
    """
    return ceil(side / SCALE[0])


def wide_id(side: int) -> str:
    """Name of the transform of images that are cropped to `side`."""
    return f"crop-0.9-1-bicubic-{side}-of-{room(side)}-uint8-v{VERSION}"
