"""What was computed before, kept by what it was computed from. No torch.

An entry is a small JSON file in the cache folder, named by a digest of all that its value depends
on, and sealed by a digest of both. It saves time and never decides anything: where it is absent,
damaged, of something else or not this user's alone, the value is computed; and where the folder
cannot be written, nothing is kept, which is no error.
"""

import json
import os
import platform
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import BenchError
from .checked import SETTLED, unsealed, write_sealed
from .digests import digest
from .files import PACKAGE, cache_root

FOLDER = "index"
MOST_BYTES, MOST_KEPT = 2**24, 2**26  # of an entry, and of all of one kind: the eldest ones go
NO_CODE = (".safetensors", ".pyc")
_STARTED = time.time() - SETTLED


class Unplain(Exception):
    """Something in a folder that is neither a plain file nor a folder, or that cannot be read."""


@dataclass(frozen=True)
class Index:
    """Values by what they depend on.

    Attributes:
        folder: where the entries lie; None keeps nothing.
    """

    folder: Path | None

    def get(self, kind: str, of: Sequence[object]) -> dict[str, Any] | None:
        """The value that was put for the same; None where there is none that can be believed.

        Args:
            kind: of value, a plain word.
            of: all that the value depends on; JSON-able.
        """
        if self.folder is None:
            return None
        try:
            return unsealed(_own_text(self._path(kind, of)), [kind, *of])
        except (OSError, ValueError, RecursionError):
            return None

    def put(self, kind: str, of: Sequence[object], value: Mapping[str, Any]) -> None:
        """Keep a value, if that is possible; see `get`. The value is JSON-able."""
        if self.folder is None:
            return
        path = self._path(kind, of)
        try:
            write_sealed(path, [kind, *of], value)
            for old in _eldest(path.parent):
                old.unlink(missing_ok=True)
        except (BenchError, OSError):  # a full disk, a home that cannot be written
            return

    def _path(self, kind: str, of: Sequence[object]) -> Path:
        assert self.folder is not None
        return self.folder / kind / f"{digest([json.dumps([kind, *of])])[:32]}.json"


NO_INDEX = Index(None)


def open_index(cache_dir: Path | None) -> Index:
    """The index in a cache folder, see `cache_root`."""
    return Index(cache_root(cache_dir) / FOLDER)


def _own_text(path: Path) -> str:
    """A file that nobody but this user can have written; raises OSError or ValueError."""
    if not hasattr(os, "getuid"):
        raise ValueError("a file of which nobody says whose it is")
    with open(path, encoding="utf-8", opener=_opened) as file:
        about = os.fstat(file.fileno())
        others = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or others:
            raise ValueError("a file that others can write")
        if about.st_size > MOST_BYTES:
            raise ValueError("more than an entry has")
        return file.read()


def _opened(path: str, flags: int) -> int:
    """Follows no link, and waits for no writer of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _eldest(folder: Path) -> list[Path]:
    """Entries beyond the most that are kept."""
    found = []
    for entry in os.scandir(folder):
        try:
            about = entry.stat()
        except FileNotFoundError:  # another process removed it
            continue
        found.append((about.st_mtime, about.st_size, folder / entry.name))
    found.sort(reverse=True)
    kept = accumulate(size for _, size, _ in found)
    return [path for (*_, path), total in zip(found, kept, strict=True) if total > MOST_KEPT]


# -- what values depend on


def folder_sha(
    folder: Path, without: tuple[str, ...] = (), apart: frozenset[str] = frozenset()
) -> str:
    """Hex sha256 of the names and the contents of all files in a folder, whatever their times.

    Args:
        folder: of plain files and folders.
        without: endings of files that do not count.
        apart: names of folders that do not count.

    Raises:
        Unplain: it has a link, a pipe or the like, or cannot be read.
    """
    try:
        return digest(_parts(folder, "", without, apart))
    except OSError as error:
        raise Unplain(str(error)) from error


def _parts(folder: Path, at: str, without: tuple[str, ...], apart: frozenset[str]) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{at}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in apart:
                yield name
                yield from _parts(folder / entry.name, name, without, apart)
        elif not entry.is_file(follow_symlinks=False):
            raise Unplain(name)
        elif not name.endswith(without):
            yield name
            yield sha256(Path(entry.path).read_bytes()).hexdigest()


@cache
def code_sha(*others: Path) -> str | None:
    """Hex sha256 of the program's files, byte by byte, and of other folders.

    Returns:
        None where one of them was written since the program started: what runs may be another.
    """
    folders = (PACKAGE, *others)
    try:
        found = digest([folder_sha(one, NO_CODE, frozenset({"__pycache__"})) for one in folders])
        times = (path.stat().st_mtime for one in folders for path in one.rglob("*.py"))
        return found if max(times, default=0.0) < _STARTED else None
    except (Unplain, OSError):
        return None


@cache
def software(*names: str) -> str:
    """Python, this machine and the installed files of some packages, as one digest."""
    parts = [sys.version, platform.machine(), platform.node()]
    for name in names:
        try:
            found = distribution(name)
            parts += [name, found.version, found.read_text("RECORD") or ""]
        except PackageNotFoundError:
            parts += [name, "absent"]
    return digest(parts)
