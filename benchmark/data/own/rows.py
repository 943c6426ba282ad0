"""Rows of a user's own files of any kind, with what an image is in each of them."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import BenchError, quoted
from ..files.columns import FoundColumn, find_column, find_image, require
from ..files.stream import (
    Record,
    parquet_rows,
    parquet_schema,
    plain,
)
from ..files.text import text_rows
from ..images import short
from ..published.layout import class_names
from .files import OwnFiles, partition
from .row import IMAGE, ColumnNames, OwnRow, OwnRows, broken_on_hub, digest_of, readable
from .tars import open_tars

LISTED_IMAGE = "file_name"  # the same in the metadata file of an image folder, as in `datasets`


def open_rows(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    """The rows of some files, whatever kind they are of.

    Raises:
        BenchError: a missing or damaged file, a missing column, one of another type; also while
            the rows are read.
    """
    kinds = {
        "parquet": _parquet, "tar": open_tars, "text": _text, "folder": _folder, "listed": _listed
    }  # fmt: skip
    return kinds[files.kind](files, columns)


# -- parquet


def _parquet(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    with readable(files, files.paths[0], "parquet file"):
        schema = parquet_schema(files.paths[0])
    where = files.called(files.paths[0])
    given = dict(files.parts(files.paths[0]))
    image, found = columns_in(schema, columns, given, where, _image_name(files, columns))
    tops = tuple(dict.fromkeys(t for c in (image, *found.values()) for t in c.tops))
    value = found.get(columns.value)
    named = value.tops[0] if value is not None and not value.steps else None
    classes = class_names(schema, named) if named is not None else None
    schemas = {files.paths[0]: schema}
    for path in files.paths[1:]:
        with readable(files, path, "parquet file"):
            schemas[path] = parquet_schema(path)
        _same(schema, schemas[path], tops, files.called(path), where)
        if named is not None and class_names(schemas[path], named) != classes:
            raise BenchError(
                f"the class names of column '{named}' in {files.called(path)}, as in {where}",
                "others, or none",
                "write all files of one table alike, or the labels as text",
            )

    def records(wanted: Sequence[str]) -> Iterator[tuple[Path, str, Record]]:
        for path in files.paths:
            with readable(files, path, "parquet file"):
                for i, record in enumerate(parquet_rows([path], schemas[path], wanted)):
                    yield path, f"{files.called(path)} row {i}", record

    def rows() -> Iterator[OwnRow]:
        for path, where, record in records(tops):
            cells: dict[str, Any] = {c: column.of(record) for c, column in found.items()}
            cells |= {c: v for c, v in files.parts(path).items() if c in columns.names()}
            raw, name = _cell(image, record, where)
            yield OwnRow(where, cells, name, digest_of(raw))

    def encoded() -> Iterator[bytes | None]:
        for _, where, record in records(image.tops):
            yield _cell(image, record, where)[0]

    untyped = columns.value in given and columns.value not in found
    return OwnRows(rows, encoded, untyped, classes)


def check_footer(repo: str, path: str, opened: IO[bytes], columns: ColumnNames) -> None:
    """Raises BenchError where a parquet file of the hub has not the columns, by its end alone."""
    where = f"{repo}:{path}"
    try:
        schema = pq.read_schema(opened)
    except (pa.ArrowException, OSError, ValueError) as error:
        got, fix = quoted(str(error), 200), broken_on_hub(repo)
        raise BenchError(f"a readable parquet file {where}", got, fix) from error
    columns_in(schema, columns, partition(PurePosixPath(path)), where)


def columns_in(
    schema: pa.Schema,
    columns: ColumnNames,
    given: Collection[str],
    where: str,
    image_name: str = "",
) -> tuple[FoundColumn, dict[str, FoundColumn]]:
    """The column of the images of a parquet file, and the others that are read.

    Args:
        schema: of the file.
        columns: their names.
        given: those that the file's folders say.
        where: what errors call the file.
        image_name: of the column of the images, where it is not what `columns` says.

    Raises:
        BenchError: one is not there, or that of the images of another type.
    """
    image = find_image(schema, image_name or columns.image, where)
    wanted = (c for c in columns.names() if c in schema.names or c not in given)
    return image, {c: find_column(schema, c, where) for c in wanted}


def _same(
    schema: pa.Schema, other: pa.Schema, columns: Sequence[str], where: str, first: str
) -> None:
    """Raises where a further file of a table has other columns than the first."""
    for name in columns:
        require([name], other.names, where)
        kinds = [_loosely(plain(s.field(name).type)) for s in (schema, other)]
        if kinds[0] != kinds[1] and "null" not in kinds:
            raise BenchError(
                f"column '{name}' of type {kinds[0]} in {where}, as in {first}",
                f"type {kinds[1]}",
                "write all files of one table alike",
            )


def _loosely(kind: pa.DataType) -> str:
    """A type up to its width, which no value depends on."""
    of = pa.types
    if of.is_integer(kind):
        return "integer"
    if of.is_floating(kind):
        return "float"
    if of.is_large_list(kind) or of.is_list(kind):
        return f"list of {_loosely(kind.value_type)}"
    if of.is_struct(kind):  # whose fields are found by their names
        return f"struct of {', '.join(sorted(f'{f.name} {_loosely(f.type)}' for f in kind))}"
    return str(kind).removeprefix("large_")


def _cell(column: FoundColumn, record: Record, where: str) -> tuple[bytes | None, str | None]:
    """The bytes and the path in an image cell."""
    try:
        cell = column.of(record)
    except LookupError as error:
        fix = "give every image a row of its own"
        raise BenchError(f"one image in {where}", str(error.args[0]), fix) from error
    if isinstance(cell, dict):
        return cell.get("bytes"), cell.get("path")
    return (cell, None) if isinstance(cell, bytes) else (None, cell)


# -- text tables and folders


def _text(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    (path,), name = files.paths, _image_name(files, columns)

    def rows() -> Iterator[OwnRow]:
        for line, cells in text_rows(path, dict.fromkeys([name, *columns.names()])):
            yield OwnRow(f"{short(path)} {line}", cells, cells[name], None)

    return OwnRows(rows, untyped=path.suffix.lower() in (".csv", ".tsv"))


def _listed(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    """An image folder with a metadata file, which `datasets` would read with changed values."""
    parquet = files.paths[0].suffix.lower() == ".parquet"
    return (_parquet if parquet else _text)(files, columns)


def _folder(files: OwnFiles, columns: ColumnNames) -> OwnRows:
    known = ("image", "label", "file_name")
    where = short(files.folder)
    require([_image_name(files, columns), *columns.names()], known, f"the image folder {where}")
    names = [path.relative_to(files.folder) for path in files.paths]
    if "label" in columns.names():
        _check_folders(names, where)

    def rows() -> Iterator[OwnRow]:
        for path in names:
            name = path.as_posix()
            cells = {"image": name, "label": path.parent.name, "file_name": name}
            yield OwnRow(f"{where} '{name}'", cells, name, None)

    return OwnRows(rows)


def _check_folders(names: Sequence[Path], where: str) -> None:
    """Raises where the folders of image files cannot be their classes."""
    expected = f"one folder a class in {where}"
    if len({len(name.parts) for name in names}) > 1:
        raise BenchError(expected, "images at several depths", "move them to one depth")
    seen: dict[str, Path] = {}
    for name in names:
        if len(name.parts) == 1:
            got = f"images in no folder, like {quoted(name.name)}"
            raise BenchError(
                expected, got, "move the images of each class into a folder of its name"
            )
        folder = name.parent
        first = seen.setdefault(folder.name, folder)
        if first != folder:
            got = f"two folders {quoted(folder.name)}: '{first}' and '{folder}'"
            raise BenchError(expected, got, "move the images up into the folders of their classes")


def _image_name(files: OwnFiles, columns: ColumnNames) -> str:
    listed = files.kind == "listed" and columns.image == IMAGE
    return LISTED_IMAGE if listed else columns.image
