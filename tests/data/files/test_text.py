"""Text tables: separators, encodings, and values that nothing changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from benchmark.data.files.text import text_rows
from benchmark.errors import BenchError

CELLS = ["007", "1.0", "NA", "null", "2020-01-01", "1e3", "true", " x ", 'a "b" c', "é\u2028z", ""]


def values(path: Path, *wanted: str) -> list[Any]:
    return [[row[name] for name in wanted] for _, row in text_rows(path, wanted or ("c",))]


@pytest.mark.parametrize(("separator", "suffix"), [
    (",", ".csv"), ("\t", ".tsv"), ("\t", ".csv"), (";", ".csv"), ("|", ".CSV"), (",", ".tsv"),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_cells_are_the_text_that_is_there(
    tmp_path: Path, separator: str, suffix: str, encoding: str
) -> None:
    quoted = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in CELLS]
    lines = [separator.join(("i", "c")), *(f"{i}{separator}{c}" for i, c in enumerate(quoted))]
    path = tmp_path / f"t{suffix}"
    path.write_bytes("\r\n".join(lines).encode(encoding))
    assert values(path, "i", "c") == [[str(i), cell] for i, cell in enumerate(CELLS)]


def test_values_of_json_lines_are_those_of_json(tmp_path: Path) -> None:
    cells = [1, 1.0, "1", "1.0", True, None, 10**25, ["a", "b"], "2020-01-01", {"x": [1]}]
    text = "\n".join(json.dumps({"c": cell, "d": 0}) for cell in cells)
    (tmp_path / "t.jsonl").write_text(text)
    found = [v for (v,) in values(tmp_path / "t.jsonl", "c")]
    assert [(type(v), v) for v in found] == [(type(v), v) for v in cells]


def test_why_datasets_does_not_read_text_tables(tmp_path: Path) -> None:
    """Where one of these fails one day, its builders can take the place of ours."""

    def read(builder: str, name: str, text: str) -> list[Any]:
        path = tmp_path / name
        path.write_text(text)
        found = load_dataset(
            builder, data_files=str(path), split="train", streaming=True, cache_dir=str(tmp_path)
        )
        return list(found)

    date = '{"c": "2020-01-01"}\n'
    assert read("json", "date.jsonl", date)[0]["c"] != "2020-01-01"
    mixed = '{"c": 1}\n{"c": "1"}\n'
    assert [row["c"] for row in read("json", "mixed.jsonl", mixed)] != [1, "1"]
    assert read("csv", "zeros.csv", "c\n007\n")[0]["c"] != "007"
    moved = read("csv", "moved.csv", "a,b\n1,2,3\n4,5,6\n")
    assert moved[0]["a"] != 1  # a line with a field too many is moved, not refused


@pytest.mark.parametrize(("text", "said"), [
    ("a,b\n1,2\n", "a header line with 'c' in .*separated by commas"),
    ("a\tb\n1\t2\n", "a header line with 'c'"),
    ("c,c\n1,2\n", "two of that name"),
    ("a,c\n1\n", "2 fields in .* line 2, got 1"),
    ("a,c\n1,2,3\n", "2 fields in .* line 2, got 3"),
    ('a,c\n1,"x\n2,y\n', "CSV in .* line"),
])  # fmt: skip
def test_bad_tables_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BenchError, match=said):
        values(tmp_path / "t.csv", "c")


@pytest.mark.parametrize(("text", "said"), [
    ('{"c": 1, "c": 2}', "every key once"),
    ('{"c": 1', "JSON in .* line 1"),
    ("[1]", "a JSON object"),
    ('{"d": 1}', "one column 'c'"),
    ('{"c": "\\ud800"}', "whole characters"),
])  # fmt: skip
def test_bad_json_lines_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(BenchError, match=said):
        values(tmp_path / "t.jsonl", "c")


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("c\n" + "x" * 300_000 + "\n")
    assert len(values(tmp_path / "t.csv", "c")[0][0]) == 300_000
