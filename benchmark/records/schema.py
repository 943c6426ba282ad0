"""What a record is: its columns, and the checks that make it trustworthy."""

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import BenchError
from .naming import file_stem

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
# Nullable integers keep a missing k apart from 0 and never turn counts into floats.
INTEGERS = {
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
}
DTYPES: dict[str, object] = dict(SCHEMA.empty_table().to_pandas(types_mapper=INTEGERS.get).dtypes)


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
Mask = NDArray[np.bool_]


def _at(frame: pd.DataFrame, wrong: Mask) -> str:
    """Where the first wrong row is, for an error message."""
    row = frame.iloc[int(wrong.argmax())]
    return ", ".join(f"{name} {row[name]}" for name in CELL if not pd.isna(row[name]))


def _check_shape(frame: pd.DataFrame) -> Iterator[Complaint]:
    for name, dtype in DTYPES.items():
        if name not in frame.columns:
            yield f"a column '{name}'", "none"
        elif frame[name].dtype != dtype:
            yield f"column '{name}' of dtype {dtype}", str(frame[name].dtype)
    if len(frame.columns) != len(DTYPES):
        yield "no other columns than the schema's", f"{len(frame.columns)} columns"
    if frame.empty:
        yield "at least one row", "none"


def _check_columns(frame: pd.DataFrame) -> Iterator[Complaint]:
    required = [field.name for field in SCHEMA if not field.nullable]
    for name in required:
        if frame[name].array.isna().any():
            yield f"a value in every row of '{name}'", "nulls"
    words = {name: set(frame[name].tolist()) for name in (*IDENTITY, *_ALLOWED, "schema_version")}
    if len(words["schema_version"]) != 1 or not words["schema_version"] <= KNOWN_VERSIONS:
        known = " or ".join(map(str, sorted(KNOWN_VERSIONS)))
        yield f"one schema version, {known}", str(sorted(words["schema_version"]))
    for name in IDENTITY:
        if len(words[name]) > 1:
            yield f"one run, hence one '{name}'", str(sorted(words[name])[:3])
    for name, allowed in _ALLOWED.items():
        # A null of a nullable column is a float NaN here, not a word.
        strange = {word for word in words[name] if isinstance(word, str)} - allowed
        if strange:
            yield f"'{name}' among {', '.join(sorted(allowed))}", f"'{min(strange)}'"


def _check_steps(frame: pd.DataFrame) -> Iterator[Complaint]:
    tasks = frame["task_order"].iloc[0].split(",")
    n_steps = int(frame["n_steps"].iloc[0])
    if n_steps != len(tasks):
        yield f"one step for each of the {len(tasks)} tasks learned", f"n_steps {n_steps}"
    position = {task: number for number, task in enumerate(tasks, start=1)}
    evaluated = frame["eval_task"].tolist()
    wanted = np.array([position.get(task, 0) for task in evaluated])
    wrong = wanted != frame["eval_position"].to_numpy(dtype=np.int64, na_value=0)
    if wrong.any():
        yield "eval_position to be the place in task_order (null if held out)", _at(frame, wrong)
    have = set(zip(frame["step"].tolist(), evaluated, strict=True))
    names = {name for _, name in have}
    if names & set(tasks):  # a record of held-out sets alone has none of them
        names |= set(tasks)
    for step in sorted({step for step, _ in have} | set(range(n_steps + 1))):
        if not 0 <= step <= n_steps:
            yield f"steps between 0 and {n_steps}", f"step {step}"
        missing = [name for name in sorted(names) if (step, name) not in have]
        if missing:
            yield f"every evaluation set at step {step}", f"none for '{missing[0]}'"


def _check_once(frame: pd.DataFrame) -> Iterator[Complaint]:
    doubled = frame[list(CELL)].duplicated().to_numpy()
    if doubled.any():
        yield "every cell once", f"two rows for {_at(frame, doubled)}"


def _check_cells(frame: pd.DataFrame) -> Iterator[Complaint]:
    ok = (frame["status"] == "ok").to_numpy(dtype=np.bool_)
    has_value, has_hits = (frame[name].notna().to_numpy() for name in ("value", "hits"))
    filled, empty = ~ok & (has_value | has_hits), ok & ~(has_value & has_hits)
    if filled.any():
        yield "no value where the status is not ok", f"one at {_at(frame, filled)}"
    if empty.any():
        yield "value and hits where the status is ok", f"none at {_at(frame, empty)}"
    yield from _check_counts(frame, ok)


def _check_counts(frame: pd.DataFrame, ok: Mask) -> Iterator[Complaint]:
    hits = frame["hits"].to_numpy(dtype=np.int64, na_value=0)
    queries = frame["n_queries"].to_numpy(dtype=np.int64)
    wrong = ok & ((hits < 0) | (hits > queries) | (queries < 1))
    if wrong.any():
        first = int(wrong.argmax())
        got = f"{hits[first]} of {queries[first]} at {_at(frame, wrong)}"
        yield "0 <= hits <= n_queries and at least one query", got
    value = frame["value"].to_numpy(dtype=np.float64)
    off = ok & (np.abs(hits / np.maximum(queries, 1) - value) > 1e-12)
    if off.any():
        yield "value == hits / n_queries", f"value {value[off.argmax()]} at {_at(frame, off)}"
    without_k = (frame["metric"] != "acc").to_numpy(dtype=np.bool_) & frame["k"].isna().to_numpy()
    if without_k.any():
        yield "a k for every hit and route", f"null at {_at(frame, without_k)}"
    recall = ok & (frame["metric"] == "hit").to_numpy(dtype=np.bool_)
    yield from _check_growth(frame.loc[recall, ["k", "step", "eval_task", "direction", "hits"]])


def _check_growth(recall: pd.DataFrame) -> Iterator[Complaint]:
    """Recall cannot fall as K grows: a record in which it does was computed wrongly."""
    highest: dict[tuple[int, str, str], int] = {}
    columns = (recall[name].tolist() for name in recall.columns)
    for k, step, task, direction, hits in sorted(zip(*columns, strict=True), key=itemgetter(0)):
        if hits < highest.get((step, task, direction), 0):
            got = f"fewer at step {step}, {task} {direction}, k {k}"
            yield "hits that do not fall as k grows", got
        highest[step, task, direction] = hits


_CHECKS: Mapping[Callable[[pd.DataFrame], Iterator[Complaint]], str] = {
    _check_shape: "V01", _check_columns: "V01", _check_steps: "V07", _check_once: "V07",
    _check_cells: "V08",
}  # fmt: skip


def validate_content(frame: pd.DataFrame, path: Path) -> None:
    """Check that a record is whole and consistent.

    Args:
        frame: the rows of one run with the dtypes of `SCHEMA` (see `store.to_frame`).
        path: named in the error.

    Raises:
        BenchError: code 5 and the first thing that is wrong: columns or dtypes, more than one run,
            an unknown word, a step that lacks an evaluation set, a cell given twice, a count out
            of range, value != hits / n_queries (tolerance 1e-12), recall that falls as k grows, a
            value beside a status other than ok.
    """
    for check, code in _CHECKS.items():
        for expected, got in check(frame):
            raise invalid(path, expected, got, code)


def validate_name(frame: pd.DataFrame, path: Path) -> None:
    """Check that a record's file name is the one that its content gives.

    Args:
        frame: the rows of one run.
        path: where it lies or will lie; only its stem is compared.

    Raises:
        BenchError: code 5, for another name.
    """
    row = frame.iloc[0]
    stem = file_stem(
        row["method"],
        row["variant"],
        row["settings"],
        row["backbone"],
        row["order"],
        int(row["seed"]),
    )
    if path.stem != stem:
        raise invalid(path, f"the content that its name says, '{path.stem}'", f"'{stem}'")


def validate(frame: pd.DataFrame, path: Path) -> None:
    """Both checks of a record before it is written: `validate_content` and `validate_name`."""
    validate_content(frame, path)
    validate_name(frame, path)
