"""Digests of kept files: each is read once, as long as it stays as it is. No torch.

A number may only come from bytes that were compared with their digest. That a file is still the one
that was read is told by its device, inode, size and the times of its last changes, so that one that
is replaced or written to is read again when it is next opened.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from .digests import digest
from .files import atomic, unreadable

FileState = tuple[int, ...]
SEAL = "sha256"
SETTLED = 2.0  # seconds: no file system counts the times of changes more coarsely

_digests: dict[tuple[FileState, int], str] = {}


def state_of(status: os.stat_result) -> FileState | None:
    """What changes when a file does; None for one so young that the next change may not show."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - changed <= SETTLED * 1e9:
        return None
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    )  # fmt: skip


def stream_sha256(stream: BufferedReader) -> str:
    """Hex sha256 of a file from where its stream stands to its end.

    Raises:
        OSError: it cannot be read.
    """
    state, start = state_of(os.fstat(stream.fileno())), stream.tell()
    if state is not None and (state, start) in _digests:
        return _digests[state, start]
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    if state is not None and state_of(os.fstat(stream.fileno())) == state:
        _digests[state, start] = found
    return found


def checked_sha256(path: Path) -> str:
    """Hex sha256 of a file, read once; BenchError where it is missing or not readable."""
    try:
        with path.open("rb") as stream:
            return stream_sha256(stream)
    except OSError as error:
        raise unreadable(path, error) from error


def write_sealed(path: Path, of: Sequence[object], value: Mapping[str, Any]) -> None:
    """Write a dictionary as JSON, with a digest of it and of what it is of.

    Args:
        path: the target, replaced at once or not at all.
        of: names the value; JSON-able.
        value: JSON-able, without a key "sha256".

    Raises:
        BenchError: the folder cannot be written or the disk is full.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({**value, SEAL: _seal(of, value)}))


def read_sealed(path: Path, of: Sequence[object]) -> dict[str, Any]:
    """The dictionary that `write_sealed` wrote of the same.

    Raises:
        OSError: no such file, or one that cannot be read.
        ValueError: it is damaged, or of something else.
    """
    return unsealed(path.read_text(), of)


def unsealed(text: str, of: Sequence[object]) -> dict[str, Any]:
    """The dictionary in the text of such a file; raises ValueError as `read_sealed`."""
    found = json.loads(text)
    if not isinstance(found, dict) or found.pop(SEAL, None) != _seal(of, found):
        raise ValueError("damaged, or of something else")
    return found


def _seal(of: Sequence[object], value: Mapping[str, Any]) -> str:
    return digest([json.dumps([list(of), dict(value)], sort_keys=True)])
