"""One source file into a store: decoded in parallel, written in order, finished or not there."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from ....common.files import atomic
from ....errors import BenchError
from ...cache.decoded import fit
from ...images import decode
from ..declare import Kind
from ..store import SCHEMA, FileNote
from .reader import RawRow

# Pillow's own limit for an error, where it only warns by default. Some paintings are that large.
MOST_PIXELS = 178_956_970
AHEAD = 8  # images per worker that wait to be written
Item = TypeVar("Item")
Made = TypeVar("Made")
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@contextmanager
def bomb_cap() -> Iterator[None]:
    """Lets Pillow open images up to `MOST_PIXELS`; larger ones are dropped by `decode`."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def write_file(
    rows: Iterable[RawRow],
    name: str,
    sha256: str,
    size: int,
    columns: dict[str, str],
    folder: Path,
    index: int,
    side: int,
    kind: Kind,
    advance: Callable[[int], None],
) -> FileNote:
    """Decode the rows of one source file and write its pixels, its row table and its note.

    Args:
        rows: the rows, in order.
        name: the file's path in its repository.
        sha256: of the file.
        size: of the file in bytes.
        columns: the alternatives that were taken.
        folder: of the store.
        index: of the file in it.
        side: of the images.
        kind: pairs, whose rows need a caption, or labelled.
        advance: called with 1 after every row.

    Raises:
        BenchError: the disk is full, memory runs out, or what reading the rows raises.
    """
    records: list[dict[str, Any]] = []
    pixels = hashlib.sha256()
    note = FileNote(index, name, 0, 0, size, {}, columns)
    with atomic(note.path(folder, "u8")) as temporary, temporary.open("wb") as out:
        for record, block in in_order(lambda row: _one(row, side, kind), rows):
            records.append(record)
            if block is not None:
                out.write(block)
                pixels.update(block)
            advance(1)
    with atomic(note.path(folder, "parquet")) as temporary:
        table = pa.Table.from_pylist(records, schema=SCHEMA)
        pq.write_table(table, temporary, compression="zstd")
    kept = sum(record["dropped"] is None for record in records)
    table_sha = hashlib.sha256(note.path(folder, "parquet").read_bytes()).hexdigest()
    shas = {"file": sha256, "u8": pixels.hexdigest(), "parquet": table_sha}
    note = FileNote(index, name, len(records), kept, size, shas, columns)
    with atomic(note.path(folder, "json")) as temporary:
        temporary.write_text(json.dumps(asdict(note), sort_keys=True))
    return note


def _one(row: RawRow, side: int, kind: Kind) -> tuple[dict[str, Any], bytes | None]:
    record: dict[str, Any] = {
        "row": row.row,
        "key": row.key,
        "part": row.part,
        "group": row.group,
        "captions": list(row.captions),
        "label": row.label,
        "image_sha256": hashlib.sha256(row.image or b"").hexdigest(),
        "pixels_sha256": None,
        "dropped": None,
    }
    if kind == "pairs" and not row.captions:
        return {**record, "dropped": "no caption"}, None
    if not row.image:
        return {**record, "dropped": "no image"}, None
    try:
        block = fit(decode(row.image, "it"), side).tobytes()
    except BenchError as error:
        if isinstance(error.__cause__, MemoryError):
            fix = "close other programs; what is done is kept"
            raise BenchError("memory to decode an image", "none left", fix, 6) from error
        return {**record, "dropped": _why(row.image, error)}, None
    return {**record, "pixels_sha256": hashlib.sha256(block).hexdigest()}, block


def _why(raw: bytes, error: BenchError) -> str:
    """Why an image was dropped, in words that stay: they are part of a store's bytes."""
    cause = error.__cause__
    if cause is None or isinstance(cause, BOMBS):
        return error.got
    if isinstance(cause, UnidentifiedImageError):
        return f"{len(raw)} bytes, no image"
    return f"{len(raw)} bytes, '{cause}'"


def in_order(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What threads make of some items, in their order; a bounded number is in memory."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= workers * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
