"""Rows of text tables: comma- or tab-separated with a header line, and JSON lines."""

import csv
import io
import json
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path, PurePath

from ...common.files import file_text
from ...errors import BenchError, quoted
from ..images import short
from ..split_rules import shown
from .columns import require

SEPARATED = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson")
SEPARATORS = (",", "\t", ";", "|")
Row = dict[str, object]


def text_rows(file: Path, wanted: Collection[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a text table, with the line that each ends in.

    Every value of a separated table is text, as it is in the file. The separator is that of the
    ending, or else the one that the wanted columns of the header line are separated by: open_clip's
    own .csv files have tabs.

    Args:
        file: a table of `SEPARATED` or `JSON_LINES`, in an encoding of `common.files.file_text`.
        wanted: columns that must be there.

    Raises:
        BenchError: a missing or damaged file, or one without these columns.
    """
    text = file_text(file)
    rows = _separated if file.suffix.lower() in SEPARATED else _json_lines
    return rows(text, file, list(wanted))


def _separated(text: str, file: Path, wanted: list[str]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(2**31 - 1)  # a cell may hold a whole image as text
    separator = _separator(text, file, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        header = next(reader, [])
        if not set(wanted) & set(header):
            expected = f"a header line with {shown(wanted)} in {short(file)}"
            named = {",": "commas", "\t": "tabs"}.get(separator, f"'{separator}'")
            got = f"first line {quoted(separator.join(header))}, separated by {named}"
            fix = "put the column names into the first line, separated as all others are"
            raise BenchError(expected, got, fix)
        require(wanted, header, short(file))
        for cells in reader:
            where = f"line {reader.line_num}"
            if cells and len(cells) != len(header):
                expected = f"{len(header)} fields in {short(file)} {where}"
                raise BenchError(expected, str(len(cells)), "put quotes around text with commas")
            if cells:
                _check_quotes(cells, separator, short(file), where)
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        expected = f"CSV in {short(file)} line {reader.line_num}"
        raise BenchError(expected, f"'{error}'", "mend the quotes of that line") from error


def _check_quotes(cells: list[str], separator: str, file: str, where: str) -> None:
    """Raises where one cell holds rows of the table, because a quote in a text opened it.

    It does where one of its lines has as many fields as a row, and a name of a file, of the same
    ending, in the same place as this row.
    """
    for i, cell in enumerate(cells):
        for line in cell.split("\n") if "\n" in cell else ():
            fields = line.split(separator)
            if len(fields) != len(cells):
                continue
            others = [j for j in range(len(cells)) if j != i and PurePath(cells[j]).suffix]
            if any(PurePath(cells[j]).suffix == PurePath(fields[j]).suffix for j in others):
                expected = f"one row of {file} up to {where}"
                got = f"a cell with more rows in it, like {quoted(line.strip())}"
                fix = "double the quotes in texts, and put the text between quotes"
                raise BenchError(expected, got, fix)


def _separator(text: str, file: Path, wanted: list[str]) -> str:
    """What separates the wanted columns of the header line; that of the ending where nothing."""
    usual = "\t" if file.suffix.lower() == ".tsv" else ","
    for separator in (usual, *SEPARATORS):
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
        except csv.Error:
            continue
        if set(wanted) <= set(header):
            return separator
    return usual


def _json_lines(text: str, file: Path, wanted: list[str]) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{short(file)} line {number}"
        try:
            row = json.loads(line, object_pairs_hook=partial(_once, where))
        except json.JSONDecodeError as error:
            raise BenchError(f"JSON in {where}", f"'{error.msg}'", "mend the line") from error
        if not isinstance(row, dict):
            got = f"a {type(row).__name__}"
            raise BenchError(f"a JSON object in {where}", got, "write one object per line")
        require(wanted, list(row), where)
        try:
            json.dumps([row[name] for name in wanted], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            got = f"half of one, '\\u{ord(error.object[error.start]):x}'"
            raise BenchError(f"whole characters in {where}", got, "mend the text") from error
        yield f"line {number}", row


def _once(where: str, pairs: list[tuple[str, object]]) -> Row:
    """An object whose every key stands there once: JSON does not say which of two values counts."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BenchError(f"every key once in {where}", f"{quoted(twice)} twice", "remove one")
    return row
