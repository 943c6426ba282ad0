"""Decoded images in memory maps: rows picked from one or several arrays, without copies."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
KEPT = 32 * 2**20  # bytes read before what was mapped is given back to the page cache


@dataclass
class PixelRows:
    """Images (N, S, S, 3) uint8 that lie in blocks on the disk.

    Reading maps pages into the process. They are given back from time to time, so that the
    process stays small whatever the size of the set; the system keeps them cached all the same.

    Attributes:
        blocks: memory-mapped arrays (n, S, S, 3). starts: the first row of each, and the total.
        index: which rows of the blocks these images are, in order; None for all.
    """

    blocks: tuple[Pixels, ...]
    starts: npt.NDArray[np.int64]
    shape1: tuple[int, ...]
    index: npt.NDArray[np.int64] | None = None
    _read: int = field(default=0, repr=False)

    @classmethod
    def of(cls, blocks: Sequence[Pixels], shape: tuple[int, ...]) -> "PixelRows":
        """All rows of some blocks; `shape` is (S, S, 3)."""
        starts = np.cumsum([0, *(len(block) for block in blocks)]).astype(np.int64)
        return cls(tuple(blocks), starts, shape)

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.index is None else len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)."""
        return (len(self), *self.shape1)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return len(self) * int(np.prod(self.shape1))

    def pick(self, rows: npt.ArrayLike) -> "PixelRows":
        """Some of the rows; no pixel is read."""
        chosen = self._inside(_whole(rows))
        index = chosen if self.index is None else self.index[chosen]
        return PixelRows(self.blocks, self.starts, self.shape1, index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        """All pixels in memory."""
        return self[:].astype(np.uint8 if dtype is None else dtype, copy=False)

    def __getitem__(self, rows: slice | npt.ArrayLike) -> Pixels:
        """A copy of the pixels of some rows, (n, S, S, 3); of one row, (S, S, 3)."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        chosen = _whole(rows)
        if chosen.ndim == 0:
            return cast(Pixels, self[chosen[None]][0])
        out = np.empty((len(chosen), *self.shape1), np.uint8)
        self.read(chosen, out)
        return out

    def read(self, rows: npt.ArrayLike, out: Pixels) -> None:
        """Copy the pixels of some rows into `out`, (n, S, S, 3) uint8 in one piece."""
        chosen = self._inside(_whole(rows))
        if out.shape != (len(chosen), *self.shape1) or out.dtype != np.uint8:
            raise ValueError(f"room for {len(chosen)} images, not {out.dtype} {out.shape}")
        if self.index is not None:
            chosen = self.index[chosen]
        block = np.searchsorted(self.starts, chosen, side="right") - 1
        for b in np.unique(block):
            mine = np.flatnonzero(block == b)
            local = chosen[mine] - self.starts[b]
            if len(mine) == len(chosen):
                np.take(self.blocks[b], local, axis=0, out=out, mode="clip")
            else:
                out[mine] = self.blocks[b][local]
        self._read += out.nbytes
        if self._read > KEPT:
            self._give_back()

    def _inside(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows, if all are there: what indexes an array from its end is a mistake here."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows in [0, {len(self)}), not {rows.min()} to {rows.max()}")
        return rows

    def _give_back(self) -> None:
        self._read = 0
        for block in self.blocks:
            mapped: Any = getattr(block, "_mmap", None)
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


def _whole(rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Row numbers; a mask, which would be taken for rows 0 and 1, is refused."""
    found = np.asarray(rows)
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"row numbers, not {found.dtype}")
    return found.astype(np.int64)
