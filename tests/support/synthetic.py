"""Whole runs from closed formulas: what a record would hold, without a model."""

import zlib
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.records.answers import AnswerKey, Evidence, Integers, Where
from benchmark.records.evidence import evidence_file, write_evidence
from benchmark.records.naming import file_stem, suite_folder
from benchmark.records.store import Record, write_record
from benchmark.tables import render
from benchmark.tables.figures.charts import KINDS
from benchmark.validation.findings import Standing

Row = dict[str, Any]
N = 1000
SHAPES = {"dots": "pairs", "lines": "pairs", "waves": "pairs"}
FEW = {"leaves": "labelled", "coins": "labelled", "birds": "labelled"}
STARS = {"stars": "labelled"}
PAPER = dict.fromkeys(
    ("flickr30k", "lexica-sd", "wikiart", "kream", "flintstones", "sketch", "rocov2"), "pairs"
)
DOMAINS = tuple(
    f"domainnet-{domain}"
    for domain in ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
)
PAPER_HELD_OUT = {
    **dict.fromkeys(("imagenet", "cifar100", "eurosat", *DOMAINS), "labelled"),
    **dict.fromkeys(("coco", "nocaps"), "pairs"),
}
SKILL = {
    "zs": 0,
    "ft": 150,
    "ewc": 200,
    "dar": 300,
    "joint": 400,
    "aaa": 100,
    "mod-x": 180,
    "l2p": 120,
}


def score(method: str, seed: int, step: int, place: int, task_number: int) -> int:
    """Hits of N at k = 1: zero-shot skill, a gain once learned, a loss with every later step."""
    start = 400 - 60 * task_number
    if method == "zs" or step == 0:
        return start
    if step < place:
        return start - 5 * step
    return start + SKILL[method] - 20 * (step - place) + 3 * seed


def held_out_score(method: str, seed: int, step: int, number: int) -> int:
    """Hits of N on the held-out set of that number: they fall; seeds differ but on the first."""
    return 500 + 20 * number - (0 if method == "zs" or not step else 10 * step - seed * number)


def one(task: str, kind: str, hits: int, direction: str | None, k: int | None, **more: Any) -> Row:
    return {
        "eval_task": task, "eval_title": task.capitalize(), "kind": kind, "direction": direction,
        "metric": "hit" if k else "acc", "k": k, "hits": hits, "n_queries": N, "n_gallery": N,
        "value": hits / N, "label_space": None if k else "own", "status": "ok",
        "source": "measured", **more,
    }  # fmt: skip


def of_set(task: str, kind: str, hits: int, **more: Any) -> list[Row]:
    """All scores of one set: a caption set has three K, and 7 hits more from text to image."""
    if kind == "labelled":
        return [one(task, kind, hits, None, None, **more)]
    gains = {1: 0, 5: 90, 10: 180}
    return [
        one(task, kind, hits + gains[k] + 7 * (direction == "t2i"), direction, k, **more)
        for direction, k in product(("i2t", "t2i"), gains)
    ]


def make_rows(
    suite: str,
    tasks: dict[str, str],
    method: str,
    order: str,
    seed: int,
    held_out: dict[str, str] = STARS,
    **more: Any,
) -> list[Row]:
    """A whole run with its held-out sets."""
    learned = list(tasks) if order == "forward" else list(tasks)[::-1]
    run = {
        "suite": suite, "suite_version": "1.0", "method": method, "variant": "", "settings": "",
        "backbone": "tiny", "pretrained": "seed-0", "order": order, "n_steps": len(tasks),
        "task_order": ",".join(learned), "seed": seed,
        "uses": "features,samples" if method == "dar" else "", **more,
    }  # fmt: skip
    rows = []
    for step in range(len(tasks) + 1):
        now = run | {"step": step, "step_task": learned[step - 1] if step else None}
        for number, (task, kind) in enumerate(held_out.items()):
            hits = held_out_score(method, seed, step, number)
            rows += of_set(task, kind, hits, **now, role="ood")
        for number, (task, kind) in enumerate(tasks.items()):
            place = learned.index(task) + 1
            role = "current" if place == step else "seen" if place < step else "future"
            hits = score(method, seed, step, place, number)
            rows += of_set(task, kind, hits, **now, eval_position=place, role=role)
    return rows


def spoil(rows: list[Row], step: int, *tasks: str, status: str = "oom") -> list[Row]:
    """The same run, but some sets could not be scored at one step."""
    for row in rows:
        if row["step"] == step and row["eval_task"] in tasks:
            row.update(status=status, value=None, hits=None)
    return rows


def answers(rows: list[Row]) -> Evidence:
    """What each query got, so that the hits are those of the rows.

    Every image has one caption. The images of a set that a method answers are the first so many in
    an order of that method, the same for all its runs.
    """
    keys: dict[str, AnswerKey] = {}
    found: dict[Where, Integers] = {}
    for row in rows:
        task, step = row["eval_task"], row["step"]
        keys.setdefault(task, _key(row["kind"]))
        if row["hits"] is None or row["metric"] not in ("hit", "acc"):
            continue
        seed = zlib.crc32(f"{task} {row['method']}".encode())
        place_Q = np.random.default_rng(seed).permutation(N)
        right_Q = place_Q < row["hits"]
        where = task, row["direction"], step
        if row["metric"] == "acc":
            found[where] = np.where(right_Q, keys[task].value_N, (keys[task].value_N + 1) % N)
        else:
            level_Q = found.setdefault(where, np.full(N, 3, np.int64))
            better = {1: 0, 5: 1, 10: 2}[row["k"]]
            found[where] = np.where(right_Q, np.minimum(level_Q, better), level_Q)
    return Evidence(keys, found, "synthetic")


def _key(kind: str) -> AnswerKey:
    if kind == "pairs":
        return AnswerKey("pairs", np.ones(N, np.int64))
    return AnswerKey("labelled", np.arange(N, dtype=np.int64))


def save(
    folder: Path, rows: list[Row], about: dict[str, Any] | None = None, evidence: bool = True
) -> Path:
    """Write a record, and with it what each of its queries got."""
    r = rows[0]
    stem = file_stem(r["method"], r["variant"], r["settings"], r["backbone"], r["order"], r["seed"])
    path = folder / suite_folder(r["suite"]) / f"{stem}.parquet"
    costs = {"parameters": {"trainable": 1_234_567}, "state_bytes": [0, 4096, 12288]}
    about = about or (costs if r["method"] == "dar" else {})
    if evidence:
        about = {**about, "evidence": dict(write_evidence(evidence_file(path), answers(rows)))}
    write_record(path, rows, about)
    return path


def trusting(records: Sequence[Record]) -> dict[Path, Standing]:
    """What validation would say of honest records: no made one names a commit."""
    return {record.path: Standing("evidence") for record in records}


build_tables = partial(render.build_tables, standings_of=trusting)
check_tables = partial(render.check_tables, standings_of=trusting)


def build(folder: Path, out: Path) -> dict[str, str]:
    """All that is generated from a folder of records: file name -> text.

    Of pictures, the bytes as latin-1.
    """
    paths = build_tables(folder, out / "tables", out / "leaderboard.md")
    return {
        path.name: path.read_bytes().decode("latin-1" if path.suffix[1:] in KINDS else "utf-8")
        for path in paths
    }
