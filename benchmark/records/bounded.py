"""Parquet that anybody may have made: what it declares and what it holds is measured first."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_GROUPS = 64
# What turns arrays of pyarrow into numpy's, or makes its scalars, imports pandas, but for these
# two: `np.from_dlpack` and `to_pylist`.


def check_declared(metadata: pq.FileMetaData, rows: int, size: int) -> None:
    """Refuse a parquet file that says it is larger than so many rows or bytes when unpacked.

    Raises:
        ValueError: it does, or its groups of rows do not add up to what it says.
    """
    groups = [metadata.row_group(i) for i in range(min(metadata.num_row_groups, MOST_GROUPS))]
    if metadata.num_row_groups > len(groups):
        raise ValueError(f"{metadata.num_row_groups} groups of rows")
    n = metadata.num_rows
    if not 0 <= n <= rows or sum(group.num_rows for group in groups) != n:
        raise ValueError(f"{n} rows")
    columns = (group.column(c) for group in groups for c in range(group.num_columns))
    if sum(column.total_uncompressed_size for column in columns) > size:
        raise ValueError("columns that unpack to more than any record's")


def column_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of all values of a column that was read as a dictionary."""
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).to_pylist()
        length = np.array([length or 0 for length in lengths], np.int64)
        count = np.bincount(np.from_dlpack(chunk.indices.drop_null()), minlength=len(length))
        total += int((count[: len(length)] * length).sum())
    return total


def read_bounded(
    content: bytes,
    schema: pa.Schema,
    rows: int,
    size: int,
    metadata: pq.FileMetaData | None = None,
) -> pa.Table:
    """All rows of a file of that schema, its texts as dictionaries.

    A value that stands once in the file may be that of many rows, each a copy when it is taken
    out; so texts are read as what stands there, and measured before.

    Args:
        content: of the file, whose columns are known to be the schema's.
        schema: names and types.
        rows: at most so many.
        size: at most so many bytes when unpacked.
        metadata: of the file, where it was read already.

    Raises:
        ValueError, OSError, MemoryError, pyarrow.ArrowException: it is damaged, larger, not what
            it says, or a text in it is no UTF-8.
    """
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    file = pq.ParquetFile(
        pa.BufferReader(content), metadata=metadata, read_dictionary=texts,
        page_checksum_verification=True, pre_buffer=False,
    )  # fmt: skip
    check_declared(file.metadata, rows, size)
    table = file.read(columns=schema.names, use_threads=False)
    # Most files could not be too large whatever stood in their rows.
    words = (chunk.dictionary for name in texts for chunk in table[name].chunks)
    most = len(table) * sum(one.nbytes for one in words)
    if len(table) > rows or (
        most > size and sum(column_bytes(table[name]) for name in texts) > size
    ):
        raise ValueError("more than it declares")
    table.validate(full=True)
    for field in schema:
        if table[field.name].null_count and not field.nullable:
            raise ValueError(f"nulls in '{field.name}'")
    return table


def plain_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Name -> the value of every row, None where there is none; for numbers that may be NaN, too.

    Args:
        table: of numbers, and of texts as dictionaries, see `read_bounded`.
    """
    return {
        name: [value for chunk in table[name].chunks for value in _plain(chunk)]
        if table[name].num_chunks != 1
        else _plain(table[name].chunk(0))
        for name in table.column_names
    }


def _plain(chunk: pa.Array) -> list[Any]:
    values: list[Any]
    if chunk.null_count == len(chunk):
        return [None] * len(chunk)
    if pa.types.is_dictionary(chunk.type):
        words, places = chunk.dictionary.to_pylist(), chunk.indices
        if places.null_count:
            words.append(None)
            return [words[-1 if place is None else place] for place in places.to_pylist()]
        if len(words) == 1:
            values = words * len(places)
            return values
        return [words[place] for place in np.from_dlpack(places).tolist()]
    values = chunk.to_pylist() if chunk.null_count else np.from_dlpack(chunk).tolist()
    return [v if v == v else None for v in values] if pa.types.is_floating(chunk.type) else values
