"""Arrays that are kept on the disk: decoded images, tokens, features. No torch.

Each is a file NAME.npy and beside it a note NAME.json with its sha256, which is written last: an
array without its note is half written, and one that differs from it is damaged. Both are made anew.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.digests import digest
from ...common.files import atomic, file_sha256
from ...errors import BenchError

Array = npt.NDArray[Any]
ROWS = 256  # of an array in a memory map that are read at a time


@dataclass(frozen=True)
class CachedArrays:
    """The arrays of one kind, in a folder of their own.

    Attributes:
        folder: its name in the cache folder.
        sha256: (path, array) -> what the note says of the array.
        large: whether the arrays are mapped into memory. They may be larger than it, so that
            `load` takes the note's word for them; `whole` reads every byte.
    """

    folder: str
    sha256: Callable[[Path, Array], str]
    large: bool = False

    def path(self, root: Path, name: str) -> Path:
        """The file of an array in a cache folder."""
        return root / self.folder / f"{name}.npy"

    def load(self, path: Path) -> tuple[Array, str] | None:
        """The array and its sha256; None where it is not there, half written or damaged."""
        found = self._open(path)
        return found if found is not None and (self.large or self._same(path, *found)) else None

    def whole(self, path: Path) -> bool:
        """Whether every byte is as it was written."""
        found = self._open(path)
        return found is not None and self._same(path, *found)

    def paths(self, root: Path) -> Iterator[Path]:
        """Every array with its note, by name; half-written ones are left out."""
        for path in sorted((root / self.folder).glob("*.npy")):
            if not path.name.startswith(".") and path.with_suffix(".json").is_file():
                yield path

    def save(self, path: Path, array: Array) -> None:
        """Write an array and its note.

        Raises:
            BenchError: the disk is full, or the folder cannot be written.
        """
        with atomic(path) as temporary:
            np.save(temporary, array)
        self.note(path, self.sha256(path, array))

    def note(self, path: Path, sha256: str, **about: str) -> None:
        """Write the note of an array that lies at `path`; raises as `save`."""
        with atomic(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"sha256": sha256, **about}))

    def _open(self, path: Path) -> tuple[Array, str] | None:
        try:
            sha256 = str(json.loads(path.with_suffix(".json").read_text())["sha256"])
            return np.load(path, mmap_mode="r" if self.large else None), sha256
        except (OSError, ValueError, EOFError, KeyError, TypeError):
            return None

    def _same(self, path: Path, array: Array, sha256: str) -> bool:
        try:
            return self.sha256(path, array) == sha256
        except (OSError, BenchError):  # removed meanwhile
            return False


def _of_rows(path: Path, array: Array) -> str:
    h = hashlib.sha256()
    for start in range(0, len(array), ROWS):
        h.update(array[start : start + ROWS].tobytes())
    return h.hexdigest()


PIXELS = CachedArrays("pixels", _of_rows, large=True)
FEATURES = CachedArrays("features", lambda path, array: digest([array.tobytes()]))
TOKENS = CachedArrays("tokens", lambda path, array: file_sha256(path))
