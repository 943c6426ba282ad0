"""Whether what is on the disk is what was written: every byte is read again, nothing is fetched."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..encoded import file_sha256
from ..split import digest
from ..tokens import file_digest
from .declare import Declaration
from .rules import manifest_of
from .store import Note, Store, read_rows_of

Advance = Callable[[int], None]


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
        if _note(note.path(store.folder, "json")) != note:
            intact = False
            yield f"{note.path(store.folder, 'json')} and manifest.json differ"
    if not intact:
        return
    rows, dropped = read_rows_of(store.folder, store.notes)
    files = [note.file for note in store.notes]
    count = {part: 0 for part in store.manifest["rows"]}
    for part in (*rows.column("part"), *dropped.column("part").to_pylist()):
        count[part] = count.get(part, 0) + 1
    if count != store.manifest["rows"] or len(dropped) != len(store.manifest["dropped"]):
        yield f"{store.folder / 'manifest.json'} counts other rows than the row tables hold"
    splits = manifest_of(declared, rows, files, lambda _: True)
    if splits != store.manifest["splits"]:
        yield f"{store.folder / 'manifest.json'} has other splits than its rows give"


def _note(path: Path) -> Note | None:
    try:
        return Note(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


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
