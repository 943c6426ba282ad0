"""What a row of a user's own files is, and how its image is fetched again."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.files import unreadable
from ...errors import BenchError, quoted
from ..files.stream import UnreadableFile
from .files import OwnFiles

IMAGE = "image"  # the column of the images where the suite file names none


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns that are read.

    Attributes:
        image: image bytes or path.
        value: caption(s) or label.
        id: identity of the image, or None: then its path, or else its row, is its identity. Bytes
            that carry a path are of one image where both are equal, because `datasets` keeps no
            more than the file's name, and that may be the same in two folders.
        split: column of a split rule, or None.
    """

    image: str
    value: str
    id: str | None = None
    split: str | None = None

    def names(self) -> list[str]:
        """All columns but the image."""
        return [name for name in (self.value, self.id, self.split) if name is not None]


@dataclass(frozen=True)
class OwnRow:
    """One row.

    Attributes:
        where: file and row, for errors.
        cells: column -> value, of all columns but the image.
        path: of the image, or the name that its bytes go by. None for neither.
        content: hex sha256 of the image's bytes, None where the row has none.
    """

    where: str
    cells: dict[str, Any]
    path: object
    content: str | None


@dataclass(frozen=True)
class OwnRows:
    """The rows of some files.

    Attributes:
        rows: reads them, from the first.
        encoded: reads the encoded bytes of every row, None where it has none; None where the
            images are files.
        untyped: whether all values are text, as in a CSV.
        classes: names of the label's numbers, where the files have them.
    """

    rows: Callable[[], Iterator[OwnRow]]
    encoded: Callable[[], Iterator[bytes | None]] | None = None
    untyped: bool = False
    classes: tuple[str, ...] | None = None


class RowBytes:
    """The encoded bytes of rows that are mostly asked for in their order; safe with threads."""

    def __init__(self, start: Callable[[], Iterator[bytes | None]]) -> None:
        self._start, self._lock = start, threading.Lock()
        self._rows, self._next, self._last = start(), 0, b""

    def of(self, row: int) -> bytes:
        """Those of a row that has some."""
        with self._lock:
            if row < self._next - 1:
                self._rows, self._next = self._start(), 0
            while self._next <= row:
                self._last = next(self._rows) or b""
                self._next += 1
            return self._last


def digest_of(raw: bytes | None) -> str | None:
    """Hex sha256 of the encoded bytes of an image."""
    return None if raw is None else hashlib.sha256(raw).hexdigest()


def broken_on_hub(repo: str) -> str:
    """What to do about a file that is on the hub as it is in the cache, and cannot be read."""
    return f"tell the authors of {repo}, and name other files of it with `files`"


@contextmanager
def readable(files: OwnFiles, path: Path, what: str) -> Iterator[None]:
    """Turns what a reader raises about one of a table's files into a sentence."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise unreadable(path, error) from error
    except UnreadableFile as error:
        said = quoted(str(error), 200)
        fix = "write the file again" if files.repo is None else broken_on_hub(files.repo)
        raise BenchError(f"a readable {what} {files.called(path)}", said, fix) from error
