"""The whole images of a store's shots, taken from its source's files after all rows are known."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....common.files import atomic, file_sha256
from ....common.report import Advance, Report
from ....errors import BenchError
from ...images import decode
from ..declare import Folder, Source, class_table
from ..load import rows_of, source_option
from ..shots import (
    KINDS,
    WIDE_SCHEMA,
    lacks_wide,
    look_wide,
    shot_rows,
    wide_path,
    write_note,
)
from ..splits import Indices
from ..store import Rows, Store, read_store
from .ahead import Ahead
from .decode import in_order
from .plan import Planned
from .raw import download, file_rows, given_rows, is_here
from .reader import RawRow


def may_have_shots(planned: Planned, index: int) -> bool:
    """Whether a source file is of a part that shots are drawn from."""
    part = planned.parts.get(planned.files[index].path, "")
    return any(not part or part in rule.parts for rule in planned.job.crops)


def wide_left(planned: Planned) -> tuple[int, list[int]]:
    """How many whole images are still to come, and the files that have them.

    Where not all rows are known, these are all that the draws can have at most.
    """
    job = planned.job
    if not job.crops:
        return 0, []
    store = read_store(planned.folder)  # of which some files may be damaged
    if store is not None and not lacks_wide(store, job.crops):
        return 0, []
    try:
        rows = None if store is None else rows_of(store)
    except BenchError:  # a damaged row table
        rows = None
    if rows is None:
        classes = len(class_table(str(job.declared.classes))["source"])
        files = [i for i in range(len(planned.files)) if may_have_shots(planned, i)]
        return classes * sum(rule.k for rule in job.crops), files
    picked = shot_rows(rows, job.crops, job.declared)
    return len(picked), np.unique(rows.file_N[picked]).tolist()


def to_fetch_again(planned: Planned, files: list[int]) -> int:
    """Bytes of some finished files that have to be downloaded once more for their shots."""
    notes = planned.notes()
    return sum(
        planned.files[i].size for i in files if notes[i] is not None and not is_here(planned, i)
    )


def add_wide(planned: Planned, store: Store, report: Report) -> None:
    """Write the whole images of the shots beside a store.

    Raises:
        BenchError: a file cannot be had or read, it has other images than were prepared, or the
            disk is full.
    """
    job, rows, side = planned.job, rows_of(store), store.side
    picked = shot_rows(rows, job.crops, job.declared)
    records: list[dict[str, Any]] = []
    with (
        atomic(wide_path(store, "u8")) as temporary,
        temporary.open("wb") as out,
        report.bars(*_bars(planned, rows, picked)) as (decoded, *arrived),
        closing(_shots(planned, store, rows, picked, arrived)) as shots,
    ):
        for record, block in in_order(lambda shot: _fitted(*shot, side), shots):
            records.append(record)
            out.write(block)
            decoded(1)
        if len(records) != len(picked):
            raise _other(planned, store, f"{len(records)} of {len(picked)} images")
        wide_path(store, "json").unlink(missing_ok=True)  # of what is replaced now
    with atomic(wide_path(store, "parquet")) as temporary:
        table = pa.Table.from_pylist(records, schema=WIDE_SCHEMA)
        pq.write_table(table, temporary, compression="zstd")
    sha256s = {kind: file_sha256(wide_path(store, kind)) for kind in KINDS}
    write_note(store, job.crops, len(records), sha256s)
    assert look_wide(store) is not None, "just written"


def _bars(planned: Planned, rows: Rows, picked: Indices) -> list[tuple[str, int, str]]:
    """How far it is: images, and bytes of files that the hub has."""
    title = f"{planned.job.declared.title} shots"
    bars = [(f"{title}, whole images", len(picked), "images")]
    if isinstance(planned.job.source, Source):
        files = np.unique(rows.file_N[picked]).tolist()
        bars.append((f"{title}, files", sum(planned.files[i].size for i in files), "B"))
    return bars


def _shots(
    planned: Planned, store: Store, rows: Rows, picked: Indices, arrived: Sequence[Advance]
) -> Generator[tuple[int, RawRow], None, None]:
    """The shots with the file that they are in, in the order of the store's rows.

    Raises:
        BenchError: as `add_wide`.
    """
    number, image = rows.column("row"), rows.column("image_sha256")
    wanted: dict[int, dict[int, str]] = {}
    for i in picked.tolist():
        wanted.setdefault(int(rows.file_N[i]), {})[number[i]] = image[i]
    for index, found in _files(planned, list(wanted), arrived):
        left = wanted[index]
        for row in found:
            if (sha := left.pop(row.row, None)) is None:
                continue
            if hashlib.sha256(row.image or b"").hexdigest() != sha:
                raise _other(planned, store, f"another image in row {row.row}")
            yield index, row
            if not left:
                break


def _files(
    planned: Planned, files: list[int], arrived: Sequence[Advance]
) -> Iterator[tuple[int, Iterator[RawRow]]]:
    """Some source files with their rows; one is downloaded while another is read."""
    source = planned.job.source
    if isinstance(source, Folder):
        yield 0, given_rows(planned, source)
        return

    def fetched(index: int) -> tuple[Path, str]:
        return download(planned, index, *arrived)

    with Ahead(files, fetched) as downloads:
        for index, (path, _) in downloads:
            # Of which part its rows are is known, and rows are told by their numbers.
            yield index, file_rows(planned, source, index, path, None)[0]


def _fitted(index: int, row: RawRow, side: int) -> tuple[dict[str, Any], bytes]:
    from ...crops.wide import fit_wide  # torch

    image = decode(row.image or b"", f"row {row.row}")
    block = fit_wide(image, side).tobytes()
    sha256 = hashlib.sha256(block).hexdigest()
    width, height = image.size
    record = {"file": index, "row": row.row, "width": width, "height": height}
    return {**record, "pixels_sha256": sha256}, block


def _other(planned: Planned, store: Store, got: str) -> BenchError:
    name = planned.job.declared.name
    option = source_option(planned.job.declared, store.manifest["source"])
    return BenchError(
        f"the images of {name} as they were prepared in {store.folder}",
        got,
        f"run `cl-bench data rm {name}` and prepare it again (`cl-bench data prepare {name}"
        f"{option}`)",
        code=5,
    )
