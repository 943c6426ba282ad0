"""Results of replays: what was written is read, and nothing else is taken for one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import BenchError
from benchmark.records.replays import (
    Replay,
    digests,
    read_replay,
    replay_file,
    replay_of,
    write_replay,
)

GOOD = Replay(
    record="a" * 64, evidence="b" * 64, verdict="within tolerance", cells="all", tolerance=0.5,
    largest=0.25, compared=90, queries=1600, otherwise=3, date="2026-11-28T17:16:34+00:00",
    commit="c" * 40, same_code=True, device="cuda", machine="NVIDIA H100 80GB HBM3",
)  # fmt: skip


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Two files of any content: a replay knows them by their digests alone."""
    (tmp_path / "mini").mkdir()
    path = tmp_path / "mini" / "ft--tiny-s--forward--s42.parquet"
    path.write_bytes(b"record")
    path.with_suffix(".evidence").write_bytes(b"evidence")
    return path


def of(record: Path, **changes: Any) -> Replay:
    made, evidence = digests(record)
    return replace(GOOD, record=made, evidence=evidence, **changes)


def test_what_was_written_is_read(record: Path) -> None:
    path = write_replay(record, of(record))
    assert path == record.parent / "replays" / "ft--tiny-s--forward--s42.json"
    assert read_replay(path) == replay_of(record) == of(record)
    assert of(record).record == hashlib.sha256(b"record").hexdigest()
    assert replay_of(record.with_name("zs--tiny-s--forward--s42.parquet")) is None


def test_it_is_of_the_very_files_that_lie_there(record: Path) -> None:
    write_replay(record, of(record))
    record.with_suffix(".evidence").write_bytes(b"other evidence")
    assert replay_of(record) is None
    record.with_suffix(".evidence").unlink()
    assert replay_of(record) is None
    record.with_suffix(".evidence").write_bytes(b"evidence")
    assert replay_of(record) is not None
    record.write_bytes(b"other record")
    assert replay_of(record) is None


def test_a_record_without_evidence_can_be_replayed(record: Path) -> None:
    record.with_suffix(".evidence").unlink()
    replay = of(record, verdict="equal", largest=0.0, queries=0, otherwise=0)
    assert replay.evidence is None
    write_replay(record, replay)
    assert replay_of(record) == replay


def test_what_confirms_a_record() -> None:
    equal = replace(GOOD, verdict="equal", largest=0.0, otherwise=0)
    assert equal.confirms()
    assert replace(equal, cells="last").confirms()
    for change in ({"cells": "canary"}, {"same_code": False}, {"verdict": "different"}):
        assert not replace(equal, **change).confirms(100.0)
    # The tolerance that somebody chose is not the noise that was measured.
    assert not GOOD.confirms()
    assert not GOOD.confirms(0.2)
    assert GOOD.confirms(0.25)


WRONG: dict[str, Any] = {
    "record": ["A" * 64, "a" * 63, 7, None],
    "evidence": ["", 7],
    "verdict": ["good", "Equal", "equal", None],  # equal beside a difference
    "cells": ["some", 1],
    "tolerance": [-1, 101, "0.5", True, None, 0.1],  # 0.1 is less than what was found
    "largest": [-0.1, 1e9, None],
    "compared": [0, -1, 1.5, True, 2**80],
    "queries": [2, -1],  # fewer than those that differ
    "otherwise": [-1, None, 1e400],
    "date": ["yesterday", "2026-11-28T17:16:34", 5],
    "commit": ["HEAD", "c" * 39, None],
    "same_code": ["yes", 1, None],
    "device": ["tpu", ""],
    "machine": ["a\nb", "\x1b[2J", "x" * 301, 5, "\u202egnp"],
    "form": [2, "1", True],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_a_value_that_cannot_be(record: Path, name: str, value: Any) -> None:
    path = write_replay(record, of(record))
    content = json.loads(path.read_text()) | {name: value}
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError) as e:
        replay_of(record)
    assert e.value.code == 5


def _without(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda content: json.dumps({k: v for k, v in content.items() if k != name})


FILES: dict[str, Callable[[dict[str, Any]], str]] = {
    "empty": lambda _: "",
    "no JSON": lambda _: "equal",
    "a list": lambda content: json.dumps([content]),
    "cut": lambda content: json.dumps(content)[:-2],
    "another entry": lambda content: json.dumps(content | {"note": "trust me"}),
    "NaN": lambda content: json.dumps(content | {"largest": float("nan")}),
    "deep": lambda _: "[" * 10_000,
    "long": lambda content: json.dumps(content) + " " * 20_000,
    **{f"no {name}": _without(name) for name in asdict(GOOD)},
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_none(record: Path, kind: str) -> None:
    path = write_replay(record, of(record))
    path.write_text(FILES[kind](json.loads(path.read_text())))
    with pytest.raises(BenchError) as e:
        replay_of(record)
    assert e.value.code == 5
    assert str(path) in str(e.value)


def test_a_file_that_is_not_there(record: Path) -> None:
    with pytest.raises(BenchError) as e:
        read_replay(replay_file(record))
    assert e.value.code == 4
