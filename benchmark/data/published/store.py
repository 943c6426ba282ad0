"""The prepared store of one dataset at one image side: what `data prepare` writes and runs read.

    <cache>/data/<dataset>/<key>-<side>/
        00000.u8          pixels of the rows of source file 0 that could be decoded, uint8
        00000.parquet     all of its rows: name, part, captions or label, hashes, why dropped
        00000.json        written after both: their sha256 and row counts
        manifest.json     written last of all: source, files, counts, splits; without it, no store

Nothing in it depends on when, in how many attempts or on which machine it was made.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ...common.digests import digest
from ...common.files import cache_root, file_bytes
from ...errors import BenchError
from ..cache.decoded import transform_id
from .declare import Declaration, Folder, Source, class_table

VERSION = "1"  # of decoding and of this layout
STORE_NAME = re.compile(r"[0-9a-f]{12}-[0-9]+")

SCHEMA = pa.schema(
    [
        ("row", pa.int32()),  # in the source file
        ("key", pa.string()),
        ("part", pa.string()),
        ("group", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("label", pa.int32()),  # -1 for pairs
        ("image_sha256", pa.string()),  # of the encoded bytes
        ("pixels_sha256", pa.string()),  # of the decoded ones, null where dropped
        ("dropped", pa.string()),  # why, null where it is not
    ]
)


def identity(declared: Declaration, source: Source | Folder) -> str:
    """sha256 of all that rows and pixels derive from but the revision and the image side."""
    if isinstance(source, Source):
        of = [
            source.repo, repr(sorted(source.parts.items())), repr((source.image, source.value)),
            repr((source.key, source.part_column, source.group)),
        ]  # fmt: skip
    else:
        of = [source.layout, repr(source.parts), source.images, source.listing]
        of += [] if source.split is None else [repr((source.split, source.without))]
    names = class_table(declared.classes)["source"] if declared.classes else ()
    return digest([VERSION, declared.name, declared.kind, *of, *names])


def source_name(source: Source | Folder) -> str:
    """What the lock, the manifest and `--source` call it."""
    return source.repo if isinstance(source, Source) else f"{source.layout}:{source.listing}"


def folder_of(
    root: Path, declared: Declaration, source: Source | Folder, commit: str, side: int
) -> Path:
    """Where a store lies."""
    key = store_key(identity(declared, source), commit)
    return root / "data" / declared.name / f"{key}-{side}"


def store_key(mine: str, commit: str) -> str:
    """What a folder is named by: the identity of a source, and its commit."""
    return digest([mine, commit])[:12]


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """sha256 of a manifest without its own `sha256`."""
    return digest([json.dumps(manifest, sort_keys=True)])


@dataclass(frozen=True)
class FileNote:
    """What is known of one finished source file.

    Attributes:
        index: its place among the files. file: its path in the repository.
        kept: rows with pixels. total: all rows of wanted parts. size: bytes of the file.
        sha256: of the encoded file; of the pixels and of the row table.
    """

    index: int
    file: str
    total: int
    kept: int
    size: int
    sha256: Mapping[str, str]
    columns: Mapping[str, str]

    def path(self, folder: Path, kind: str) -> Path:
        """The .u8, .parquet or .json of this file."""
        return folder / f"{self.index:05d}.{kind}"


def read_note(folder: Path, index: int, file: str, side: int) -> FileNote | None:
    """The note of a source file, if it is finished."""
    try:
        note = FileNote(**json.loads((folder / f"{index:05d}.json").read_text()))
        return note if note.file == file and _has_its_files(note, folder, side) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _has_its_files(note: FileNote, folder: Path, side: int) -> bool:
    size = note.path(folder, "u8").stat().st_size
    return size == note.kept * side**2 * 3 and note.path(folder, "parquet").is_file()


@dataclass(frozen=True)
class Store:
    """A whole store."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def side(self) -> int:
        """Image side in pixels."""
        return int(self.manifest["side"])

    @property
    def notes(self) -> list[FileNote]:
        """One per source file."""
        return [FileNote(**note) for note in self.manifest["notes"]]

    @property
    def about(self) -> str:
        """Source and revision in short."""
        return f"{self.manifest['source']}@{str(self.manifest['revision'])[:12]}"

    def nbytes(self) -> int:
        """Bytes on the disk."""
        return sum(p.stat().st_size for p in self.folder.iterdir() if p.is_file())


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a store that was once whole: a file, and what was found there."""

    file: Path
    got: str


def look(folder: Path) -> Store | Flaw | None:
    """The store of a folder, or what is wrong with it; None where it is unfinished or outdated.

    Of pixels and row tables only the sizes are looked at, see `intact`.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        side = manifest["side"]
        if manifest.pop("sha256") != manifest_digest(manifest):
            return Flaw(path, "other content")
        if manifest["version"] != VERSION or manifest["transform"] != transform_id(side):
            return None
        if folder.name != f"{manifest['key']}-{side}":
            return Flaw(path, f"that of {manifest['dataset']}/{manifest['key']}-{side}")
        store = Store(folder, manifest)
        for note in store.notes:
            note.path(folder, "parquet").stat()  # raises where there is none
            if not _has_its_files(note, folder, store.side):
                return Flaw(note.path(folder, "u8"), "another number of bytes")
    except FileNotFoundError as error:
        missing = Path(str(error.filename))
        return None if missing == path else Flaw(missing, "no file")
    except OSError as error:
        return Flaw(path, error.strerror or str(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Flaw(path, "other content")
    return store


def read_store(folder: Path) -> Store | None:
    """The store of a folder; None where it is not whole."""
    found = look(folder)
    return found if isinstance(found, Store) else None


def damaged(flaw: Flaw, option: str = "") -> BenchError:
    """The error for a store that cannot be made again without its source.

    Args:
        flaw: a file in the store's folder, and what was found.
        option: of `data prepare`, beside the image side.
    """
    folder = flaw.file.parent
    name, root = folder.parent.name, folder.parents[2]
    option += f" --side {folder.name.rpartition('-')[2]}"
    place = "" if root == cache_root(None) else f" --cache-dir {root}"
    return BenchError(
        f"'{flaw.file}' as it was prepared",
        flaw.got,
        f"run `cl-bench data prepare {name}{option}{place}`, which makes again what is damaged "
        f"(all of it after `cl-bench data rm {name}{place}`)",
        code=5,
    )


def folders_of(root: Path, declared: Declaration) -> list[Path]:
    """Folders of a dataset's stores, whole or not; nothing else that lies beside them."""
    return sorted(
        folder
        for folder in (root / "data" / declared.name).glob("*-*")
        if STORE_NAME.fullmatch(folder.name) and folder.is_dir()
    )


def stores(root: Path, declared: Declaration) -> Iterator[Store]:
    """Every whole store of a dataset that its declaration still describes, primary source first."""
    found = [s for folder in folders_of(root, declared) if (s := read_store(folder)) is not None]
    for source in (declared.source, *declared.fallbacks):
        mine = identity(declared, source)
        yield from (store for store in found if store.manifest["identity"] == mine)


@dataclass(frozen=True)
class Rows:
    """The rows of a store that have pixels, in the order of files and rows.

    Attributes:
        table: columns of `SCHEMA`. file_N: source file of each row.
    """

    table: Any
    file_N: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.file_N)

    def column(self, name: str) -> list[Any]:
        """One column as Python values."""
        found: list[Any] = self.table.column(name).to_pylist()
        return found


def read_rows_of(folder: Path, notes: list[FileNote], option: str = "") -> tuple[Rows, Any]:
    """Rows with pixels, and the table of those that were dropped (with a column `file`).

    Raises:
        BenchError: a row table that has other bytes than its note says, see `damaged`.
    """
    tables = []
    for note in notes:
        path = note.path(folder, "parquet")
        raw = file_bytes(path)
        if hashlib.sha256(raw).hexdigest() != note.sha256["parquet"]:
            raise damaged(Flaw(path, "other bytes"), option)
        table = pq.read_table(pa.BufferReader(raw), schema=SCHEMA)
        index = pa.array(np.full(len(table), note.index, np.int32))
        tables.append(table.append_column("file", index))
    every = pa.concat_tables(tables)
    kept = every.filter(pa.compute.is_null(every["dropped"]))
    dropped = every.filter(pa.compute.is_valid(every["dropped"]))
    return Rows(kept, kept.column("file").to_numpy().astype(np.int64)), dropped
