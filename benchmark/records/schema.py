"""What a record is: its columns, and the checks that make it trustworthy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import BenchError
from .naming import file_stem

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
KNOWN_VERSIONS = frozenset({1, SCHEMA_VERSION})  # 1 has no evidence, and no identity


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCHEMA: pa.Schema = pa.schema(
    [
        _required("schema_version", pa.int16()),
        _required("suite", pa.string()),
        _required("suite_version", pa.string()),
        _required("method", pa.string()),
        _required("variant", pa.string()),
        _required("settings", pa.string()),
        _required("backbone", pa.string()),
        _required("pretrained", pa.string()),
        _required("order", pa.string()),
        _required("task_order", pa.string()),
        _required("seed", pa.int32()),
        _required("step", pa.int16()),
        _required("n_steps", pa.int16()),
        pa.field("step_task", pa.string()),
        _required("eval_task", pa.string()),
        _required("eval_title", pa.string()),
        pa.field("eval_position", pa.int16()),
        _required("role", pa.string()),
        _required("kind", pa.string()),
        pa.field("direction", pa.string()),
        _required("metric", pa.string()),
        pa.field("k", pa.int16()),
        pa.field("value", pa.float64()),
        pa.field("hits", pa.int64()),
        _required("n_queries", pa.int64()),
        _required("n_gallery", pa.int64()),
        pa.field("label_space", pa.string()),
        _required("uses", pa.string()),
        _required("status", pa.string()),
        pa.field("error", pa.string()),
        _required("source", pa.string()),
        pa.field("source_ref", pa.string()),
    ]
)
IDENTITY = (
    "suite", "suite_version", "method", "variant", "settings", "backbone", "pretrained", "order",
    "task_order", "seed", "n_steps", "uses",
)  # fmt: skip
CELL = ("step", "eval_task", "direction", "metric", "k")
_ALLOWED: dict[str, frozenset[str]] = {
    "role": frozenset({"seen", "current", "future", "ood"}),
    "kind": frozenset({"pairs", "labelled"}),
    "direction": frozenset({"i2t", "t2i", "image", "text"}),
    "metric": frozenset({"hit", "acc", "route"}),
    "label_space": frozenset({"own", "union"}),
    "status": frozenset({"ok", "failed", "oom", "skipped", "not_applicable", "missing_data"}),
    "source": frozenset({"measured", "paper"}),
}
_REQUIRED = tuple(field.name for field in SCHEMA if not field.nullable)
_WORDS = frozenset((*_REQUIRED, *IDENTITY, *_ALLOWED))


def to_pandas(table: pa.Table) -> "pd.DataFrame":
    """A table of `SCHEMA` as a frame; only what needs one imports pandas, which takes a while."""
    import pandas as pd

    # Nullable integers keep a missing k apart from 0 and never turn counts into floats.
    kinds = {
        pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()
    }  # fmt: skip
    frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get)
    return frame


@cache
def dtypes() -> Mapping[str, object]:
    """The dtypes of `SCHEMA` in a frame."""
    return dict(to_pandas(SCHEMA.empty_table()).dtypes)


class InvalidRecord(BenchError):
    """A record that cannot be trusted (code 5).

    Attributes:
        check: code of the check that it fails, see `validation.findings`.
    """

    check = "V01"


def invalid(path: Path, expected: str, got: str, check: str = "V01") -> InvalidRecord:
    """The error of a record that cannot be trusted, naming the file and the remedy."""
    fix = "restore the file from version control, or delete it and repeat its run"
    error = InvalidRecord(f"{expected} in '{path}'", got, fix, code=5)
    error.check = check
    return error


Complaint = tuple[str, str]
Columns = Mapping[str, Sequence[Any]]
"""Column of `SCHEMA` -> its value in every row, None where there is none."""


def columns_of(frame: "pd.DataFrame") -> Columns:
    """The columns of a frame as plain values."""
    plain = frame.astype(object)
    plain = plain.where(frame.notna(), None)
    return {str(name): plain[name].tolist() for name in plain.columns}


def _at(columns: Columns, row: int) -> str:
    """Where a row is, for an error message."""
    cell = ((name, columns[name][row]) for name in CELL)
    return ", ".join(f"{name} {value}" for name, value in cell if value is not None)


def _wrong(columns: Columns, wrong: list[bool]) -> str | None:
    """Where the first wrong row is, None for none."""
    return _at(columns, wrong.index(True)) if True in wrong else None


def _check_shape(frame: "pd.DataFrame") -> Iterator[Complaint]:
    for name, dtype in dtypes().items():
        if name not in frame.columns:
            yield f"a column '{name}'", "none"
        elif frame[name].dtype != dtype:
            yield f"column '{name}' of dtype {dtype}", str(frame[name].dtype)
    if len(frame.columns) != len(SCHEMA.names):
        yield "no other columns than the schema's", f"{len(frame.columns)} columns"


def _check_columns(columns: Columns) -> Iterator[Complaint]:
    if not columns["step"]:
        yield "at least one row", "none"
    words = {name: set(columns[name]) for name in _WORDS}
    for name in _REQUIRED:
        if None in words[name]:
            yield f"a value in every row of '{name}'", "nulls"
    if len(words["schema_version"]) != 1 or not words["schema_version"] <= KNOWN_VERSIONS:
        known = " or ".join(map(str, sorted(KNOWN_VERSIONS)))
        yield f"one schema version, {known}", str(sorted(words["schema_version"]))
    for name in IDENTITY:
        if len(words[name]) > 1:
            yield f"one run, hence one '{name}'", str(sorted(words[name])[:3])
    for name, allowed in _ALLOWED.items():
        strange = words[name] - allowed - {None}
        if strange:
            yield f"'{name}' among {', '.join(sorted(allowed))}", f"'{min(strange)}'"


def _check_steps(columns: Columns) -> Iterator[Complaint]:
    tasks = columns["task_order"][0].split(",")
    n_steps = columns["n_steps"][0]
    if n_steps != len(tasks):
        yield f"one step for each of the {len(tasks)} tasks learned", f"n_steps {n_steps}"
    position = {task: number for number, task in enumerate(tasks, start=1)}
    evaluated, places = columns["eval_task"], columns["eval_position"]
    wrong = [position.get(e, 0) != (p or 0) for e, p in zip(evaluated, places, strict=True)]
    if (where := _wrong(columns, wrong)) is not None:
        yield "eval_position to be the place in task_order (null if held out)", where
    have = set(zip(columns["step"], evaluated, strict=True))
    names = {name for _, name in have}
    if names & set(tasks):  # a record of held-out sets alone has none of them
        names |= set(tasks)
    for step in sorted({step for step, _ in have} | set(range(n_steps + 1))):
        if not 0 <= step <= n_steps:
            yield f"steps between 0 and {n_steps}", f"step {step}"
        missing = [name for name in sorted(names) if (step, name) not in have]
        if missing:
            yield f"every evaluation set at step {step}", f"none for '{missing[0]}'"


def _check_once(columns: Columns) -> Iterator[Complaint]:
    first: dict[tuple[Any, ...], int] = {}
    for row, cell in enumerate(zip(*(columns[name] for name in CELL), strict=True)):
        if first.setdefault(cell, row) != row:
            yield "every cell once", f"two rows for {_at(columns, row)}"


def _check_cells(columns: Columns) -> Iterator[Complaint]:
    ok = [status == "ok" for status in columns["status"]]
    both = list(zip(ok, columns["value"], columns["hits"], strict=True))
    filled = [not o and (v is not None or h is not None) for o, v, h in both]
    empty = [o and (v is None or h is None) for o, v, h in both]
    if (where := _wrong(columns, filled)) is not None:
        yield "no value where the status is not ok", f"one at {where}"
    if (where := _wrong(columns, empty)) is not None:
        yield "value and hits where the status is ok", f"none at {where}"
    yield from _check_counts(columns, ok)


def _check_counts(columns: Columns, ok: list[bool]) -> Iterator[Complaint]:
    values, hits, queries = columns["value"], columns["hits"], columns["n_queries"]
    counts = list(zip(ok, hits, queries, values, strict=True))
    wrong = [o and not (0 <= h <= q and q >= 1) for o, h, q, _ in counts]
    if (where := _wrong(columns, wrong)) is not None:
        first = wrong.index(True)
        got = f"{hits[first]} of {queries[first]} at {where}"
        yield "0 <= hits <= n_queries and at least one query", got
    off = [o and abs(h / max(q, 1) - v) > 1e-12 for o, h, q, v in counts]
    if (where := _wrong(columns, off)) is not None:
        yield "value == hits / n_queries", f"value {values[off.index(True)]} at {where}"
    metrics, ks = columns["metric"], columns["k"]
    without_k = [m != "acc" and k is None for m, k in zip(metrics, ks, strict=True)]
    if (where := _wrong(columns, without_k)) is not None:
        yield "a k for every hit and route", f"null at {where}"
    recall = [o and metric == "hit" for o, metric in zip(ok, metrics, strict=True)]
    names = ("k", "step", "eval_task", "direction", "hits")
    rows = zip(*(columns[name] for name in names), strict=True)
    yield from _check_growth([row for row, kept in zip(rows, recall, strict=True) if kept])


def _check_growth(recall: list[tuple[Any, ...]]) -> Iterator[Complaint]:
    """Recall cannot fall as K grows: a record in which it does was computed wrongly."""
    highest: dict[tuple[int, str, str], int] = {}
    for k, step, task, direction, hits in sorted(recall, key=itemgetter(0)):
        if hits < highest.get((step, task, direction), 0):
            got = f"fewer at step {step}, {task} {direction}, k {k}"
            yield "hits that do not fall as k grows", got
        highest[step, task, direction] = hits


_CHECKS: Mapping[Callable[[Columns], Iterator[Complaint]], str] = {
    _check_columns: "V01", _check_steps: "V07", _check_once: "V07", _check_cells: "V08",
}  # fmt: skip


def validate_rows(columns: Columns, path: Path) -> None:
    """Check that a record is whole and consistent.

    Args:
        columns: of the rows of one run.
        path: named in the error.

    Raises:
        BenchError: code 5 and the first thing that is wrong: no row, a null where a value must be,
            more than one run, an unknown word, a step that lacks an evaluation set, a cell given
            twice, a count out of range, value != hits / n_queries (tolerance 1e-12), recall that
            falls as k grows, a value beside a status other than ok.
    """
    for check, code in _CHECKS.items():
        for expected, got in check(columns):
            raise invalid(path, expected, got, code)


def validate_content(frame: "pd.DataFrame", path: Path) -> None:
    """Check columns and dtypes of a frame, and its rows as `validate_rows` does.

    Args:
        frame: the rows of one run with the dtypes of `SCHEMA` (see `store.to_frame`).
        path: named in the error.

    Raises:
        BenchError: code 5 and the first thing that is wrong.
    """
    for expected, got in _check_shape(frame):
        raise invalid(path, expected, got)
    validate_rows(columns_of(frame), path)


def validate_name(row: Mapping[str, Any], path: Path) -> None:
    """Check that a record's file name is the one that its content gives.

    Args:
        row: of the run.
        path: where it lies or will lie; only its stem is compared.

    Raises:
        BenchError: code 5, for another name.
    """
    method, variant, settings = row["method"], row["variant"], row["settings"]
    stem = file_stem(method, variant, settings, row["backbone"], row["order"], int(row["seed"]))
    if path.stem != stem:
        raise invalid(path, f"the content that its name says, '{path.stem}'", f"'{stem}'")


def validate(frame: "pd.DataFrame", path: Path) -> None:
    """Both checks of a record before it is written: `validate_content` and its name."""
    validate_content(frame, path)
    validate_name({name: values[0] for name, values in columns_of(frame).items()}, path)
