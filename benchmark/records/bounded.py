"""Parquet that anybody may have made: what it declares and what it holds is measured first."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_GROUPS = 64


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
        length = pc.fill_null(pc.binary_length(chunk.dictionary), 0).to_numpy().astype(np.int64)
        count = np.bincount(chunk.indices.drop_null().to_numpy(), minlength=len(length))
        total += int((count[: len(length)] * length).sum())
    return total


def read_bounded(content: bytes, schema: pa.Schema, rows: int, size: int) -> pa.Table:
    """All rows of a file of that schema.

    A value that stands once in the file may be that of many rows, each a copy when it is taken
    out; so texts are read as what stands there, and measured before.

    Args:
        content: of the file, whose columns are known to be the schema's.
        schema: names and types.
        rows: at most so many.
        size: at most so many bytes when unpacked.

    Raises:
        ValueError, OSError, MemoryError, pyarrow.ArrowException: it is damaged, larger, not what
            it says, or a text in it is no UTF-8.
    """
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    file = pq.ParquetFile(
        pa.BufferReader(content), read_dictionary=texts, page_checksum_verification=True
    )
    check_declared(file.metadata, rows, size)
    table = file.read(columns=schema.names, use_threads=False)
    if len(table) > rows or sum(column_bytes(table[name]) for name in texts) > size:
        raise ValueError("more than it declares")
    plain = table.cast(schema.with_metadata(table.schema.metadata))
    plain.validate(full=True)
    return plain
