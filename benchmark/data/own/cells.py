"""Checked cells of a user's tables: what an id, a part, a label or captions are."""

import math
import re
import unicodedata
from decimal import Decimal
from typing import NoReturn

from ...errors import BenchError, quoted
from ..captions import blank, listed

WHOLE_WITH_POINT = re.compile(r"([+-]?\d+)\.0*")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)


def bad_row(where: str, expected: str, got: str, fix: str, code: int = 2) -> NoReturn:
    """Raises the BenchError of a row; `where` names its file and row."""
    raise BenchError(f"{expected} in {where}", got, fix, code)


def text_of(value: object, where: str, what: str) -> str:
    """An id or a part as text; '' for an empty cell.

    A whole number is the same as 2, 2.0, "2" or "2.0": a column of integers becomes floats in
    pandas where a cell is empty.

    Args:
        value: the cell.
        where: file and row, for errors.
        what: the cell should hold, for errors.

    Raises:
        BenchError: a value of another kind, or a number with a fraction.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        text = unicodedata.normalize("NFC", value.strip())
        whole = WHOLE_WITH_POINT.fullmatch(text)
        return whole.group(1) if whole else text
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    bad_row(where, what, quoted(value), "write it as text or as a whole number")


def label_of(value: object, where: str) -> int | str:
    """A label: a whole number, or text that is not empty.

    Raises:
        BenchError: anything else.
    """
    if isinstance(value, str) and not blank(value):
        return value.strip()
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    fix = "correct the label"
    bad_row(where, "an integer or a class name as label", quoted(value), fix)


def number_of(label: int | str, where: str) -> int | None:
    """The class number that a label in a table of text is; None where it is no number.

    Raises:
        BenchError: a number with a fraction.
    """
    if isinstance(label, int):
        return label
    if not NUMBER.fullmatch(label):
        return None
    number = Decimal(label)
    if number != int(number):
        fix = "correct the label, or give class names that are numbers as text in a .jsonl file"
        bad_row(where, "a whole class number as label", quoted(label), fix)
    return int(number)


def captions_of_cell(value: object, where: str) -> list[str]:
    """The captions of one cell, stripped: a text, a list of them, or such a list as text.

    Raises:
        BenchError: none, or one that is null, blank or no text.
    """
    fix = "write a caption or remove the row"
    if isinstance(value, str):
        try:
            texts = listed(value)
        except ValueError:
            got = f"{quoted(value)}, which looks like a list and is none in JSON"
            fix = "write it as a JSON list, or one caption a row"
            bad_row(where, "a caption, or a list of captions", got, fix)
        value = [value] if texts is None else texts
    captions: list[str] = []
    for caption in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(caption, str):
            bad_row(where, "a caption of text", quoted(caption), fix)
        if blank(caption):
            left = "" if not caption.strip() else f" ({quoted(caption)} after CLIP's cleaning)"
            bad_row(where, "a caption of text", f"an empty or blank one{left}", fix)
        captions.append(caption.strip())
    if not captions:
        bad_row(where, "at least one caption", "an empty list", "write one or remove the row")
    return captions
