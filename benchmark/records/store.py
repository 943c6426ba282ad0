"""Run records: one parquet file per run, written atomically and read strictly.

A record holds one row per step x evaluation set x direction x metric x k, and the run's provenance
as JSON in the file's metadata. Everything published is a pure function of these rows.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..common.files import atomic
from ..errors import BenchError
from .answers import Evidence
from .bounded import plain_columns, read_bounded
from .evidence import compact, evidence_file, read_evidence
from .naming import file_stem, method_label, suite_folder
from .provenance import validate_provenance
from .schema import (
    SCHEMA,
    SCHEMA_VERSION,
    Columns,
    invalid,
    to_pandas,
    validate,
    validate_name,
    validate_rows,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Record",
    "file_stem",
    "method_label",
    "read_record",
    "read_records",
    "read_results",
    "record_files",
    "suite_folder",
    "to_frame",
    "validate",
    "write_record",
]

METADATA_KEY = b"cl_bench"
SCRATCH = "scratch"
RANKS_SUFFIX = ".ranks.parquet"
MOST_BYTES = 4 * 2**20  # of a file; those of the suites have 0.06
MOST_ROWS, MOST_UNPACKED = 200_000, 2**26
_PLAIN_SCHEMA: pa.Schema = SCHEMA.remove_metadata()
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, MemoryError)
_WHOLE, _DAMAGED = "a whole parquet file", "a damaged or foreign one"


@dataclass(frozen=True, eq=False)
class Record:
    """One run.

    Attributes:
        columns: the rows as plain values, see `schema.Columns`.
        provenance: resolved config, versions, hardware, fingerprints, costs.
        path: the file that it was read from.
    """

    columns: Columns
    provenance: dict[str, Any]
    path: Path

    @cached_property
    def row(self) -> Mapping[str, Any]:
        """The first row, of which the columns of `schema.IDENTITY` are those of all rows."""
        return {name: values[0] for name, values in self.columns.items()}

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The rows, columns and dtypes of `SCHEMA` (integers as pandas' nullable ones)."""
        arrays = [pa.array(self.columns[field.name], field.type) for field in SCHEMA]
        return to_pandas(pa.table(arrays, schema=SCHEMA))

    @cached_property
    def evidence(self) -> Evidence:
        """What each of its queries got, read once; numbers as small as they may be.

        Raises:
            BenchError: as `read_evidence`; code 5 for a record that names none, too.
        """
        seal = self.provenance.get("evidence") or {}
        return compact(read_evidence(evidence_file(self.path), seal))

    def taken(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """These columns, row by row."""
        return zip(*(self.columns[name] for name in names), strict=True)


def _to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    unknown = sorted({name for row in rows for name in row} - set(SCHEMA.names))
    if unknown:
        raise ValueError(f"columns that the schema does not have: {', '.join(unknown)}")
    stamped = [{"schema_version": SCHEMA_VERSION, **row} for row in rows]
    return pa.Table.from_pylist(stamped, schema=SCHEMA)


def to_frame(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Rows as a frame with the columns and dtypes of `SCHEMA`.

    Args:
        rows: column name -> value; `schema_version` may be left out, nullable columns too.

    Raises:
        ValueError: a column that the schema does not have, or a value of the wrong type.
    """
    return to_pandas(_to_table(rows))


def write_record(
    path: Path, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]
) -> None:
    """Write one run; the same rows and provenance give the same bytes.

    Args:
        path: the target, see `file_stem`.
        rows: see `to_frame`.
        provenance: JSON-able; no NaN.

    Raises:
        BenchError: code 6, when the file cannot be written; nothing is left behind.
        ValueError: rows that do not fit the schema, or provenance that is not JSON.
    """
    metadata = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
    table = _to_table(rows).replace_schema_metadata({METADATA_KEY: metadata.encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would never answer, a device never end
        raise invalid(path, "a plain file", "another kind")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BenchError(
            f"a readable record '{path}'",
            f"'{error.strerror or error}'",
            "check the path and its permissions",
            code=6 if path.exists() else 4,
        ) from error
    if len(content) > MOST_BYTES:
        raise invalid(path, "a record", f"more than {MOST_BYTES} bytes")
    return content


def _provenance(raw: bytes | None, path: Path) -> dict[str, Any]:
    try:
        provenance = json.loads(raw, parse_constant=_refuse) if raw is not None else None
    except (ValueError, RecursionError):
        provenance = None
    if not isinstance(provenance, dict):
        raise invalid(path, "a record of cl-bench", "a parquet file without its provenance")
    return provenance


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check_version(newest: int | None, path: Path) -> None:
    if newest is not None and newest > SCHEMA_VERSION:
        raise BenchError(
            f"schema version {SCHEMA_VERSION} or older in '{path}'",
            f"version {newest}",
            "upgrade cl-bench (pip install --upgrade cl-bench)",
            code=5,
        )


def _check_columns(content: bytes, schema: pa.Schema, path: Path) -> None:
    """Refuse a file with other columns than ours, a newer program's by name."""
    if schema.remove_metadata() == _PLAIN_SCHEMA:
        return
    names = schema.names
    if "schema_version" in names and pa.types.is_integer(schema.field("schema_version").type):
        only = pa.schema([schema.field("schema_version")])
        version = read_bounded(content, only, MOST_ROWS, MOST_UNPACKED)["schema_version"]
        _check_version(pc.max(version).as_py(), path)
    for field in SCHEMA:
        if names.count(field.name) != 1:
            raise invalid(path, f"one column '{field.name}'", f"{names.count(field.name)} of them")
        kind = schema.field(field.name).type
        if kind != field.type:
            raise invalid(path, f"column '{field.name}' of type {field.type}", f"type {kind}")
    if len(names) != len(SCHEMA.names):
        extra = sorted(set(names) - set(SCHEMA.names))
        raise invalid(path, "no other columns than the schema's", f"'{', '.join(extra)}'")


def _opened(content: bytes, path: Path) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """A file with the provenance that its end names; no row is read."""
    try:
        # From memory, not by path: a folder named like 'a=b' would become a partition column.
        file = pq.ParquetFile(pa.BufferReader(content))
        raw = (file.metadata.metadata or {}).get(METADATA_KEY)
    except _UNREADABLE as error:
        raise invalid(path, _WHOLE, _DAMAGED) from error
    return file, _provenance(raw, path)


def read_record(path: Path) -> Record:
    """Read one run, refusing what is not whole, not ours, inconsistent or newer than this program.

    Its name and folder are not judged: see `read_records`.

    Raises:
        BenchError: code 5 for a damaged, foreign, invalid, newer or huge file; 4 or 6 when it
            cannot be opened.
    """
    content = _content(path)
    file, provenance = _opened(content, path)
    try:
        _check_columns(content, file.schema_arrow, path)
        table = read_bounded(content, SCHEMA, MOST_ROWS, MOST_UNPACKED, file.metadata)
        columns = plain_columns(table)
    except _UNREADABLE as error:
        raise invalid(path, _WHOLE, _DAMAGED) from error
    _check_version(max(columns["schema_version"], default=None), path)
    validate_rows(columns, path)
    validate_provenance(provenance, path)
    return Record(columns, provenance, path)


def failure_of(path: Path) -> dict[str, Any] | None:
    """What a record says of a run that failed; None for one that reached its end.

    Raises:
        BenchError: as `read_record`, of whose checks it makes only the first.
    """
    failed = _opened(_content(path), path)[1].get("failed")
    return failed if isinstance(failed, dict) else None


def record_files(folder: Path) -> list[Path]:
    """Paths of the records of a results folder, sorted; none is read.

    Args:
        folder: holds `<suite>/<stem>.parquet`. The ranks beside a record and
            the folder `scratch` are passed over.
    """
    # A leading dot is a temporary file that a killed process left behind.
    found = [p for p in folder.glob("*/[!.]*.parquet") if p.parent.name != SCRATCH]
    return sorted(p for p in found if not p.name.endswith(RANKS_SUFFIX))


def read_records(folder: Path) -> list[Record]:
    """Every valid record of a results folder, ordered by path.

    Args:
        folder: see `record_files`.

    Raises:
        BenchError: code 4 when the folder does not exist; code 5 at the first record that is
            damaged, invalid, misnamed, or in another suite's folder.
    """
    if not folder.is_dir():
        raise BenchError(
            "a folder of results",
            f"no folder '{folder}'",
            "check the path, or run a method",
            code=4,
        )
    records = []
    for path in record_files(folder):
        record = read_record(path)
        validate_name(record.row, path)
        home = suite_folder(record.row["suite"])
        if path.parent.name != home:
            raise invalid(path, f"the suite '{path.parent.name}', as the folder says", f"'{home}'")
        records.append(record)
    return records


def read_results(folder: Path) -> "pd.DataFrame":
    """The rows of all records of a results folder, see `read_records`.

    Returns:
        One frame with the columns and dtypes of `SCHEMA`; empty when there are no records.
    """
    import pandas as pd

    frames = [record.frame for record in read_records(folder)]
    return pd.concat(frames, ignore_index=True) if frames else to_frame([])
