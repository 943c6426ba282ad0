"""The whole images of a store's few shots, which training crops are taken from.

They lie beside the images in the view that is tested, where suites train on crops:

    wide.u8           what `crops.wide.fit_wide` keeps of each shot, in the order of its rows
    wide.parquet      of each: source file and row, width and height before, sha256 of its pixels
    wide.json         written last: of which shots they are, and the sha256 of both

All training images of the sets of X-TAIL and MTIL would take 46 GB at 224 px, beside 52 GB in the
view that is tested; the shots of all suites on them take 5. Which these are follows from the rows
of the whole set, so that they are taken from its files again once all of these were read.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ...common.checked import read_sealed, write_sealed
from ...common.digests import digest
from ...common.files import cache_root, file_bytes, file_sha256
from ...errors import BenchError
from ..crops.room import room, wide_id
from ..pixels import PixelRows
from .declare import Declaration, Folder, Shots
from .intact import CheckedRows
from .splits import Indices, pick
from .store import Flaw, Rows, Store, damaged

KINDS = ("u8", "parquet")
WIDE_SCHEMA = pa.schema(
    [
        ("file", pa.int32()),  # its place among the source's files
        ("row", pa.int32()),  # in that file
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixels_sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class WideNote:
    """What is known of the whole images of a store.

    Attributes:
        transform: see `wide_id`. rules: the draws of shots that have them, as text.
        tables: digest of the store's row tables. count: how many images.
        sha256s: of wide.u8 and wide.parquet.
    """

    transform: str
    rules: tuple[str, ...]
    tables: str
    count: int
    sha256s: dict[str, str]


def wide_path(store: Store, kind: str) -> Path:
    """The .u8, .parquet or .json of a store's whole images."""
    return store.folder / f"wide.{kind}"


def write_note(store: Store, rules: Sequence[Shots], count: int, sha256s: dict[str, str]) -> None:
    """Write the note of whole images that lie beside a store; raises as `write_sealed`."""
    note = WideNote(wide_id(store.side), texts(rules), _tables(store), count, sha256s)
    write_sealed(wide_path(store, "json"), _of(store), asdict(note))


def look_wide(store: Store) -> WideNote | Flaw | None:
    """The note of a store's whole images; None where there are none, or of other row tables.

    Of the other files only the sizes are looked at, see `wide_pixels` and `damaged_wide`.
    """
    path = wide_path(store, "json")
    try:
        held = read_sealed(path, _of(store))
        note = WideNote(**{**held, "rules": tuple(held["rules"])})
        if (note.transform, note.tables) != (wide_id(store.side), _tables(store)):
            return None
        wide_path(store, "parquet").stat()
        if wide_path(store, "u8").stat().st_size != note.count * room(store.side) ** 2 * 3:
            return Flaw(wide_path(store, "u8"), "another number of bytes")
    except FileNotFoundError as error:
        missing = Path(str(error.filename))
        return None if missing == path else Flaw(missing, "no file")
    except OSError as error:
        return Flaw(path, error.strerror or str(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Flaw(path, "other content")
    return note


def damaged_wide(store: Store) -> Iterator[Path]:
    """Those files of a store's whole images that are not as they were written, every byte read."""
    found = look_wide(store)
    if isinstance(found, Flaw):
        yield found.file
    elif found is not None:
        for kind in KINDS:
            path = wide_path(store, kind)
            if file_sha256(path) != found.sha256s[kind]:
                yield path


def lacks_wide(store: Store, rules: Sequence[Shots]) -> bool:
    """Whether a store is without the whole images of some draws of shots, or has damaged ones."""
    if not rules:
        return False
    found = look_wide(store)
    known = isinstance(found, WideNote) and set(found.rules) >= set(texts(rules))
    return not known or any(damaged_wide(store))


def lacks_shots(store: Store, rule: Shots) -> bool:
    """Whether a store has no whole images of a draw of shots.

    Raises:
        BenchError: it has damaged ones, see `damaged`; only the sizes of files are looked at.
    """
    found = look_wide(store)
    if isinstance(found, Flaw):
        raise damaged(found)
    return found is None or repr(rule) not in found.rules


def texts(rules: Sequence[Shots]) -> tuple[str, ...]:
    """Draws of shots as a note has them."""
    return tuple(sorted(repr(rule) for rule in rules))


def shot_rows(rows: Rows, rules: Sequence[Shots], declared: Declaration) -> Indices:
    """The rows of a store that some draws of shots have, ascending, each once."""
    return np.unique(np.concatenate([pick(rows, rule, declared) for rule in rules]))


def wide_pixels(
    declared: Declaration, store: Store, rows: Rows, picked: Indices, option: str = ""
) -> tuple[PixelRows, str, npt.NDArray[np.int64]]:
    """Whole images of some of a store's rows, memory-mapped, each compared with its sha256.

    Args:
        declared: the dataset.
        store: the store.
        rows: its rows that have pixels.
        picked: (m,) indices in [0, len(rows)).
        option: see `damaged`.

    Returns:
        The pixels (m, T, T, 3), the sha256 of all of them, and int64 (m, 2), width and height of
        each image before.

    Raises:
        BenchError: they were not prepared, or are not as they were written.
    """
    note = look_wide(store)
    if note is None:
        raise without_wide(declared, store, rows, picked, option)
    if isinstance(note, Flaw):
        raise damaged(note, option)
    raw = file_bytes(path := wide_path(store, "parquet"))
    if hashlib.sha256(raw).hexdigest() != note.sha256s["parquet"]:
        raise damaged(Flaw(path, "other bytes"), option)
    table = pq.read_table(pa.BufferReader(raw), schema=WIDE_SCHEMA).to_pydict()
    places = {key: i for i, key in enumerate(zip(table["file"], table["row"], strict=True))}
    keys = list(zip(rows.file_N.tolist(), rows.column("row"), strict=True))
    found = [places.get(keys[i], -1) for i in picked.tolist()]
    if -1 in found:
        raise without_wide(declared, store, rows, picked, option)
    place_M = np.asarray(found, np.int64)
    shape = (room(store.side), room(store.side), 3)
    sha256 = table["pixels_sha256"]
    file = CheckedRows(wide_path(store, "u8"), (note.count, *shape), sha256)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        block = file.mapped(np.unique(place_M), note.sha256s["parquet"], pool, option)
    size_N2 = np.asarray([table["width"], table["height"]], np.int64).T
    sha = digest([str(len(found)), *(sha256[i] for i in found)])
    return PixelRows.of([block], shape).pick(place_M), sha, size_N2[place_M]


def without_wide(
    declared: Declaration, store: Store, rows: Rows, picked: Indices, option: str = ""
) -> BenchError:
    """The error for a store that was prepared without the whole images of some of its rows."""
    root = store.folder.parents[2]
    place = "" if root == cache_root(None) else f" --cache-dir {root}"
    command = f"cl-bench data prepare {declared.name}{option} --side {store.side}{place}"
    return BenchError(
        f"the whole images of {declared.title} that training crops are taken from",
        f"the view alone that is tested, in {store.folder}",
        f"run `{command}`, which adds them{again(refetched(declared, store, rows, picked))}, or "
        "train without crops by --crops none",
        code=4,
    )


def again(nbytes: int) -> str:
    """What adding whole images costs, after 'adds them'."""
    size = f"{nbytes / 1e9:.2g} GB" if nbytes >= 1e7 else f"{nbytes / 1e6:.2g} MB"
    return f" and fetches for that {size} again, which were removed once decoded" if nbytes else ""


def refetched(declared: Declaration, store: Store, rows: Rows, picked: Indices) -> int:
    """Bytes of the source files of some rows that are not kept in the cache folder."""
    if isinstance(declared.source, Folder):
        return 0
    raw = raw_folder(store.folder)
    files = set(rows.file_N[picked].tolist())
    return sum(n.size for n in store.notes if n.index in files and not (raw / n.file).is_file())


def raw_folder(folder: Path) -> Path:
    """Where the downloads of a store's folder lie."""
    return folder.parents[2] / "raw" / folder.parent.name / folder.name.rpartition("-")[0]


def _of(store: Store) -> tuple[str, str]:
    return store.folder.parent.name, store.folder.name


def _tables(store: Store) -> str:
    return digest([note.sha256["parquet"] for note in store.notes])
