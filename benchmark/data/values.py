"""Checked captions and labels of the items of a local table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BenchError, nearest
from .encoded import file_bytes, short
from .local import Item, Table, bad_row


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


def label_values(table: Table) -> dict[str, int | str]:
    """Item key -> label cell, all integers or all strings.

    A CSV has no types: its labels are integers when every one of them is a number.

    Raises:
        BenchError: an empty label, one of another type, or two labels of one image.
    """
    values = {item.key: _label(item) for item in table.items}
    cells = [str(value) for value in values.values()]
    if table.file.suffix == ".csv" and all(cell.isdecimal() for cell in cells):
        return {key: int(value) for key, value in values.items()}
    if len({type(value) for value in values.values()}) > 1:
        got = "both integers and strings"
        raise BenchError(f"labels of one type in {short(table.file)}", got, "write them alike")
    return values


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
        return tuple(line.strip() for line in file_bytes(file).decode().rstrip().split("\n"))
    except UnicodeDecodeError as error:
        fix = "save the file as UTF-8"
        raise BenchError(f"UTF-8 text in {file}", f"'{error}'", fix) from error
