"""Files that are no records: links, pipes, bombs. Nothing hangs, fills memory or gets through."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forger import codes, copied, found, honest

from benchmark.errors import BenchError
from benchmark.records.answers import AnswerKey, Evidence, Where
from benchmark.records.evidence import MOST_BYTES, read_evidence, write_evidence
from benchmark.records.store import METADATA_KEY, read_record

FT = "ft--forward--s42"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    copied(tmp_path / "results", FT)
    return tmp_path / "results"


def only(results: Path, path: Path) -> set[str]:
    findings = found(results)
    assert {one.path for one in findings} == {path}, [one.line() for one in findings]
    return codes(findings)


def test_special_files_are_never_opened(results: Path) -> None:
    """A pipe would wait for ever, a device never end."""
    place = results / "mini-xtail"
    secret = results.parent / "secret"
    secret.write_text("secret")
    made = {
        "pipe.parquet": lambda path: os.mkfifo(path),
        "link.parquet": lambda path: path.symlink_to(secret),
        "zero.parquet": lambda path: path.symlink_to("/dev/zero"),
        "folder.parquet": lambda path: path.mkdir(),
        "loop.parquet": lambda path: path.symlink_to(path),
        "notes.txt": lambda path: path.write_text("x"),
        "run.evidence": lambda path: path.write_bytes(b"x"),
        "script.py": lambda path: path.write_text("raise SystemExit(0)"),
        "..parquet": lambda path: path.write_bytes(b"x"),
        "a b.parquet": lambda path: path.write_bytes(b"x"),
        "\u202etxt.parquet": lambda path: path.write_bytes(b"x"),
    }
    for name, make in made.items():
        make(place / name)
    (results / "elsewhere").symlink_to(results.parent)
    (results / "README.md").write_text("x")
    (place / "deep").mkdir()
    findings = found(results)
    assert codes(findings) == {"V02"}
    names = {one.path.name for one in findings}
    assert names == {*made, "elsewhere", "README.md", "deep"}
    assert all(one.line().isprintable() and "secret" not in one.got for one in findings)


def test_evidence_that_is_a_link_is_not_followed(results: Path) -> None:
    path = next(results.glob("*/*.evidence"))
    other = results.parent / "evidence"
    path.rename(other)
    path.symlink_to(other)
    assert codes(found(results)) == {"V02", "V09"}


def test_evidence_larger_than_any(results: Path) -> None:
    path = next(results.glob("*/*.evidence"))
    with path.open("r+b") as file:
        file.truncate(MOST_BYTES + 1)
    assert codes(found(results)) == {"V02", "V09"}


def bomb(results: Path, table: pa.Table, **options: object) -> Path:
    path = results / "mini-xtail" / "lwf--tiny-s--forward--s42.parquet"
    pq.write_table(table, path, compression="zstd", **options)
    assert path.stat().st_size < 200_000
    return path


def table_of(name: str = FT) -> pa.Table:
    """An honest record's table, with its provenance."""
    forged = honest(name)
    from benchmark.records.schema import SCHEMA

    metadata = {METADATA_KEY: json.dumps(forged.about).encode()}
    return pa.Table.from_pylist(forged.rows, schema=SCHEMA).replace_schema_metadata(metadata)


def replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), column)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_one_long_text_in_every_row(results: Path) -> None:
    """40 MB once in the file, 11 GB when each row has its copy."""
    table, big = table_of(), "x" * (40 * 2**20)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * len(table), pa.int32()), pa.array([big]))
    at = table.schema.get_field_index("eval_title")
    path = bomb(results, table.set_column(at, "eval_title", column), store_schema=False)
    before = peak_mib()
    assert only(results, path) == {"V01"}
    assert peak_mib() - before < 700


@pytest.mark.slow
def test_many_rows(results: Path) -> None:
    """Every row is the same, so that the file is small."""
    table = table_of().slice(0, 1)
    rows = pa.concat_tables([table] * 210_000).combine_chunks()
    path = bomb(results, rows)
    assert only(results, path) == {"V01"}


def test_two_to_the_31_rows_declared(results: Path) -> None:
    """The footer says so; nothing else does."""
    path = results / "mini-xtail" / "lwf--tiny-s--forward--s42.parquet"
    pq.write_table(table_of(), path)
    content = path.read_bytes()
    n = len(table_of())
    before, after = zigzag(n), zigzag(2**31)
    # The footer's number of rows stands after the field's head, type i64.
    at = content.rindex(b"\x16" + before)
    size = int.from_bytes(content[-8:-4], "little") + len(after) - len(before)
    changed = content[: at + 1] + after + content[at + 1 + len(before) : -8]
    path.write_bytes(changed + size.to_bytes(4, "little") + b"PAR1")
    assert only(results, path) == {"V01"}


def zigzag(value: int) -> bytes:
    """An integer as Thrift's compact protocol writes it."""
    rest, out = value << 1, bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000 + "]" * 60_000,
        '{"a":' * 15_000 + "1" + "}" * 15_000,
        '{"asked": NaN}',
        "{",
        "[]",
    ],
)
def test_a_provenance_that_is_deep_or_no_json(results: Path, text: str) -> None:
    table = table_of().replace_schema_metadata({METADATA_KEY: text.encode()})
    path = bomb(results, table, store_schema=False)
    assert only(results, path) == {"V01"}


def test_a_provenance_of_odd_types_is_no_traceback(tmp_path: Path) -> None:
    """Whatever JSON can hold at a place where something else is expected."""
    odd: tuple[Any, ...] = (None, [], {}, "x", 1, -1e300, True, ["\ud800"], {"x": {"y": []}})
    parts = (
        "asked", "code", "data", "method", "weights", "order", "seconds", "reports", "command",
        "created", "parameters", "shared", "identity", "evidence", "transform", "unofficial",
    )  # fmt: skip
    for number, part in enumerate(parts):
        forged = honest(FT)
        forged.about[part] = odd[number % len(odd)]
        forged.sealed = part != "evidence"
        path = forged.write(tmp_path / part)
        assert isinstance(found(tmp_path / part), list), path
    for number, place in enumerate(("config", "recipe", "seed", "order", "limit", "evals")):
        forged = honest(FT)
        forged.about["asked"][place] = odd[(number + 3) % len(odd)]
        forged.write(tmp_path / place)
        assert codes(found(tmp_path / place)) & {"V01", "V03"}, place


def test_evidence_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    """One payload that stands once, and is that of many rows."""
    path = tmp_path / "run.evidence"
    n = 2**22
    key = AnswerKey("pairs", np.ones(n, np.int64))
    answers: dict[Where, Any] = {("a", "i2t", step): np.zeros(n, np.int64) for step in range(2)}
    write_evidence(path, Evidence({"a": key}, answers, "x"))
    file = pq.ParquetFile(path)
    table = file.read()
    many = pa.concat_tables([table.slice(1, 1)] * 3000)
    about = file.metadata.metadata[b"cl_bench_evidence"]
    pq.write_table(
        many.replace_schema_metadata({b"cl_bench_evidence": about}), path, compression="zstd",
        store_schema=False, use_dictionary=True, dictionary_pagesize_limit=2**30,
    )  # fmt: skip
    assert path.stat().st_size < MOST_BYTES
    before = peak_mib()
    with pytest.raises(BenchError) as caught:
        read_evidence(path)
    assert caught.value.code == 5
    assert peak_mib() - before < 700


def test_a_record_that_lies_about_its_pages_stays_within_the_ceiling(tmp_path: Path) -> None:
    """Where the footer says little, and a page is large: the ceiling on memory holds."""
    results = tmp_path / "results"
    copied(results, FT)
    table = table_of()
    big = pa.array(["y" * (60 * 2**20)] + ["a"] * (len(table) - 1))
    path = bomb(results, replaced(table, "error", big), use_dictionary=False, data_page_size=2**30)
    content = path.read_bytes()
    declared = pq.ParquetFile(path).metadata.row_group(0)
    index = [f.name for f in table.schema].index("error")
    size = declared.column(index).total_uncompressed_size
    path.write_bytes(content.replace(zigzag(size), zigzag(2**21 + 7)[: len(zigzag(size))]))
    before = peak_mib()
    assert codes(found(results)) == {"V01"}
    assert peak_mib() - before < 700


def test_nothing_of_a_change_is_imported_or_run(tmp_path: Path) -> None:
    """A folder of results with code in it, as the current directory."""
    copied(tmp_path / "results", FT)
    trap = "import pathlib; pathlib.Path('ran').write_text('')\n"
    for name in ("conftest.py", "sitecustomize.py", "numpy.py", "results/mini-xtail/ft.py"):
        (tmp_path / name).write_text(trap)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").write_text("")
    (tmp_path / "methods" / "sota.py").write_text(trap)
    code = (
        "import sys; sys.path = [p for p in sys.path if p]; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from benchmark.validation.inspect import inspect\n"
        "from benchmark.validation.code_book import CodeBook\n"
        "from benchmark.validation.ledger import Ledger\n"
        "findings, n = inspect(Path('results'), book=CodeBook(Ledger(), git=False))\n"
        "assert n == 1 and 'torch' not in sys.modules and 'methods.ft' not in sys.modules\n"
        "print(sorted({one.code for one in findings}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert done.stdout.strip() == "['V02', 'V04']"
    assert not (tmp_path / "ran").exists()


def test_reading_a_pipe_as_a_record_is_refused_at_once(tmp_path: Path) -> None:
    """`tables` and `show` read by the same function."""
    os.mkfifo(tmp_path / "x.parquet")
    with pytest.raises(BenchError):
        read_record(tmp_path / "x.parquet")
