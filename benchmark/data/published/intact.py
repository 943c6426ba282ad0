"""Whether the bytes of a store are those that were written; nothing of it is used before.

A run reads some rows of large files, so that it compares each of these rows with its own sha256,
which stands in the row table: what is checked is what is read. `data prepare` compares whole files.
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.checked import FileState, checked_sha256, state_of
from ...common.digests import digest
from ...common.files import unreadable
from ...common.report import Advance
from ...errors import BenchError
from ..pixels import PixelRows, Pixels
from .store import FileNote, Flaw, Rows, Store, damaged

BLOCK = 2**20  # bytes that a thread reads at a time: they stay in a core's own cache
KINDS = ("u8", "parquet")

_thread = threading.local()  # a buffer for each
_right: dict[tuple[FileState, str], npt.NDArray[np.bool_]] = {}
"""Which rows of a file of pixels were found to be what a row table says."""


def checked_pixels(
    store: Store, rows: Rows, picked: npt.NDArray[np.int64], option: str = ""
) -> tuple[PixelRows, str]:
    """Some rows of a store's pixels, memory-mapped, each compared with its sha256.

    Args:
        store: the store.
        rows: its rows that have pixels.
        picked: (m,) indices in [0, len(rows)).
        option: see `damaged`.

    Returns:
        The pixels (m, S, S, 3), and the sha256 of all of them, which does not depend on how the
        source's files are cut.

    Raises:
        BenchError: a row has other bytes than when it was written.
    """
    every, shape = rows.column("pixels_sha256"), (store.side, store.side, 3)
    notes = [note for note in store.notes if note.kept]
    if sum(note.kept for note in notes) != len(rows):
        raise damaged(Flaw(store.folder / "manifest.json", "another number of rows"), option)
    blocks, start, chosen = [], 0, np.unique(picked)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for note in notes:
            stop = start + note.kept
            mine = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
            path, here = note.path(store.folder, "u8"), every[start:stop]
            file = CheckedRows(path, (note.kept, *shape), here)
            blocks.append(file.mapped(mine, note.sha256["parquet"], pool, option))
            start = stop
    sha = digest([str(len(picked)), *(every[i] for i in picked)])
    return PixelRows.of(blocks, shape).pick(picked), sha


class CheckedRows:
    """A file of pixels, and the sha256 of each of its rows."""

    def __init__(self, path: Path, shape: tuple[int, ...], sha256: list[str]) -> None:
        self._path, self._shape, self._sha256 = path, shape, sha256
        self._size = int(np.prod(shape[1:]))

    def mapped(
        self,
        mine: npt.NDArray[np.int64],
        table: str,
        pool: ThreadPoolExecutor,
        option: str,
    ) -> Pixels:
        """The file in a memory map, after the rows `mine` of it were compared.

        Args:
            mine: ascending.
            table: sha256 of the row table.
            pool: does the work.
            option: see `damaged`.

        Raises:
            BenchError: a row has other bytes than when it was written.
        """
        try:
            with self._path.open("rb") as stream:
                handle = stream.fileno()
                state = state_of(os.fstat(handle))
                right = np.zeros(self._shape[0], np.bool_)
                if state is not None:
                    right = _right.setdefault((state, table), right)
                todo = mine[~right[mine]]
                work = pool.map(lambda some: self._same(handle, some), self._pieces(todo))
                if not all(work):
                    raise damaged(Flaw(self._path, "other bytes"), option)
                if state == state_of(os.fstat(handle)):
                    right[todo] = True
                return np.memmap(stream, np.uint8, "r", shape=self._shape)
        except PermissionError as error:
            raise unreadable(self._path, error) from error
        except (OSError, ValueError) as error:  # of another size meanwhile
            raise damaged(Flaw(self._path, str(error)), option) from error

    def _pieces(self, todo: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """First row and end of pieces that lie together, of at most `BLOCK` bytes."""
        most = max(1, BLOCK // self._size)
        for run in np.split(todo, np.flatnonzero(np.diff(todo) > 1) + 1):
            for i in range(0, len(run), most):
                yield int(run[i]), int(run[min(i + most, len(run)) - 1]) + 1

    def _same(self, handle: int, piece: tuple[int, int]) -> bool:
        first, end = piece
        size = self._size
        whole = (end - first) * size
        if len(buffer := getattr(_thread, "buffer", b"")) < whole:
            buffer = _thread.buffer = bytearray(whole)
        raw = memoryview(buffer)[:whole]
        return os.preadv(handle, [raw], first * size) == whole and all(
            hashlib.sha256(raw[i * size : (i + 1) * size]).hexdigest() == self._sha256[first + i]
            for i in range(end - first)
        )


def damaged_files(
    folder: Path, notes: Iterable[FileNote], advance: Advance = lambda _: None
) -> Iterator[Path]:
    """The files of a folder that differ from their notes, every byte read, in the notes' order."""
    every = [(note, kind) for note in notes for kind in KINDS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda one: _differs(folder, *one), every)
        for (note, kind), differs in zip(every, found, strict=True):
            path = note.path(folder, kind)
            if differs:
                yield path
            advance(path.stat().st_size if path.exists() else 0)


def _differs(folder: Path, note: FileNote, kind: str) -> bool:
    try:
        return checked_sha256(note.path(folder, kind)) != note.sha256[kind]
    except BenchError:
        return True
