"""Decoded images that stay in the device's memory while a task is trained on them.

They are uint8, as on the disk: a fifth of what the normalised floats would be. Then a batch is a
gather there, and no pixel crosses over twice.
"""

from collections import OrderedDict

import torch
from torch import Tensor

from ..pixels import PixelRows
from .moved import moved

SHARE = 0.3  # of the device's free memory that images may take; a step needs the rest
PIECE = 2**26  # bytes that are copied at a time


def free_bytes(device: torch.device) -> int:
    """Memory of the device that nobody has; 0 for one that is the host itself."""
    if device.type != "cuda":
        return 0
    return int(torch.cuda.mem_get_info(device)[0])


class Resident:
    """Sets of images on the device, the latest ones, within a bound.

    Args:
        device: whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sets: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return sum(one.nbytes for one in self._sets.values())

    def take(self, pixels: PixelRows, key: str, rows: Tensor) -> Tensor:
        """The images at some rows, uint8 (B, S, S, 3), on the device.

        Args:
            pixels: the set. It is copied as a whole where it fits, beside or in place of others.
            key: sha256 of it.
            rows: int64 (B,), on the CPU.
        """
        there = self._set(pixels, key)
        if there is None:
            return moved(torch.from_numpy(pixels[rows.numpy()]), self._device)
        return there[moved(rows, self._device)]

    def _set(self, pixels: PixelRows, key: str) -> Tensor | None:
        if key in self._sets:
            self._sets.move_to_end(key)
            return self._sets[key]
        room = SHARE * (free_bytes(self._device) + self.nbytes)
        if pixels.nbytes > room:
            return None
        while self._sets and self.nbytes + pixels.nbytes > room:
            self._sets.popitem(last=False)
        self._sets[key] = self._copied(pixels)
        return self._sets[key]

    def _copied(self, pixels: PixelRows) -> Tensor:
        out = torch.empty(pixels.shape, dtype=torch.uint8, device=self._device)
        many = max(1, PIECE * len(pixels) // max(1, pixels.nbytes))
        for some in torch.arange(len(pixels)).split(many):
            piece = moved(torch.from_numpy(pixels[some.numpy()]), self._device)
            out[int(some[0]) : int(some[-1]) + 1].copy_(piece)
        return out

    def clear(self) -> None:
        """Give up all of them."""
        self._sets.clear()
