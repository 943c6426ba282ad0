"""Whether what is on the disk is what was written: every byte is read again, nothing is fetched."""

from collections.abc import Iterator
from pathlib import Path

from ...common.files import file_sha256
from ...common.report import Advance
from ...errors import BenchError
from ...hub import lock
from ..cache.arrays import FEATURES, SIZES, TOKENS
from ..cache.decoded import PIXELS
from .declare import Declaration
from .load import lock_key
from .preparation.prepare import contents, entry_of
from .shots import damaged_wide
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
    for path in damaged_wide(store):
        yield f"{path} has other bytes than when it was written"
    advance(sum(path.stat().st_size for path in store.folder.glob("wide.*")))
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
    for kind in (PIXELS, SIZES, FEATURES, TOKENS):
        for path in kind.paths(root):
            if (why := kind.trouble(path)) is not None:
                yield f"{path} {why}"
            advance(path.stat().st_size)
