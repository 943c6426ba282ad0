"""Records: round trip, hostile files, names, and writes that fail half way."""

import errno
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.common.source import content_sha
from benchmark.errors import BenchError
from benchmark.records.bounded import plain_columns
from benchmark.records.evidence import evidence_file, read_evidence
from benchmark.records.naming import file_stem, method_label
from benchmark.records.provenance import validate_provenance
from benchmark.records.schema import SCHEMA, SCHEMA_VERSION, columns_of, validate
from benchmark.records.store import (
    METADATA_KEY,
    read_record,
    read_records,
    read_results,
    to_frame,
    write_record,
)
from benchmark.run.provenance.code import rewritten, unchanged
from benchmark.run.provenance.numerics import NUMERICS

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden" / "records"
TASKS = ("a", "b")
Row = dict[str, Any]


def cell(step: int, task: str, direction: str | None, k: int | None, hits: int) -> Row:
    position = TASKS.index(task) + 1 if task in TASKS else None
    return {
        "suite": "golden", "suite_version": "1.0", "method": "ft", "variant": "", "settings": "",
        "backbone": "tiny", "pretrained": "seed-0", "order": "forward",
        "task_order": ",".join(TASKS), "seed": 3, "step": step, "n_steps": len(TASKS),
        "step_task": TASKS[step - 1] if step else None, "eval_task": task,
        "eval_title": task.upper(), "eval_position": position,
        "role": "ood" if position is None else "seen", "kind": "pairs" if k else "labelled",
        "direction": direction, "metric": "hit" if k else "acc", "k": k, "value": hits / 10,
        "hits": hits, "n_queries": 10, "n_gallery": 10, "label_space": None if k else "own",
        "uses": "", "status": "ok", "source": "measured",
    }  # fmt: skip


def good_rows() -> list[Row]:
    rows = []
    for step in range(len(TASKS) + 1):
        rows.append(cell(step, "held-out", None, None, 9 - step))
        for task in TASKS:
            for direction in ("i2t", "t2i"):
                rows += [cell(step, task, direction, k, 2 + step + k // 5) for k in (1, 5, 10)]
    return rows


PROVENANCE = {"state_bytes": 0, "parameters": {"trainable": 12}, "config": {"lr": 1e-4}}
NAME = "ft--tiny--forward--s3.parquet"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "golden" / NAME
    write_record(target, good_rows(), PROVENANCE)
    return target


def test_round_trip(path: Path) -> None:
    record = read_record(path)
    validate(record.frame, path)
    assert record.provenance == PROVENANCE
    pd.testing.assert_frame_equal(record.frame, to_frame(good_rows()))
    assert record.frame["k"].isna().sum() == 3
    assert [p.name for p in path.parent.iterdir()] == [NAME]


def test_same_rows_same_bytes(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "other" / NAME
    write_record(again, good_rows(), dict(reversed(PROVENANCE.items())))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_every_version_load(version: int) -> None:
    """The files under golden/records/v<n> are never rewritten."""
    (record,) = read_records(GOLDEN / f"v{version}")
    seal = record.provenance.pop("evidence", None)
    assert record.provenance == PROVENANCE
    frame = to_frame([{**row, "schema_version": version} for row in good_rows()])
    pd.testing.assert_frame_equal(record.frame, frame)
    assert (seal is not None) == (version > 1)
    if seal is not None:
        evidence = read_evidence(evidence_file(record.path), seal)
        names = ["eval_task", "direction", "step", "metric", "k", "hits", "n_queries"]
        rows = record.frame[names].astype(object)
        whole = rows.where(rows.notna(), None).itertuples(index=False, name=None)
        told = {tuple(row[:5]): tuple(row[5:]) for row in whole}
        assert evidence.hits() == told


def test_names() -> None:
    assert method_label("dar") == "dar"
    assert method_label("dar", "r8", "rank=8,epochs=2") == "dar.r8+rank=8+epochs=2"
    assert method_label("dar", "", "targets=q,v,rank=8") == "dar+targets=q,v+rank=8"
    stem = file_stem("dar", "r8", "lr=1e-4", "hf/ViT B", "random:7", 0)
    assert stem == "dar.r8+lr=1e-4--hf-ViT-B--random-7--s0"
    long = [file_stem("ft", "", f"x={'y' * 300}{n}", "b", "forward", 0) for n in range(2)]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 200


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def refused(path: Path, word: str) -> None:
    with pytest.raises(BenchError, match=word) as caught:
        read_records(path.parent.parent)
    assert caught.value.code == 5
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 50, -1, -400])
def test_truncated(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "whole parquet")


def test_every_flipped_byte_is_refused_or_harmless(path: Path) -> None:
    whole, expected = path.read_bytes(), read_record(path)
    for at in range(4, len(whole), 97):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            record = read_record(path)
            validate(record.frame, path)
        except BenchError:
            continue
        pd.testing.assert_frame_equal(record.frame, expected.frame)


def test_text_renamed(path: Path) -> None:
    path.write_text("method,value\nft,0.5\n")
    refused(path, "damaged or foreign")


def test_foreign_parquet(path: Path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(path)
    refused(path, "without its provenance")


def test_newer_schema(path: Path) -> None:
    newer = pa.array([SCHEMA_VERSION + 1] * len(good_rows()), pa.int16())
    rewrite(path, lambda t: t.set_column(0, "schema_version", newer).append_column("new", newer))
    refused(path, "upgrade cl-bench")


def test_missing_extra_and_mistyped_columns(path: Path) -> None:
    original = path.read_bytes()
    rewrite(path, lambda t: t.drop_columns(["hits"]))
    refused(path, "one column 'hits'")
    path.write_bytes(original)
    rewrite(path, lambda t: t.append_column("mine", t["seed"]))
    refused(path, "mine")
    path.write_bytes(original)
    at = SCHEMA.get_field_index("seed")
    rewrite(path, lambda t: t.set_column(at, "seed", t["seed"].cast(pa.float32())))
    refused(path, "'seed' of type int32")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda rows: rows + rows[:1], "every cell once"),
        (lambda rows: rows[0].update(hits=11, value=1.1), "0 <= hits"),
        (lambda rows: rows[0].update(hits=-1, value=-0.1), "0 <= hits"),
        (lambda rows: rows[0].update(hits=0, n_queries=0), "at least one query"),
        (lambda rows: rows[0].update(value=0.899999), "value == hits"),
        (lambda rows: rows[0].update(value=float("nan")), "value and hits"),
        (lambda rows: rows[0].update(status="oom"), "no value where"),
        (lambda rows: rows[0].update(status="crashed"), "'status' among"),
        (lambda rows: rows[3].update(hits=1, value=0.1), "as k grows"),
        (lambda rows: rows[0].update(seed=4), "one 'seed'"),
        (lambda rows: rows[1].update(eval_position=2), "eval_position"),
        (lambda rows: rows[0].update(eval_position=1), "eval_position"),
        (lambda rows: [r for r in rows if (r["step"], r["eval_task"]) != (1, "b")], "at step 1"),
        (lambda rows: [r for r in rows if r["step"] < 2], "at step 2"),
        (lambda rows: [r for r in rows if r["eval_task"] != "b"], "'b'"),
        (lambda rows: [{**r, "n_steps": 3} for r in rows], "n_steps 3"),
        (lambda rows: [{**r, "method": "ewc"} for r in rows], "the content that its name says"),
        (lambda rows: [{**r, "suite": "other"} for r in rows], "the folder says"),
    ],
)
def test_inconsistent_rows(path: Path, change: Callable[[list[Row]], Any], word: str) -> None:
    rows = good_rows()
    write_record(path, change(rows) or rows, PROVENANCE)
    refused(path, word)


def test_an_empty_record_is_refused(path: Path) -> None:
    write_record(path, [], PROVENANCE)
    refused(path, "at least one row")


def test_a_failed_cell_is_valid(path: Path) -> None:
    rows = good_rows()
    rows[-1].update(status="oom", error="OutOfMemoryError", value=None, hits=None)
    write_record(path, rows, PROVENANCE)
    assert read_results(path.parent.parent)["status"].tolist().count("oom") == 1


def test_a_single_record_is_judged_too(path: Path) -> None:
    renamed = path.with_name("copy.parquet")
    path.rename(renamed)
    assert len(read_record(renamed).frame) == len(good_rows())
    for rows, word in (([], "at least one row"), (good_rows() + good_rows()[:1], "cell once")):
        write_record(path, rows, PROVENANCE)
        with pytest.raises(BenchError, match=word) as caught:
            read_record(path)
        assert caught.value.code == 5


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"code": None}, "code"),
        ({"code": {"commit": 1}}, "code.commit"),
        ({"code": {"numerics": "1"}}, "code.numerics"),
        ({"code": {"sha256": 1}}, "code.sha256"),
        ({"method": {"sha256": None}}, "method.sha256"),
        ({"asked": {"recipe": []}}, "asked.recipe"),
        ({"data": {"train": {"a": 7}}}, r"data\.train\.\*"),
        ({"seconds": {"train": "long"}}, r"seconds\.\*"),
        ({"peak_memory": {"train": {"process_mib": None}}}, r"peak_memory\.\*\.\*"),
        ({"unofficial": "dirty"}, "unofficial"),
        ({"reports": {}}, "reports"),
        ({"reports": [{}, [1]]}, r"reports\.\*"),
        ({"unofficial": [1]}, r"unofficial\.\*"),
    ],
)
def test_provenance_of_another_type(path: Path, wrong: dict[str, Any], place: str) -> None:
    write_record(path, good_rows(), wrong)
    refused(path, f"provenance '{place}' of type")


def test_a_route_needs_its_index(path: Path) -> None:
    rows = good_rows()
    write_record(path, [*rows, rows[-1] | {"metric": "route", "k": None}], PROVENANCE)
    refused(path, "a k for every hit and route")


def test_misuse_by_a_caller() -> None:
    with pytest.raises(ValueError, match="valeu"):
        to_frame([{"valeu": 1}])
    with pytest.raises(ValueError, match="JSON"):
        write_record(Path("never.parquet"), good_rows(), {"loss": float("nan")})


def test_results_folder(path: Path, tmp_path: Path) -> None:
    (path.parent / "x.ranks.parquet").write_text("not read")
    (path.parent / ".part-killed.parquet").write_text("left behind by a killed process")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "limited.parquet").write_text("not read")
    assert len(read_results(tmp_path)) == len(good_rows())
    empty = tmp_path / "empty"
    empty.mkdir()
    assert read_results(empty).columns.tolist() == SCHEMA.names
    with pytest.raises(BenchError, match="no folder") as caught:
        read_results(tmp_path / "absent")
    assert caught.value.code == 4


def test_absent_record(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        read_record(tmp_path / "none.parquet")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disk_full(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(BenchError, match="No space left") as caught:
        write_record(path, good_rows()[:5], {})
    assert caught.value.code == 6
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [NAME]


def test_no_torch() -> None:
    modules = "benchmark.records.store, benchmark.tables.render, benchmark.metrics.continual"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_committed_records_are_of_their_code_until_their_method_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were made before there was a number are of numerics 1."""
    edited = tmp_path / "edited.py"
    edited.write_text("x = 1")
    known = set(rewritten().values())
    paths = sorted((ROOT / "results").glob("*/*.parquet"))
    assert paths
    for path in paths:
        about = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
        validate_provenance(about, path)
        assert about["unofficial"] == []
        name = path.name.partition("--")[0].partition(".")[0].replace("-", "_")
        file = ROOT / "methods" / f"{name}.py"
        now = content_sha(file)
        monkeypatch.setattr(
            "benchmark.run.provenance.code.NUMERICS", about["code"].get("numerics", 1)
        )
        # Each, while the file has the content that the records were made again with.
        assert unchanged(about, now, file) or now not in known, path
        assert not unchanged(about, content_sha(edited), edited), path


@pytest.mark.slow
def test_every_committed_record_is_valid() -> None:
    assert len(read_records(ROOT / "results")) >= 540


# ---- scripts/results.py -------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("results_script", ROOT / "scripts/results.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.weights_of = lambda backbone, weights: "weights-1"
    return module


@pytest.fixture
def plan(tmp_path: Path) -> SimpleNamespace:
    """What the script reads of a plan."""
    request = SimpleNamespace(order="forward", seed=42, output_dir=None, cache_dir=tmp_path)
    file = tmp_path / "ft.py"
    file.write_text("before there were numerics")
    method = SimpleNamespace(name="ft", variant="", sha="method-1", file=file)
    target = tmp_path / "mini" / NAME
    return SimpleNamespace(
        request=request, method=method, backbone="tiny-s", code="code-1", target=target,
        suite=SimpleNamespace(name="mini"), weights="bundled", asked={"config": {"lr": 1.0}},
    )  # fmt: skip


def made_by(
    code: str,
    method: str,
    weights: str = "weights-1",
    numerics: int | None = NUMERICS,
    asked: Row | None = None,
    **changes: Any,
) -> Row:
    made = {"code": code, "method": method, "weights": weights}
    about: Row = {part: {"sha256": sha} for part, sha in made.items()}
    about["code"] |= {} if numerics is None else {"numerics": numerics}
    about["asked"] = asked or {"config": {"lr": 1.0}}
    about["evidence"] = {"schema": 1, "sha256": "0" * 64, "bytes": 1}
    return PROVENANCE | about | changes


BYTES = hashlib.sha256(b"before there were numerics").hexdigest()


@pytest.mark.parametrize(
    ("made", "runs"),
    [
        (("code-1", "method-1"), 0),
        (("code-0", "method-1"), 0),  # moved or rewritten: no number is another
        (("code-1", "method-0"), 1),
        (("code-1", "method-1", "weights-0"), 1),
        (("code-1", "method-1", "weights-1", NUMERICS + 1), 1),
        (("code-0", BYTES, "weights-1", None), 1),  # of numerics 1
        (("code-0", BYTES, "weights-1", 1), 1),
        (("code-0", "method-0", "weights-1", None), 1),
        (("code-1", "method-1", "weights-1", NUMERICS, {"config": {"lr": 2.0}}), 1),
    ],
)
def test_a_record_of_other_code_is_made_again(
    script: ModuleType,
    plan: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    made: tuple[Any, ...],
    runs: int,
) -> None:
    commands = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        write_record(plan.target, good_rows(), made_by("code-1", "method-1"))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(script.subprocess, "run", run)
    write_record(plan.target, good_rows(), made_by(*made))
    script.run([plan])
    assert len(commands) == runs
    assert all(str(plan.request.cache_dir) in command for command in commands)
    script.run([plan, plan])  # taken up again, everything is there
    assert len(commands) == runs


def test_a_committed_record_without_evidence_is_made_again(
    script: ModuleType, plan: SimpleNamespace
) -> None:
    plan.request.output_dir = None
    for about, current in (
        (made_by("code-1", "method-1"), True),
        (made_by("code-1", "method-1", evidence=None), False),
    ):
        write_record(plan.target, good_rows(), about)
        assert script.is_current(plan) == current


def test_what_is_compared_was_made_by_these_libraries_on_this_processor(
    script: ModuleType, plan: SimpleNamespace, tmp_path: Path
) -> None:
    plan.request.output_dir = tmp_path
    here = {"versions": script.versions(), "hardware": script.hardware()}
    for changes, current in (
        ({}, True),
        # It shows that an edit of the harness changed nothing: it is made by the edited one.
        ({"code": {"sha256": "code-0", "numerics": NUMERICS}}, False),
        ({"method": {"sha256": "method-0"}}, False),
        ({"versions": here["versions"] | {"torch": "1.0"}}, False),
        ({"hardware": here["hardware"] | {"cpu": "another"}}, False),
        ({"hardware": here["hardware"] | {"threads": 64}}, True),
    ):
        record = {**made_by("code-1", "method-1"), **here, **changes}
        write_record(plan.target, good_rows(), record)
        assert script.is_current(plan) == current
        plan.target.unlink()


def test_every_family_is_run_once_and_every_name_exists(script: ModuleType) -> None:
    from benchmark.run.registry import find_method, method_names
    from benchmark.suites.names import EMBEDDED

    for suite, families in script.FAMILIES.items():
        runs = [(f.backbone, row, seed) for f in families for row in f.rows for seed in f.seeds]
        assert len(set(runs)) == len(runs)
        rows = {row for _, row, _ in runs}
        assert all(find_method(row, []).cls.label for row in rows)
        assert all(f.orders_in(suite) for f in families)
        names = {row.partition(".")[0] for row in rows}
        if suite == "mini-peft":  # the rows of a table alone
            assert names == {"zs", "lora", "codyra"}
        elif suite != "mini":
            assert names == set(method_names())
    mini = [row for family in script.FAMILIES["mini"] for row in family.rows]
    dar = {name.partition(".")[2] for name in mini if name.startswith("dar.")}
    assert dar == set(find_method("dar", []).cls.variants)
    assert script.FAMILIES.keys() == script.ORDERS.keys() == set(EMBEDDED)


def test_a_run_that_leaves_no_record_of_this_code_ends_the_script(
    script: ModuleType, plan: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = SimpleNamespace(returncode=3)
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: code)
    with pytest.raises(SystemExit, match="exit code 3"):
        script.run([plan])
    code.returncode = 0
    for left in (None, b"damaged", "old"):
        if isinstance(left, bytes):
            plan.target.parent.mkdir(exist_ok=True)
            plan.target.write_bytes(left)
        elif left:
            write_record(plan.target, good_rows(), PROVENANCE)
        with pytest.raises(SystemExit, match="no record of this code"):
            script.run([plan])


def test_the_comparison_fails_on_every_difference(
    script: ModuleType,
    plan: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    committed = tmp_path / "committed" / "mini"
    monkeypatch.setattr(script, "COMMITTED", committed.parent)
    write_record(committed / NAME, good_rows(), PROVENANCE)
    assert script.compare([plan], 100.0) == 1
    assert "not run again" in capsys.readouterr().out
    reverse = tmp_path / "mini" / NAME.replace("forward", "reverse")
    other = SimpleNamespace(target=reverse, suite=plan.suite)
    assert script.compare([other], 100.0) == 1
    assert f"{other.target.name}: not committed" in capsys.readouterr().out

    def again(rows: list[Row], tolerance: float = 0.0) -> int:
        write_record(plan.target, rows, PROVENANCE)
        code: int = script.compare([plan], tolerance)
        return code

    assert again(good_rows()) == 0
    one_more = good_rows()
    one_more[0].update(hits=10, value=1.0)
    assert again(one_more) == 1
    assert "differs by 10.00 points" in capsys.readouterr().out
    assert again(one_more, 9.9) == 1
    assert again(one_more, 10.0) == 0
    hole = good_rows()
    hole[0].update(hits=None, value=None, status="oom")
    assert again(hole, 100.0) == 1
    assert again([row for row in good_rows() if row["k"] != 10], 100.0) == 1
    routes = [row | {"metric": "route", "k": 0} for row in good_rows() if row["k"] == 1]
    assert again(good_rows() + routes) == 0


def test_columns_are_what_arrow_says() -> None:
    """In one piece and in several, with nulls, and with numbers that are none."""
    numbers = pa.chunked_array([pa.array([1, None, 3]), pa.array([], pa.int64()), pa.array([4])])
    texts = pa.chunked_array([pa.array(["a", None, "b"]), pa.array(["b"])]).dictionary_encode()
    values = pa.array([0.5, None, float("nan"), 1.0])
    table = pa.table({"n": numbers, "t": texts, "v": values, "none": pa.nulls(4, pa.int16())})
    found = plain_columns(table)
    assert found == {
        "n": [1, None, 3, 4], "t": ["a", None, "b", "b"], "v": [0.5, None, None, 1.0],
        "none": [None] * 4,
    }  # fmt: skip
    assert {type(value) for column in found.values() for value in column} == {
        int, float, str, type(None)
    }  # fmt: skip
    same = pa.table({"t": pa.array(["x"] * 3).dictionary_encode()})
    assert plain_columns(same) == {"t": ["x"] * 3}


def test_frame_and_columns_say_the_same(path: Path) -> None:
    record = read_record(path)
    assert columns_of(record.frame) == record.columns
    rows = to_frame(good_rows())
    plain = rows.astype(object).where(rows.notna(), None)
    assert list(record.taken(*SCHEMA.names)) == list(plain.itertuples(index=False, name=None))
    assert record.row == dict(zip(SCHEMA.names, next(record.taken(*SCHEMA.names)), strict=True))
