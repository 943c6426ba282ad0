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

    A set that had to make room for another does not come back: two that are read in turns would be
    copied for every batch.

    Args:
        device: whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._sets: OrderedDict[str, Tensor] = OrderedDict()
        self._gone: set[str] = set()
        self._closed = False

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
            return moved(torch.from_numpy(pixels[rows.numpy()]), self.device)
        return there[moved(rows, self.device)]

    def has(self, pixels: PixelRows, key: str) -> bool:
        """Whether a set is there, now that it is asked for."""
        return self._set(pixels, key) is not None

    def _set(self, pixels: PixelRows, key: str) -> Tensor | None:
        if key in self._sets:
            self._sets.move_to_end(key)
            return self._sets[key]
        if self._closed or key in self._gone:
            return None
        room = SHARE * (free_bytes(self.device) + self.nbytes)
        if pixels.nbytes > room:
            return None
        while self._sets and self.nbytes + pixels.nbytes > room:
            self._gone.add(self._sets.popitem(last=False)[0])
        try:
            self._sets[key] = self._copied(pixels)
        except torch.OutOfMemoryError:  # free memory in pieces too small: a step has it as before
            self._gone.add(key)
        return self._sets.get(key)

    def _copied(self, pixels: PixelRows) -> Tensor:
        out = torch.empty(pixels.shape, dtype=torch.uint8, device=self.device)
        many = max(1, PIECE * len(pixels) // max(1, pixels.nbytes))
        for some in torch.arange(len(pixels)).split(many):
            piece = moved(torch.from_numpy(pixels[some.numpy()]), self.device)
            out[int(some[0]) : int(some[-1]) + 1].copy_(piece)
        return out

    def give_up(self) -> int:
        """Give up all of them, and take none from now on; how many bytes that gives back."""
        freed, self._closed = self.nbytes, True
        self._sets.clear()
        return freed
