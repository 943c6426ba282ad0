"""A split of a prepared dataset, as the harness reads it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...common.digests import digest
from ...errors import BenchError
from ...hub import lock
from ..pixels import PixelRows
from ..split import Labelled, Pairs, Split, StoredImages
from .declare import Declaration, SplitRule, class_table
from .splits import pick
from .store import Rows, Store, open_pixels, read_rows_of, read_store, source_name, stores


def lock_key(declared: Declaration, store: Store) -> str:
    """Key of a store's source in the lock file."""
    source = store.manifest["source"]
    return declared.name if source == source_name(declared.source) else f"{declared.name}@{source}"


def usable(root: Path, declared: Declaration) -> list[Store]:
    """The whole stores of a dataset at the revision that the lock file has, the primary first."""
    entries, found = lock.read(lock.lock_path()), []
    for store in stores(root, declared):
        entry = entries.get(lock_key(declared, store))
        if entry is None or entry.revision in (None, store.manifest["revision"]):
            found.append(store)
    return found


def prepared(root: Path, declared: Declaration, side: int) -> Store | None:
    """The store that a run reads at an image side; None where there is none."""
    return next((store for store in usable(root, declared) if store.side == side), None)


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


def rows_of(store: Store) -> Rows:
    """The rows of a store that have pixels; read once."""
    return _rows(store.folder, tuple(note.sha256["parquet"] for note in store.notes))


@cache
def _rows(folder: Path, _content: tuple[str, ...]) -> Rows:
    store = read_store(folder)
    assert store is not None, "listed as whole"
    return read_rows_of(folder, store.notes)[0]


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
        BenchError: it is not prepared, or its splits are not those of the lock file.
    """
    found = [s for s in usable(root, declared) if side is None or s.side == side]
    if not found:
        raise not_prepared(declared, root, side)
    store = found[0]
    check_lock(declared, store)
    rows = rows_of(store)
    picked = pick(rows, rule, declared)
    label_N = np.asarray(rows.column("label"), dtype=np.int64)
    name = name or declared.name
    if declared.kind == "pairs":
        texts = rows.table.column("captions").take(picked).to_pylist()
        images = _images(root, declared, store, picked)
        return Pairs(name, images, tuple(tuple(own) for own in texts))
    table = class_table(str(declared.classes))[str(names)]
    kept = [i for i, prompt_name in enumerate(table) if prompt_name]
    if len(kept) < len(table):
        picked = picked[np.isin(label_N[picked], kept)]
    place = {label: i for i, label in enumerate(kept)}
    labels = np.asarray([place[int(i)] for i in label_N[picked]], dtype=np.int64)
    images = _images(root, declared, store, picked)
    return Labelled(name, images, labels, tuple(table[i] for i in kept), tuple(templates))


def _images(root: Path, declared: Declaration, store: Store, picked: Any) -> StoredImages:
    def pixels(side: int) -> tuple[PixelRows, str]:
        same = [
            s
            for s in usable(root, declared)
            if s.side == side and s.manifest["source"] == store.manifest["source"]
        ]
        if not same or same[0].manifest["splits"] != store.manifest["splits"]:
            raise not_prepared(declared, root, side)
        mine = same[0]
        # Of the pixels of each image, so that it does not depend on how files are cut.
        every = rows_of(mine).column("pixels_sha256")
        sha = digest([str(len(picked)), *(every[i] for i in picked)])
        return open_pixels(mine).pick(picked), sha

    def encoded() -> list[str]:
        every = rows_of(store).column("image_sha256")
        return [every[i] for i in picked]

    return StoredImages(len(picked), pixels, store.about, encoded)


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
