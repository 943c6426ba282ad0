"""Captions, labels and class names of the items of a user's tables."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.files import file_text
from ...errors import BenchError, difference, folded, nearest, quoted
from ..captions import blank, cleaned
from .cells import NUMBER, WHOLE_WITH_POINT, bad_row, captions_of_cell, label_of, number_of
from .table import Item, OwnTable


def captions_of(items: Iterable[Item]) -> tuple[tuple[str, ...], ...]:
    """Each image's captions, stripped, in row order; BenchError for none, null or blank ones."""
    return tuple(
        tuple(text for value in item.values for text in captions_of_cell(value, item.where))
        for item in items
    )


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
    untyped = [table.source.untyped for table in tables]
    numbers = [
        {item.key: number_of(found[item.key], item.where) for item in table.items}
        for table, found in zip(tables, values, strict=True)
        if (any(untyped) or _like_floats(values)) and _all_numbers(values)
    ]
    if numbers and all(n is not None for found in numbers for n in found.values()):
        for i, table in enumerate(tables):
            for item in table.items:
                label, number = values[i][item.key], numbers[i][item.key]
                if isinstance(label, str) and number is not None:
                    _check_number(label, number, item, untyped[i], classnames or ())
                    values[i][item.key] = number
    for table, found in zip(tables, values, strict=True):
        if len({type(value) for value in found.values()}) > 1:
            got = "both integers and strings"
            raise BenchError(f"labels of one type in {table.files.title}", got,
                             "write them alike")  # fmt: skip
    return values


def _all_numbers(values: Sequence[dict[str, int | str]]) -> bool:
    cells = [v for found in values for v in found.values()]
    return all(isinstance(v, int) or NUMBER.fullmatch(v) for v in cells)


def _like_floats(values: Sequence[dict[str, int | str]]) -> bool:
    """Whether a text among the labels is "0.0", which no class is called."""
    cells = [v for found in values for v in found.values() if isinstance(v, str)]
    whole = all(not NUMBER.fullmatch(c) or Decimal(c) == int(Decimal(c)) for c in cells)
    return whole and any(WHOLE_WITH_POINT.fullmatch(cell) for cell in cells)


def _check_number(
    text: str, number: int, item: Item, untyped: bool, classnames: Sequence[str]
) -> None:
    """Raises BenchError where a label that reads as a number may be the name of a class."""
    if not untyped:
        fix = "write it as a number and not as text"
        bad_row(item.where, "a class name or an integer as label", quoted(text), fix)
    if text in classnames and classnames.index(text) != number:
        got = f"'{text}', which is also the name of class {classnames.index(text)}"
        fix = "give the labels in a .jsonl file, where numbers and texts differ"
        bad_row(item.where, "a class number as label", got, fix)


def _label(item: Item) -> int | str:
    value = item.values[0]
    label = label_of(value, item.where)
    if any(other != value for other in item.values):
        got = quoted(list(item.values))
        bad_row(item.where, "one label per image", got, "keep one row per image")
    return label


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
                bad_row(item.where, "a known class as label", quoted(value), near)
            labels[i] = index[value]
        else:
            if not 0 <= value < len(classnames):
                expected = f"a label from 0 to {len(classnames) - 1}"
                bad_row(item.where, expected, f"{value}", "correct it or complete `classnames`")
            labels[i] = value
    return labels


def check_class_names(names: Sequence[str], dataset: str) -> None:
    """Raises BenchError for a class without a name, or two that CLIP could not tell apart.

    Its tokenizer ignores case, spaces and forms of one character, so that two such classes would
    have the same prompts.
    """
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if blank(name):
            got = f"a blank line (class {i})"
            raise BenchError(f"distinct class names for '{dataset}'", got, "correct `classnames`")
        first = seen.setdefault(_as_clip_sees(name), i)
        if first != i:
            how = difference(names[first], name)
            got = f"{quoted(names[first])} as class {first} and {quoted(name)} as class {i}"
            same = names[first] == name
            got += f", {how}" if how else ": a name twice" if same else ", equal to CLIP"
            fix = "correct `classnames` or the labels: their prompts are the same to CLIP"
            raise BenchError(f"distinct class names for '{dataset}'", got, fix)


def _as_clip_sees(name: str) -> str:
    plain = name.isascii() and "&" not in name
    return folded(name if plain else cleaned(name))


def read_lines(file: Path) -> tuple[str, ...]:
    """Lines of a text file, stripped, without those that are blank at its end."""
    text = file_text(file)
    return tuple(line.strip() for line in text.rstrip().split("\n"))
