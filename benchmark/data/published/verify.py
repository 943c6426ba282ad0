"""Whether what is on the disk is what was written: every byte is read again, nothing is fetched."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...common.digests import digest
from ...common.files import file_digest, file_sha256
from ...common.report import Advance
from ...errors import BenchError
from ...hub import lock
from .declare import Declaration
from .load import lock_key
from .preparation.prepare import contents, entry_of
from .store import Store, read_note


def damage(store: Store, declared: Declaration, advance: Advance) -> Iterator[str]:
    """What is wrong with a store, in words; nothing where it is as it was written."""
    intact = True
    for note in store.notes:
        for kind in ("u8", "parquet"):
            path = note.path(store.folder, kind)
            if file_sha256(path) != note.sha256[kind]:
                intact = False
                yield f"{path} has other bytes than when it was written"
            advance(path.stat().st_size)
        if read_note(store.folder, note.index, note.file, store.side) != note:
            intact = False
            yield f"{note.path(store.folder, 'json')} and manifest.json differ"
    if not intact:
        return
    found = contents(declared, store.folder, store.notes, tuple(store.manifest["rows"]))
    for name, value in found.items():
        if store.manifest[name] != value:
            yield f"{store.folder / 'manifest.json'} has other {name} than the row tables give"
    key = lock_key(declared, store)
    try:
        lock.merged(key, lock.read(lock.lock_path()).get(key), entry_of(store))
    except BenchError as error:
        yield str(error)


def noted_damage(root: Path, advance: Advance) -> Iterator[str]:
    """The same for decoded images of other suites, frozen features and tokens."""
    ways = {"pixels": _pixels, "features": _features, "tokens": file_digest}
    for kind, way in ways.items():
        for path in sorted((root / kind).glob("*.npy")):
            note = path.with_suffix(".json")
            if path.name.startswith(".") or not note.is_file():
                continue  # half written: the next run writes it anew
            try:
                same = json.loads(note.read_text())["sha256"] == way(path)
            except (OSError, ValueError, KeyError, TypeError):
                same = False
            if not same:
                yield f"{path} has other bytes than when it was written"
            advance(path.stat().st_size)


def _pixels(path: Path) -> str:
    pixels, h = np.load(path, mmap_mode="r"), hashlib.sha256()
    for start in range(0, len(pixels), 256):
        h.update(pixels[start : start + 256].tobytes())
    return h.hexdigest()


def _features(path: Path) -> str:
    return digest([np.load(path).tobytes()])
