"""A user's own table of images, of whatever files: its rows grouped by image.

`read_table` reads every row once, the bytes of the images for their digest only; `images_of` makes
some of its items an `ImageSource`, whose images are fetched and decoded when one is opened.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

from PIL import Image

from ...common.checked import checked_sha256
from ...common.digests import digest
from ...common.files import file_bytes
from ...errors import BenchError, nearest, quoted
from ..images import decode
from ..split import ImageSource
from .cells import bad_row, text_of
from .files import OwnFiles
from .row import ColumnNames, OwnRow, OwnRows, RowBytes
from .rows import open_rows


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
    """A table's images in the order of first appearance, and the rows that they are from."""

    files: OwnFiles
    items: tuple[Item, ...]
    source: OwnRows


def read_table(files: OwnFiles, columns: ColumnNames) -> OwnTable:
    """Reads a table and groups the rows of one image.

    Rows are of one image when their id is the same, or, without an id column, their path (and
    their bytes, where the table holds them).

    Args:
        files: where the rows are.
        columns: the columns to read.

    Raises:
        BenchError: missing file or column, foreign or damaged file, a row without an image, a
            missing image file, or rows of one image that disagree on its picture or its part.
    """
    source = open_rows(files, columns)
    groups: dict[str, Item] = {}
    for number, row in enumerate(source.rows()):
        item = _item(number, row, columns, files)
        first = groups.get(item.key)
        groups[item.key] = item if first is None else _merged(first, item)
    return OwnTable(files, tuple(groups.values()), source)


def _item(number: int, row: OwnRow, columns: ColumnNames, files: OwnFiles) -> Item:
    where = row.where
    marks: list[str] = []
    path: Path | None = None
    if columns.id is not None:
        key = text_of(row.cells[columns.id], where, f"an id in column '{columns.id}'")
        if not key:
            bad_row(where, f"an id in column '{columns.id}'", "an empty cell", "fill it in")
        where = f"{where} (id {quoted(key)})"
        marks.append(f"id {key}")
    if row.content is None:
        if files.repo is not None:
            _no_bytes(row.path, files.repo, where, columns.image)
        path = _image_file(row.path, files.folder, where, columns.image)
        marks.append(f"path {path}")
    elif row.path:
        name = unicodedata.normalize("NFC", str(row.path))
        marks.append(f"path {name} of {row.content}")
    named = bool(marks)
    key = marks[0] if named else str(number)
    part = None
    if columns.split is not None and row.cells[columns.split] is not None:
        part = text_of(row.cells[columns.split], where, f"a text in column '{columns.split}'")
    marks = marks or [f"bytes {row.content}"]
    values = (row.cells[columns.value],)
    return Item(where, key, tuple(marks), named, number, path, row.content, values, part)


def _no_bytes(image: object, repo: str, where: str, column: str) -> NoReturn:
    """Raises for a row of the hub without its image: what a path there means is not ours to say."""
    got = f"a path, {quoted(image)}" if image else "an empty cell"
    fix = f"name another column with `image`, or download {repo} and name its files themselves"
    bad_row(where, f"the bytes of an image in column '{column}'", got, fix)


def _image_file(image: object, folder: Path, where: str, column: str) -> Path:
    """The file that a cell names; one file has one path, whatever the cell's spelling of it."""
    if not isinstance(image, str) or not image:
        got = quoted(image) if image else "neither bytes nor a path"
        bad_row(where, f"an image in column '{column}'", got, "remove the row")
    for name in dict.fromkeys((image, image.replace("\\", "/"), image.removeprefix("file://"))):
        try:
            found = _existing(folder, Path(os.path.normpath(name)))
        except (OSError, ValueError):  # a caption where a path should be: too long for a file name
            found = None
        if found is not None:
            return found.resolve()
    fix = "correct the path or remove the row"
    if "://" in image[:12]:
        fix = "download the image and give its path"
    elif len(image) > 200 and not set(image[:200]) & set(" .:"):
        fix = "decode what looks like base64 and write the column as bytes (binary)"
    elif near := _near(folder / image):
        fix = f"correct the path ({near}) or remove the row"
    bad_row(where, "an image file", f"{quoted(image)}, which is not in {folder}", fix, 4)


def _existing(folder: Path, name: Path) -> Path | None:
    """The file of that name, or the only one whose name is equal up to Unicode normalisation."""
    if (folder / name).is_file():
        return folder / name
    if str(name).isascii():
        return None
    found = Path(name.anchor) if name.is_absolute() else folder
    for part in name.parts[1:] if name.is_absolute() else name.parts:
        if part == ".." or (found / part).exists():
            found = found / part
            continue
        same = _composed(found).get(unicodedata.normalize("NFC", part), ())
        if len(same) != 1:
            return None
        found = found / same[0]
    return found if found.is_file() else None


@cache
def _composed(folder: Path) -> dict[str, tuple[str, ...]]:
    """Names in a folder by their composed form."""
    names: dict[str, tuple[str, ...]] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        form = unicodedata.normalize("NFC", file.name)
        names[form] = (*names.get(form, ()), file.name)
    return names


def _near(path: Path) -> str:
    """'Did you mean ...' where the folder has a name like that."""
    try:
        found = nearest(path.name, [file.name for file in path.parent.iterdir()], 0)
    except (OSError, ValueError):
        return ""
    return found if found.startswith("did you mean") else ""


def _merged(first: Item, other: Item) -> Item:
    """Both rows of one image as one item; BenchError where they contradict each other."""
    if first.part != other.part:
        got = f"{quoted(first.part)} in {first.where} and {quoted(other.part)} in {other.where}"
        fix = "give all rows of an image the same value"
        raise BenchError("one split value per image", got, fix)
    if (first.path, first.content) != (other.path, other.content):
        got = f"two pictures, in {first.where} and {other.where}"
        raise BenchError("one picture per id", got, "give each image its own id")
    marks = tuple(dict.fromkeys(first.marks + other.marks))
    return replace(first, values=first.values + other.values, marks=marks)


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
    tables = [] if table.files.kind == "folder" else [checked_sha256(f) for f in table.files.paths]
    files = [checked_sha256(item.path) for item in items if item.path is not None]
    content = digest([*tables, *keys, *files])
    encoded = table.source.encoded
    held = None if encoded is None else RowBytes(encoded)

    def raw(i: int) -> tuple[bytes, str]:
        item = items[i]
        if item.path is not None:
            return file_bytes(item.path), f"{item.path} ({item.where})"
        assert held is not None, "only bytes have no path"
        return held.of(item.row), item.where

    def open_image(i: int) -> Image.Image:
        return decode(*raw(i))

    def in_order() -> Iterator[tuple[int, Callable[[], Image.Image]]]:
        for i in sorted(range(len(items)), key=lambda i: items[i].row):
            if items[i].path is None:
                yield i, partial(decode, *raw(i))  # the bytes now, while their row is read
            else:
                yield i, partial(open_image, i)

    def digests() -> list[str]:
        return [checked_sha256(i.path) if i.path is not None else str(i.content) for i in items]

    return ImageSource(len(items), open_image, content, in_order, digests)
