"""A user's own table of images: parquet, or CSV / JSONL beside a folder of image files.

`read_table` reads every column but the pixels and groups the rows of one image; `images_of` makes
some of its items an `ImageSource`, whose images are fetched and decoded when one is opened.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ...common.digests import digest
from ...common.files import file_bytes, file_sha256, unreadable
from ...errors import BenchError, nearest
from ..images import ImageColumn, damaged, decode, short
from ..split import ImageSource
from ..split_rules import shown

OwnRow = tuple[str, dict[str, object], str | None]  # where, cells, sha256 of the image's bytes


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns that are read.

    Attributes:
        image: image bytes or path.
        value: caption(s) or label.
        id: identity of the image, or None: then its path, or else its row, is its identity. Bytes
            that carry a path are of one image where both are equal, because `datasets` keeps no
            more than the file's name, and that may be the same in two folders.
        split: column of a split rule, or None.
    """

    image: str
    value: str
    id: str | None = None
    split: str | None = None

    def names(self) -> list[str]:
        """All columns but the image."""
        return [name for name in (self.value, self.id, self.split) if name is not None]


@dataclass(frozen=True)
class Item:
    """One image and what its rows say of it.

    Attributes:
        where: file and row of its first row, for errors.
        key: identity within its table.
        marks: its id and its path, as far as it has them, else its bytes. An image with the same
            mark is the same one, in this table and in another.
        named: whether the marks are an id or a path.
        row: number of its first row, from 0.
        path: its image file, or None where the table holds the bytes.
        content: hex sha256 of the bytes that the table holds.
        values: the caption or label cells of its rows, unchecked.
        part: its value in the split column as text.
    """

    where: str
    key: str
    marks: tuple[str, ...]
    named: bool
    row: int
    path: Path | None
    content: str | None
    values: tuple[object, ...]
    part: str | None


@dataclass(frozen=True)
class OwnTable:
    """A table's images in the order of first appearance, and how to fetch their bytes."""

    file: Path
    items: tuple[Item, ...]
    fetch: Callable[[Item], bytes]


def read_table(file: Path, columns: ColumnNames, folder: Path) -> OwnTable:
    """Reads a table and groups the rows of one image.

    Rows are of one image when their id is the same, or, without an id column, their path (and
    their bytes, where the table holds them).

    Args:
        file: a .parquet, .csv (with a header line) or .jsonl file.
        columns: the columns to read.
        folder: the folder that image paths are relative to.

    Raises:
        BenchError: missing file or column, foreign or damaged file, a row without an image, a
            missing image file, or rows of one image that disagree on its picture or its part.
    """
    if file.suffix == ".parquet":
        rows, cells = _parquet_rows(file, columns)
    else:
        rows, cells = _text_rows(file, columns), None

    def fetch(item: Item) -> bytes:
        if item.path is not None:
            return file_bytes(item.path)
        assert cells is not None, "only a parquet row holds bytes"
        return cells.fetch(item.row)

    groups: dict[str, Item] = {}
    for number, (at, row, content) in enumerate(rows):
        item = _item(f"{short(file)} {at}", number, row, content, columns, folder)
        first = groups.get(item.key)
        groups[item.key] = item if first is None else _merged(first, item)
    return OwnTable(file, tuple(groups.values()), fetch)


def _item(
    where: str,
    number: int,
    row: dict[str, object],
    content: str | None,
    columns: ColumnNames,
    folder: Path,
) -> Item:
    marks: list[str] = []
    path: Path | None = None
    image = row[columns.image]
    if columns.id is not None:
        key = row[columns.id]
        if key is None or key == "":
            bad_row(where, f"an id in column '{columns.id}'", "an empty cell", "fill it in")
        where = f"{where} (id '{key}')"
        marks.append(f"id {key}")
    if content is None:
        if not isinstance(image, str) or not image:
            got = repr(image) if image else "neither bytes nor a path"
            bad_row(where, f"an image in column '{columns.image}'", got, "remove the row")
        path = Path(os.path.normpath(folder / image))
        if not _is_file(path):
            fix = "correct the path or remove the row"
            bad_row(where, "an image file", f"'{image}', which is not in {folder}", fix, 4)
        marks.append(f"path {path}")
    elif image:
        marks.append(f"path {image} of {content}")
    named = bool(marks)
    key = marks[0] if named else str(number)
    part = None if columns.split is None else row[columns.split]
    part = None if part is None else str(part)
    marks = marks or [f"bytes {content}"]
    values = (row[columns.value],)
    return Item(where, key, tuple(marks), named, number, path, content, values, part)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a caption where a path should be: too long for a file name
        return False


def _merged(first: Item, other: Item) -> Item:
    """Both rows of one image as one item; BenchError where they contradict each other."""
    if first.part != other.part:
        got = f"'{first.part}' in {first.where} and '{other.part}' in {other.where}"
        fix = "give all rows of an image the same value"
        raise BenchError("one split value per image", got, fix)
    if (first.path, first.content) != (other.path, other.content):
        got = f"two pictures, in {first.where} and {other.where}"
        raise BenchError("one picture per id", got, "give each image its own id")
    marks = tuple(dict.fromkeys(first.marks + other.marks))
    return replace(first, values=first.values + other.values, marks=marks)


def bad_row(where: str, expected: str, got: str, fix: str, code: int = 2) -> NoReturn:
    """Raises the BenchError of a row; `where` names its file and row."""
    raise BenchError(f"{expected} in {where}", got, fix, code)


def _parquet_rows(file: Path, columns: ColumnNames) -> tuple[Iterable[OwnRow], ImageColumn]:
    try:
        source = pq.ParquetFile(file)
        _require([columns.image, *columns.names()], source.schema_arrow.names, short(file))
        cells = ImageColumn(source, short(file), columns.image)
        table = source.read(columns=columns.names())
        data = {name: table.column(name).to_pylist() for name in columns.names()}
        images = cells.cells()
    except (FileNotFoundError, PermissionError) as error:
        raise unreadable(file, error) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(short(file), error) from error
    data[columns.image] = [path for path, _ in images]
    records = (dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True))
    rows = zip(records, images, strict=True)
    return ((f"row {i}", record, content) for i, (record, (_, content)) in enumerate(rows)), cells


def _text_rows(file: Path, columns: ColumnNames) -> Iterator[OwnRow]:
    try:
        text = file_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {error.start} that is not"
        raise BenchError(f"UTF-8 text in {short(file)}", got, "save the file as UTF-8") from error
    rows = _csv_rows if file.suffix == ".csv" else _jsonl_rows
    return rows(text, file, [columns.image, *columns.names()])


def _csv_rows(text: str, file: Path, wanted: list[str]) -> Iterator[OwnRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not set(wanted) & set(header):
            expected = f"a header line with {shown(wanted)} in {short(file)}"
            fix = "put the column names into the first line"
            raise BenchError(expected, f"first line {','.join(header)!r}", fix)
        _require(wanted, header, short(file))
        for cells in reader:
            where = f"line {reader.line_num}"
            if cells and len(cells) != len(header):
                expected = f"{len(header)} fields in {short(file)} {where}"
                raise BenchError(expected, str(len(cells)), "put quotes around text with commas")
            if cells:
                yield where, dict(zip(header, cells, strict=True)), None
    except csv.Error as error:
        expected = f"CSV in {short(file)} line {reader.line_num}"
        raise BenchError(expected, f"'{error}'", "mend the quotes of that line") from error


def _jsonl_rows(text: str, file: Path, wanted: list[str]) -> Iterator[OwnRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{short(file)} line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BenchError(f"JSON in {where}", f"'{error.msg}'", "mend the line") from error
        if not isinstance(row, dict):
            got = f"a {type(row).__name__}"
            raise BenchError(f"a JSON object in {where}", got, "write one object per line")
        _require(wanted, list(row), where)
        try:
            json.dumps([row[name] for name in wanted], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            got = f"half of one, '\\u{ord(error.object[error.start]):x}'"
            raise BenchError(f"whole characters in {where}", got, "mend the text") from error
        yield f"line {number}", row, None


def _require(wanted: list[str], there: list[str], where: str) -> None:
    for name in wanted:
        if there.count(name) != 1:
            got = f"columns {shown(there)}"
            near = nearest(name, there) if there else "add it"
            fix = f"{near} (the suite file names the column)"
            raise BenchError(f"one column '{name}' in {where}", got, fix)


def images_of(table: OwnTable, items: Sequence[Item], keys: Sequence[str]) -> ImageSource:
    """The images of some items of a table.

    The digest covers the whole table's bytes, the bytes of every image file of these items (all
    are read, none is decoded), and `keys`.

    Args:
        table: where the items are from.
        items: the images, in order.
        keys: whatever chose these items and columns: rule, part, column names.

    Raises:
        BenchError: an image file that cannot be read.
    """
    files = [file_sha256(item.path) for item in items if item.path is not None]
    content = digest([file_sha256(table.file), *keys, *files])

    def open_image(i: int) -> Image.Image:
        item = items[i]
        where = item.where if item.path is None else f"{item.path} ({item.where})"
        return decode(table.fetch(item), where)

    return ImageSource(len(items), open_image, content)
