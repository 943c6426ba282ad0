"""Checked captions and labels of the items of a local table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.files import file_bytes
from ...errors import BenchError, nearest
from ..images import short
from .table import Item, OwnTable, bad_row


def captions_of(items: Iterable[Item]) -> tuple[tuple[str, ...], ...]:
    """Each image's captions, stripped, in row order; BenchError for none, null or blank ones."""
    return tuple(_captions(item) for item in items)


def _captions(item: Item) -> tuple[str, ...]:
    captions: list[str] = []
    for value in item.values:
        for caption in value if isinstance(value, list) else [value]:
            if not isinstance(caption, str) or not caption.strip():
                got = "an empty or blank one" if isinstance(caption, str) else repr(caption)
                bad_row(item.where, "a caption of text", got, "write a caption or remove the row")
            captions.append(caption.strip())
    if not captions:
        bad_row(item.where, "at least one caption", "an empty list", "write one or remove the row")
    return tuple(captions)


def label_values(
    tables: Sequence[OwnTable], classnames: Sequence[str] | None
) -> list[dict[str, int | str]]:
    """For every table of a dataset, item key -> label cell; in one all integers or all strings.

    A CSV has no types: its labels are integers when every label of the dataset is a number.

    Args:
        tables: all tables of the dataset, because a label means the same in each.
        classnames: the declared class names, if any.

    Raises:
        BenchError: an empty label, one of another type, two labels of one image, or a number in a
            CSV that is also the name of a class with another number.
    """
    values = [{item.key: _label(item) for item in table.items} for table in tables]
    untyped = [table.file.suffix == ".csv" for table in tables]
    cells = [value for found in values for value in found.values()]
    if any(untyped) and all(str(cell).isdecimal() for cell in cells):
        for i, table in enumerate(tables):
            if untyped[i]:
                values[i] = {item.key: _number(item, classnames or ()) for item in table.items}
    for table, found in zip(tables, values, strict=True):
        if len({type(value) for value in found.values()}) > 1:
            got = "both integers and strings"
            raise BenchError(f"labels of one type in {short(table.file)}", got, "write them alike")
    return values


def _number(item: Item, classnames: Sequence[str]) -> int:
    """The label of a CSV's row as a class number."""
    text = str(_label(item))
    if text in classnames and classnames.index(text) != int(text):
        got = f"'{text}', which is also the name of class {classnames.index(text)}"
        fix = "give the labels in a .jsonl file, where numbers and texts differ"
        bad_row(item.where, "a class number as label", got, fix)
    return int(text)


def _label(item: Item) -> int | str:
    value = item.values[0]
    text: object = value.strip() if isinstance(value, str) else value
    if isinstance(text, bool) or not isinstance(text, int | str) or text == "":
        bad_row(item.where, "an integer or a class name as label", repr(value), "correct the label")
    if any(other != value for other in item.values):
        bad_row(item.where, "one label per image", f"{list(item.values)}", "keep one row per image")
    return text


def labels_of(
    items: Sequence[Item], values: dict[str, int | str], classnames: Sequence[str]
) -> npt.NDArray[np.int64]:
    """(n,) int64 labels in [0, len(classnames)).

    Args:
        items: the images.
        values: what `label_values` gives for their table.
        classnames: class names in label order; string labels are looked up in it.

    Raises:
        BenchError: a label out of range or a name that is not a class.
    """
    index = {name: i for i, name in enumerate(classnames)}
    labels = np.empty(len(items), np.int64)
    for i, item in enumerate(items):
        value = values[item.key]
        if isinstance(value, str):
            if value not in index:
                near = f"{nearest(value, classnames)}, or list it in `classnames`"
                bad_row(item.where, "a known class as label", f"'{value}'", near)
            labels[i] = index[value]
        else:
            if not 0 <= value < len(classnames):
                expected = f"a label from 0 to {len(classnames) - 1}"
                bad_row(item.where, expected, f"{value}", "correct it or complete `classnames`")
            labels[i] = value
    return labels


def read_lines(file: Path) -> tuple[str, ...]:
    """Lines of a UTF-8 text file, stripped, without those that are blank at its end."""
    try:
        text = file_bytes(file).decode("utf-8-sig")
        return tuple(line.strip() for line in text.rstrip().split("\n"))
    except UnicodeDecodeError as error:
        fix = "save the file as UTF-8"
        raise BenchError(f"UTF-8 text in {file}", f"'{error}'", fix) from error
