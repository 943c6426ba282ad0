"""Rows of a downloaded file, as its publisher wrote them: parquet, or webdataset tars."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ....errors import quoted
from ...captions import blank
from ...files.stream import (
    TAR_ENDINGS,
    UnreadableFile,
    parquet_rows,
    parquet_schema,
    tar_fields,
    tar_rows,
)
from ..classes import different, match_classes
from ..declare import Source, class_table
from ..layout import Layout, own_numbers, parquet_layout, tar_layout


@dataclass(frozen=True)
class RawRow:
    """One row of one file.

    Attributes:
        row: its number in the file, from 0. key: its publisher's name, '' for none.
        part, group: where it belongs. image: encoded bytes, None where there are none.
        captions: stripped, without blank ones; label: class in the order of the class table.
    """

    row: int
    key: str
    part: str
    group: str
    image: bytes | None
    captions: tuple[str, ...] = ()
    label: int = -1


@dataclass(frozen=True)
class SourceFile:
    """Which file is read for what.

    Attributes:
        path: the local file. name: its path in the repository, for errors.
        source: its declaration. part: its part, or None where a column says it.
        classes: class table of a labelled set, None for pairs.
    """

    path: Path
    name: str
    source: Source
    part: str | None
    classes: str | None


def read_rows(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    """The rows of one file, and the columns that were taken among the alternatives.

    Raises:
        BenchError: no readable file, a column missing or of another type, a label that is no
            class. Also while iterating.
    """
    return (_tar if place.path.name.endswith(TAR_ENDINGS) else _parquet)(place)


def _parquet(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    with _readable(place):
        schema = parquet_schema(place.path)
    layout = parquet_layout(schema, place.source, place.classes, place.name)
    put = _value(place, layout)
    part = _text(place, layout.part, layout.part_names)
    group = _text(place, layout.group, layout.group_names)

    def rows() -> Iterator[RawRow]:
        with _readable(place):
            for count, record in enumerate(parquet_rows([place.path], schema, layout.columns)):
                cell = record[layout.image]
                row = RawRow(
                    count,
                    "" if layout.key is None else str(record[layout.key] or ""),
                    place.part or part(record),
                    group(record),
                    cell.get("bytes") if isinstance(cell, dict) else cell,
                )
                yield put(row, record[layout.value], f"row {count} of {place.name}")

    return rows(), layout.taken


def _tar(place: SourceFile) -> tuple[Iterator[RawRow], dict[str, str]]:
    with _readable(place):
        fields = tar_fields(place.path)
    layout = tar_layout(fields, place.source, place.name)
    images = [f for kind in place.source.image for f in fields if f.lower() == kind]
    values = [f for f in fields if f.lower() == layout.value]
    kind = pa.string() if place.classes is None else pa.int64()
    kinds = dict.fromkeys(images, pa.binary()) | dict.fromkeys(values, kind)
    put = _value(place, layout)

    def rows() -> Iterator[RawRow]:
        last = None
        with _readable(place):
            for count, sample in enumerate(tar_rows([place.path], kinds)):
                where = f"sample '{sample['__key__']}' of {place.name}"
                if sample["__key__"] == last:  # with and without ./ before it
                    raise different(where, "one file of each kind", "two samples of that name")
                last = sample["__key__"]
                cell = next((sample[f] for f in values if sample[f] is not None), None)
                if cell is None:
                    got = "none"
                    raise different(place.name, f"a file .{layout.value} in {where}", got)
                if isinstance(cell, str):
                    cell = cell.removeprefix("\ufeff").split("\n")
                raw = next((sample[f] for f in images if sample[f] is not None), None)
                yield put(RawRow(count, sample["__key__"], place.part or "", "", raw), cell, where)

    return rows(), layout.taken


@contextmanager
def _readable(place: SourceFile) -> Iterator[None]:
    try:
        yield
    except (UnreadableFile, FileNotFoundError, PermissionError) as error:
        raise different(place.name, "a readable file", quoted(str(error), 200)) from error


def _text(
    place: SourceFile, column: str | None, names: Sequence[str] | None
) -> Callable[[dict[str, Any]], str]:
    """A cell of that column as text: by the names of a ClassLabel, else as it is."""

    def text(record: dict[str, Any]) -> str:
        if column is None:
            return ""
        cell = record[column]
        if cell is None or (names is not None and not _is_place(cell, names)):
            got = quoted(cell)
            raise different(place.name, f"a value in every row of column '{column}'", got)
        return names[cell] if names is not None else str(cell)

    return text


def _is_place(cell: Any, names: Sequence[str]) -> bool:
    return isinstance(cell, int) and 0 <= cell < len(names)


def _value(place: SourceFile, layout: Layout) -> Callable[[RawRow, Any, str], RawRow]:
    """Puts the cell of the value column into a row."""
    if place.classes is None:
        return _captions
    classes = place.classes
    total, names = len(class_table(classes)["source"]), layout.names
    order = (
        None
        if own_numbers(names, place.source)
        else match_classes(names or (), classes, place.name)
    )

    def label(row: RawRow, cell: Any, where: str) -> RawRow:
        if isinstance(cell, str):
            return replace(row, label=match_classes([cell], classes, where)[0])
        if not isinstance(cell, int) or not 0 <= cell < len(order or range(total)):
            raise different(where, f"a label from 0 to {total - 1}", quoted(cell))
        return replace(row, label=cell if order is None else order[cell])

    return label


def _captions(row: RawRow, cell: Any, where: str) -> RawRow:
    texts = cell if isinstance(cell, list) else [cell]
    kept = tuple(text.strip() for text in texts if text is not None and not blank(text))
    return replace(row, captions=kept)
