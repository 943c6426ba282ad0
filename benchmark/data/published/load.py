"""A split of a prepared dataset, as the harness reads it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...common.checked import state_of
from ...errors import BenchError
from ...hub import lock
from ..pixels import PixelRows
from ..split import Labelled, Pairs, Split, StoredImages
from .declare import Declaration, Folder, Shots, SplitRule, class_table
from .intact import checked_pixels
from .shots import wide_pixels
from .splits import Indices, pick
from .store import (
    Flaw,
    Rows,
    Store,
    damaged,
    folders_of,
    identity,
    look,
    read_rows_of,
    source_name,
    store_key,
    stores,
)


def lock_key(declared: Declaration, store: Store) -> str:
    """Key of a store's source in the lock file."""
    return _key(declared, store.manifest["source"])


def _key(declared: Declaration, source: str) -> str:
    return declared.name if source == source_name(declared.source) else f"{declared.name}@{source}"


def usable(root: Path, declared: Declaration) -> list[Store]:
    """The whole stores of a dataset at the revision that the lock file has, the primary first."""
    entries, found = lock.read(lock.lock_path()), []
    for store in stores(root, declared):
        entry = entries.get(lock_key(declared, store))
        if entry is None or entry.revision in (None, store.manifest["revision"]):
            found.append(store)
    return found


def prepared(
    root: Path, declared: Declaration, side: int | None, source: str | None = None
) -> Store | None:
    """The store that a run reads; None where there is none.

    Args:
        root: cache folder.
        declared: the dataset.
        side: of the images, None for any.
        source: the only one that will do, by its name in manifests; None for any.

    Raises:
        BenchError: it is there and damaged. No other source is read in its place.
    """
    found = [
        s for s in usable(root, declared)
        if side in (None, s.side) and source in (None, s.manifest["source"])
    ]  # fmt: skip
    wanted = source or source_name(declared.source)
    if found and found[0].manifest["source"] == wanted:
        return found[0]
    for folder, option in _expected(root, declared, side, source):
        if isinstance(flaw := look(folder), Flaw):
            raise damaged(flaw, option)
    return found[0] if found else None


def _expected(
    root: Path, declared: Declaration, side: int | None, only: str | None
) -> Iterator[tuple[Path, str]]:
    """Folders that a store may be in by the lock file, and what names its source to `prepare`."""
    entries = lock.read(lock.lock_path())
    folders = [f for f in folders_of(root, declared) if side in (None, int(f.name.split("-")[1]))]
    for source in (declared.source, *declared.fallbacks):
        name = source_name(source)
        entry = entries.get(_key(declared, name))
        if only not in (None, name):
            continue
        for folder in folders:
            at, revision = folder.name.split("-")[0], entry.revision if entry else None
            if revision is None or at == store_key(identity(declared, source), revision):
                yield folder, source_option(declared, name)


def source_option(declared: Declaration, source: str) -> str:
    """What `data prepare` needs beside the name of a set, for one of its sources."""
    if source != source_name(declared.source):
        return f" --source {source}"
    return " --from FOLDER" if isinstance(declared.source, Folder) else ""


def check_lock(declared: Declaration, store: Store) -> None:
    """Raises BenchError where the lock file has other splits than the store."""
    entry = lock.read(lock.lock_path()).get(lock_key(declared, store))
    if entry is not None and entry.splits is not None:
        mine = store.manifest["splits"]
        wrong = [name for name, value in entry.splits.items() if mine.get(name) != value]
        if wrong:
            raise BenchError(
                f"the splits of {declared.name} that the lock file has ({lock.lock_path()})",
                f"another manifest of '{wrong[0]}' in {store.folder}",
                f"run `cl-bench data rm {declared.name}` and prepare it again",
                code=5,
            )


def rows_of(store: Store, option: str = "") -> Rows:
    """The rows of a store that have pixels; read and checked once.

    Raises:
        BenchError: a row table is damaged, see `damaged`.
    """
    paths = [note.path(store.folder, "parquet") for note in store.notes]
    try:
        states = tuple(state_of(path.stat()) for path in paths)
    except OSError as error:
        raise damaged(Flaw(Path(str(error.filename)), str(error.strerror)), option) from error
    known = (store.folder, *(note.sha256["parquet"] for note in store.notes), *states)
    if known not in _tables:
        rows = read_rows_of(store.folder, store.notes, option)[0]
        if None in states:
            return rows
        _tables[known] = rows
    return _tables[known]


_tables: dict[tuple[object, ...], Rows] = {}


def load_split(
    root: Path,
    declared: Declaration,
    rule: SplitRule,
    names: str | None = None,
    templates: Sequence[str] = (),
    name: str | None = None,
    side: int | None = None,
) -> Split:
    """One split of a prepared dataset.

    Args:
        root: cache folder.
        declared: the dataset.
        rule: the split's.
        names: column of the class table with the names for prompts, for labelled sets; classes
            without one are left out.
        templates: prompts with one `{}`.
        name: of the dataset in a suite, where it is another.
        side: image side of the run, which says what store is read where there are several.

    Raises:
        BenchError: it is not prepared, it is damaged, or its splits are not those of the lock file.
    """
    store = prepared(root, declared, side)
    if store is None:
        raise not_prepared(declared, root, side)
    check_lock(declared, store)
    rows = rows_of(store, source_option(declared, store.manifest["source"]))
    picked = pick(rows, rule, declared)
    label_N = np.asarray(rows.column("label"), dtype=np.int64)
    name = name or declared.name
    if declared.kind == "pairs":
        texts = rows.table.column("captions").take(picked).to_pylist()
        images = _images(root, declared, store, picked, rule)
        return Pairs(name, images, tuple(tuple(own) for own in texts))
    table = class_table(str(declared.classes))[str(names)]
    kept = [i for i, prompt_name in enumerate(table) if prompt_name]
    if len(kept) < len(table):
        picked = picked[np.isin(label_N[picked], kept)]
    place = {label: i for i, label in enumerate(kept)}
    labels = np.asarray([place[int(i)] for i in label_N[picked]], dtype=np.int64)
    images = _images(root, declared, store, picked, rule)
    return Labelled(name, images, labels, tuple(table[i] for i in kept), tuple(templates))


def _images(
    root: Path, declared: Declaration, store: Store, picked: Indices, rule: SplitRule
) -> StoredImages:
    def at(side: int) -> tuple[Store, Rows, str]:
        mine = prepared(root, declared, side, store.manifest["source"])
        if mine is None or mine.manifest["splits"] != store.manifest["splits"]:
            raise not_prepared(declared, root, side)
        option = source_option(declared, mine.manifest["source"])
        return mine, rows_of(mine, option), option

    def pixels(side: int) -> tuple[PixelRows, str]:
        mine, rows, option = at(side)
        return checked_pixels(mine, rows, picked, option)

    def wide(side: int) -> tuple[PixelRows, str, Indices]:
        mine, rows, option = at(side)
        return wide_pixels(declared, mine, rows, picked, option)

    def encoded() -> list[str]:
        every = rows_of(store).column("image_sha256")
        return [every[i] for i in picked]

    whole = wide if isinstance(rule, Shots) else None
    return StoredImages(len(picked), pixels, store.about, encoded, whole)


def not_prepared(declared: Declaration, root: Path, side: int | None = None) -> BenchError:
    """The error where a set is not there, at all or at an image side."""
    there = sorted({store.side for store in usable(root, declared)})
    at = "" if side is None else f" at {side} px"
    got = f"it at {', '.join(map(str, there))} px" if there else "none"
    option = "" if side is None else f" --side {side}"
    return BenchError(
        f"the prepared data of {declared.title}{at} in {root}",
        got,
        f"run `cl-bench data prepare {declared.name}{option}`, or set CL_BENCH_CACHE (or "
        "--cache-dir) to the folder where they are",
        code=4,
    )
