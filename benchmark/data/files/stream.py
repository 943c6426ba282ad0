"""Rows as the library `datasets` streams them from local files, in their order.

Its builders are used themselves, not `load_dataset`: that takes a file's name for a glob pattern,
and leaves files in the user's cache. Values are those in the file: images are not decoded, numbers
stay numbers (no class names, no times), because every column is asked for by its Arrow type alone.

Comma-separated and JSON text is read by `text`, without `datasets`: its builders change values (a
caption that reads like a date becomes a time, "1" and 1 become one label, a line with a field too
many is moved by one column; tests/data/files/test_text.py shows it).
"""

from __future__ import annotations

import logging
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:  # of a `Path` in a builder's module `datasets` makes a class of its own
    from pathlib import Path

BATCH = 64  # rows in memory at a time
Record = dict[str, Any]
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")


class UnreadableFile(Exception):
    """A file that its reader cannot read, and the reason in one line; whose it is, callers know."""


def parquet_schema(file: Path) -> pa.Schema:
    """The schema of a parquet file, with what `datasets` wrote of its columns in the metadata.

    Raises:
        FileNotFoundError, PermissionError: there is no such file, or it may not be read.
        UnreadableFile: it is not whole, or no parquet file.
    """
    try:
        return pq.read_schema(file)
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error) from error


def parquet_rows(
    files: Sequence[Path], schema: pa.Schema, columns: Sequence[str]
) -> Iterator[Record]:
    """The rows of some parquet files, one after the other.

    Args:
        files: the files, in order.
        schema: of the columns; those of a later file are cast to it.
        columns: the columns that are read.

    Yields:
        Column -> value, as plain Python: bytes, text, numbers, lists, dicts, None.

    Raises:
        UnreadableFile: a damaged file, or one whose columns are not those of the schema.
    """
    from datasets import Features
    from datasets.packaged_modules.parquet.parquet import Parquet

    class Plain(Parquet):  # type: ignore[misc]
        """Takes Arrow's view, dictionary and fixed-size types for what they hold."""

        def _cast_table(self, table: pa.Table) -> pa.Table:
            for i, field in enumerate(table.schema):
                if (kind := plain(field.type)) != field.type:
                    table = table.set_column(i, field.name, _cast(table.column(i), kind))
            return super()._cast_table(table)

    wanted = pa.schema([(name, plain(schema.field(name).type)) for name in columns])
    options = {"features": Features.from_arrow_schema(wanted), "columns": list(columns)}
    try:
        stream = _stream(Plain, files, batch_size=BATCH, **options).with_format("arrow")
        for table in stream.iter(BATCH):
            yield from table.to_pylist()
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise _unreadable(error) from error


def tar_fields(file: Path) -> tuple[str, ...]:
    """Kinds of files in a webdataset tar ("jpg", "txt"), as they are spelled, in order.

    Raises:
        FileNotFoundError, PermissionError: there is no such file, or it may not be read.
        UnreadableFile: it is cut off, or no tar.
    """
    found: dict[str, None] = {}
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and "." in name[1:] and not name.startswith((".", "__")):
                    found[name.partition(".")[2]] = None
                elif (member.issym() or member.islnk()) and not name.startswith((".", "__")):
                    raise UnreadableFile(f"'{member.name}' is a link, and holds no bytes")
            _check_end(archive)
    except (FileNotFoundError, PermissionError):
        raise
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _unreadable(error) from error
    return tuple(found)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raises where a tar does not end as one does: Python takes a broken header for the end.

    Raises:
        UnreadableFile: it has no empty block behind its last file, or something behind that.
    """
    stream = archive.fileobj
    assert stream is not None, "an open archive"
    stream.seek(archive.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise UnreadableFile("it is cut off: the empty block at its end is missing")
    if any(block):
        raise UnreadableFile(f"the header at byte {archive.offset} is damaged")
    while block := stream.read(2**20):
        if any(block):
            raise UnreadableFile("something is behind its end, as of two tars that were joined")


def tar_rows(files: Sequence[Path], fields: Mapping[str, pa.DataType]) -> Iterator[Record]:
    """The samples of some webdataset tars, one after the other.

    Args:
        files: the tars, in order.
        fields: the kinds of files that are read, and the type of each.

    Yields:
        "__key__" and kind -> value: bytes, text (.txt), a whole number (.cls), an object (.json);
        None for a kind that the sample lacks.

    Raises:
        UnreadableFile: a damaged tar, a sample with two files of one kind, or text or a number
            that is none.
    """
    from datasets import Features, Json
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    class Asked(WebDataset):  # type: ignore[misc]
        """Decodes no other kinds of files than those that are read."""

        DECODERS = {
            kind: decode
            for kind, decode in WebDataset.DECODERS.items()
            if kind in {field.rpartition(".")[2].lower() for field in fields}
        }

    kinds = {"__key__": pa.string(), **fields}
    features = Features.from_arrow_schema(pa.schema(list(kinds.items())))
    features |= {kind: Json() for kind in fields if kind.rpartition(".")[2].lower() == "json"}
    try:
        for sample in _stream(Asked, files, features=features):
            sample["__key__"] = sample["__key__"].removeprefix("./")
            yield sample
    except (tarfile.TarError, pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise _unreadable(error) from error


def plain(kind: pa.DataType) -> pa.DataType:
    """The Arrow type of the same values without views, dictionaries or fixed sizes."""
    of = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if of.is_dictionary(kind):
        return plain(kind.value_type)
    if of.is_binary_view(kind) or of.is_fixed_size_binary(kind):
        return pa.binary()
    if of.is_string_view(kind):
        return pa.string()
    if of.is_struct(kind):
        return pa.struct([pa.field(f.name, plain(f.type)) for f in kind])
    if of.is_large_list(kind) or of.is_large_list_view(kind):
        return pa.large_list(plain(kind.value_type))
    if of.is_list(kind) or of.is_list_view(kind) or of.is_fixed_size_list(kind):
        return pa.list_(plain(kind.value_type))
    return kind


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.chunked_array([pa.array(chunk.to_pylist(), kind) for chunk in column.chunks])


def _stream(builder: Any, files: Sequence[Path], **options: Any) -> Any:
    """The rows of a builder's only split; nothing is written that stays."""
    from datasets.data_files import DataFilesDict, DataFilesList

    # What a builder logs of a damaged file, callers say in a sentence.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)
    paths = [str(file.absolute()) for file in files]
    given = DataFilesDict({"train": DataFilesList(paths, [("",)] * len(paths))})
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as lock:
        made = builder(cache_dir=lock, data_files=given, **options)
        return made.as_streaming_dataset(split="train")


def _unreadable(error: Exception) -> UnreadableFile:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UnreadableFile(said.rstrip(". "))
