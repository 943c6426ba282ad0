"""How far two runs of one identity agree: every score by its hits, every query by its answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import quoted
from ...records.evidence import Evidence, Where
from ...records.replays import Cells, Verdict
from ...records.schema import CELL, SCHEMA

_SCORE = ("status", "hits", "n_queries", "n_gallery")
_NO_PART = frozenset({*CELL, *_SCORE, "value", "error", "schema_version", "source_ref"})
_SAID = tuple(name for name in SCHEMA.names if name not in _NO_PART)
"""Columns that say what a score is of: titles, badges, roles. None may differ."""
_INPUTS = ("weights.sha256", "data.train", "data.test", "data.reference", "order.tasks")
_COSTS = ("method.label", "method.paper", "parameters", "state_bytes", "inference_bytes")

_NONE = "not there"

Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class RunOutcome:
    """What a run gave.

    Attributes:
        frame: the rows of a record, of some stages or all.
        evidence: its answers, where there are any.
        about: the parts of a record's provenance that say what it came from and what it kept.
    """

    frame: pd.DataFrame
    evidence: Evidence | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """How far two runs agree.

    Attributes:
        verdict: "equal" where nothing differs; "within tolerance" where scores differ by no more
            than that and nothing else does; "different".
        largest: difference of two scores, in percentage points. compared: number of scores.
        queries: number of answers that were compared; otherwise: those among them that differ.
        others: what differs beside scores and answers, each in a few words.
        scores, answers: what differs there, likewise, in the order of the record.
    """

    verdict: Verdict
    largest: float
    compared: int
    queries: int
    otherwise: int
    others: tuple[str, ...]
    scores: tuple[str, ...]
    answers: tuple[str, ...]


def compare(made: RunOutcome, now: RunOutcome, cells: Cells, tolerance: float) -> Agreement:
    """Compare a run with what a record says of it.

    Args:
        made: the record.
        now: the new run.
        cells: all stages, the last one, or the untouched backbone (canary).
        tolerance: largest difference of a score that counts as agreement, in percentage points.
    """
    steps = _steps(made.frame, cells)
    parts = _INPUTS if cells == "canary" else _INPUTS + _COSTS
    others = list(_parts(made.about, now.about, parts))
    then, again = (_rows(one.frame, steps) for one in (made, now))
    others += _columns(then, again)
    largest, scores = 0.0, []
    for key in (*then, *(again.keys() - then.keys())):
        points, text = _score(key, then.get(key), again.get(key))
        if text is None:
            continue
        scores.append(text)
        if points is None:
            others.append(text)
        else:
            largest = max(largest, points)
    queries, otherwise, answers = 0, 0, list[str]()
    if made.evidence is not None and now.evidence is not None:
        others += _keys(made.evidence, now.evidence)
        queries, otherwise, answers, missing = _answers(made.evidence, now.evidence, steps)
        others += missing
    verdict: Verdict = "different"
    if not others:
        if not scores and not otherwise:
            verdict = "equal"
        elif tolerance > 0 and largest <= tolerance + 1e-9:
            verdict = "within tolerance"
    return Agreement(
        verdict, largest, len({*then, *again}), queries, otherwise, tuple(others), tuple(scores),
        tuple(answers),
    )  # fmt: skip


def _steps(frame: pd.DataFrame, cells: Cells) -> frozenset[int]:
    last = int(frame["n_steps"].iloc[0])
    chosen = {"all": range(last + 1), "last": (last,), "canary": (0,)}
    return frozenset(chosen[cells])


# -- what a run came from, and what it kept


def _parts(
    made: Mapping[str, Any], now: Mapping[str, Any], parts: tuple[str, ...]
) -> Iterator[str]:
    for part in parts:
        one, other = _at(made, part), _at(now, part)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            name = next(n for n in (*one, *other) if one.get(n, _NONE) != other.get(n, _NONE))
            part = f"{part} of {quoted(name)}"
            one, other = one.get(name, _NONE), other.get(name, _NONE)
        yield f"{part}: {quoted(one)}, now {quoted(other)}"


def _at(about: Mapping[str, Any], part: str) -> Any:
    value: Any = about
    for name in part.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# -- scores


def _rows(frame: pd.DataFrame, steps: frozenset[int]) -> dict[Key, Row]:
    kept = frame[frame["step"].isin(sorted(steps))]
    plain = kept.astype(object).where(kept.notna(), None)
    names = [str(name) for name in plain]
    rows: list[Row] = [dict(zip(names, row, strict=True)) for row in plain.itertuples(index=False)]
    return {tuple(row[name] for name in CELL): row for row in rows}


def _columns(then: Mapping[Key, Row], again: Mapping[Key, Row]) -> Iterator[str]:
    """The first difference in every column that says what a score is of."""
    shared = [key for key in then if key in again]
    for name in _SAID:
        for key in shared:
            one, other = then[key][name], again[key][name]
            if one != other:
                yield f"{name} at {_cell(key)}: {quoted(one)}, now {quoted(other)}"
                break


def _score(key: Key, made: Row | None, now: Row | None) -> tuple[float | None, str | None]:
    """Points between two scores, None where they cannot be compared; text where they differ."""
    if key[CELL.index("metric")] == "route":  # a place that no item was routed to has no row
        made, now = made or _none(now), now or _none(made)
    where = _cell(key)
    if made is None or now is None:
        there = "the record has it, the run has not" if now is None else "only the run has it"
        return None, f"{where}: {there}"
    one, other = (tuple(row[name] for name in _SCORE) for row in (made, now))
    if one == other:
        return 0.0, None
    text = f"{where}: {_told(made)}, now {_told(now)}"
    same = made["n_queries"] == now["n_queries"] and made["n_gallery"] == now["n_gallery"]
    if not same or not made["status"] == now["status"] == "ok":
        return None, text
    return 100 * abs(made["hits"] - now["hits"]) / made["n_queries"], text


def _none(row: Row | None) -> Row | None:
    return None if row is None else {**row, "hits": 0}


def _told(row: Row) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    gallery = f" in {row['n_gallery']}" if row["n_gallery"] else ""
    return f"{row['hits']} of {row['n_queries']}{gallery}"


def _cell(key: Key) -> str:
    step, task, direction, metric, k = key
    parts = [_shown(task), *([str(direction)] if direction is not None else []), str(metric)]
    return f"step {step}, {' '.join(parts)}" + ("" if k is None else f" {k}")


def _shown(task: str) -> str:
    """A set's name as it is, or in escapes where it would be more than text on a terminal."""
    return task if task.isprintable() and len(task) <= 80 else quoted(task)


# -- answers


def _keys(made: Evidence, now: Evidence) -> Iterator[str]:
    for task in (*made.keys, *(now.keys.keys() - made.keys.keys())):
        one, other = made.keys.get(task), now.keys.get(task)
        if one is None or other is None or one.digest() != other.digest():
            yield f"what is right in {quoted(task)}"


def _answers(
    made: Evidence, now: Evidence, steps: frozenset[int]
) -> tuple[int, int, list[str], list[str]]:
    """Number of answers, of those that differ, where these are, and what cannot be compared."""
    queries, otherwise = 0, 0
    texts: list[str] = []
    missing: list[str] = []
    places: list[Where] = [w for w in made.answers if w[2] in steps]
    places += [w for w in now.answers if w[2] in steps and w not in made.answers]
    for task, direction, step in places:
        one, other = (e.answers.get((task, direction, step)) for e in (made, now))
        where = f"step {step}, {_shown(task)}" + ("" if direction is None else f" {direction}")
        if one is None or other is None or len(one) != len(other):
            missing.append(f"answers at {where}: not to the same queries")
            continue
        count = int(np.count_nonzero(one != other))
        queries, otherwise = queries + len(one), otherwise + count
        if count:
            texts.append(f"{where}: {count} of {len(one)} queries answered otherwise")
    return queries, otherwise, texts, missing
