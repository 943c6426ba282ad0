"""Whole runs beside those of another commit, and how many items are encoded in them.

    python scripts/speed/benchmark_runs.py [--against COMMIT] [--rounds 1] [--quick] [--json FILE]

Each run is a process of its own, on one thread; its CPU time is what the system booked for it,
imports included. The commits take turns, each with a cache of its own that a run of `zs` has filled
before. The other commit is checked out as a git worktree in a temporary folder. Encodes are the
items that pass the backbone's towers without gradients: all but the training steps'.
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from fair import Table, arguments, finish, spread

ROOT = Path(__file__).parents[2]
RUNS = {
    "dar on mini": "-m dar -s mini",
    "dar without dropout on mini": "-m dar --hp dropout=0 -s mini",
    "joint on mini": "-m joint -s mini",
    "mod-x on mini": "-m mod-x -s mini",
    "moe-adapter on mini": "-m moe-adapter -s mini",
    "codyra on mini-xtail": "-m codyra -s mini-xtail",
}
TASKS = ("photos", "gen-art", "products", "paintings", "cartoons", "sketches", "scans")
# The backbone was a class of another name once; a tower of either takes one batch.
COUNTED = """
import importlib, json, os, runpy
from pathlib import Path
import torch
seen = {"image": 0, "text": 0}
def count(tower, real):
    def call(self, x, *more, **words):
        seen[tower] += 0 if torch.is_grad_enabled() else len(x)
        return real(self, x, *more, **words)
    return call
for place in ("benchmark.backbones.backbone:Backbone", "benchmark.clip:Clip"):
    module, name = place.split(":")
    try:
        owner = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        continue
    for tower in seen:
        setattr(owner, tower, count(tower, getattr(owner, tower)))
try:
    runpy.run_module("benchmark", run_name="__main__")
finally:
    Path(os.environ["CL_BENCH_COUNTS"]).write_text(json.dumps(seen))
"""
PLAIN = "import runpy; runpy.run_module('benchmark', run_name='__main__')"


@dataclass(frozen=True)
class Ran:
    """CPU seconds of a run, items encoded, and the values of its record by row."""

    seconds: float
    encoded: int
    values: dict[tuple[object, ...], float]


@dataclass(frozen=True)
class Side:
    """One commit's checkout and cache."""

    name: str
    checkout: Path
    cache: Path

    def run(self, words: str) -> Ran:
        """One run from nothing but the cache."""
        with tempfile.TemporaryDirectory() as folder:
            counts, out = Path(folder, "counts.json"), Path(folder, "out")
            seconds = self.call(
                COUNTED, "run", *shlex.split(words), "--fresh", "--device", "cpu", "--display",
                "none", "--cache-dir", str(self.cache), "--output-dir", str(out), counts=counts,
            )  # fmt: skip
            (record,) = (p for p in out.rglob("*.parquet") if ".ranks" not in p.name)
            return Ran(seconds, sum(json.loads(counts.read_text()).values()), values_of(record))

    def call(self, code: str, *words: str, counts: Path = Path(os.devnull)) -> float:
        """CPU seconds of a command, user and system."""
        own = {"PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
        own |= {"CL_BENCH_COUNTS": str(counts), "CL_BENCH_CACHE": str(self.cache)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=self.checkout, capture_output=True, text=True, env=os.environ | own,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.name}, {' '.join(words)}: {done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def values_of(record: Path) -> dict[tuple[object, ...], float]:
    """What a record says, by stage, set, direction, metric and k."""
    keys = ("step", "eval_task", "direction", "metric", "k")
    rows = pq.read_table(record, columns=[*keys, "value"]).to_pylist()
    return {tuple(r[k] for k in keys): r["value"] for r in rows if r["value"] is not None}


@contextmanager
def sides_of(commit: str | None) -> Iterator[list[Side]]:
    """This checkout, and the other commit's if one is asked for and known here."""
    with tempfile.TemporaryDirectory() as folder:
        found = [Side("this checkout", ROOT, Path(folder, "cache-here"))]
        other, git = Path(folder, "other"), ["git", "-C", str(ROOT), "worktree"]
        if commit:
            made = subprocess.run(
                [*git, "add", "--detach", str(other), commit], capture_output=True
            )
            if made.returncode == 0:
                found.append(Side(commit, other, Path(folder, "cache-there")))
        try:
            yield found
        finally:
            if other.exists():
                subprocess.run([*git, "remove", "--force", str(other)], capture_output=True)


def runs(sides: list[Side], asked: argparse.Namespace, limit: str) -> Table:
    """Every run on every side, in turns."""
    table = Table("Whole runs, tiny backbone, warm cache" + limit)
    chosen = dict(list(RUNS.items())[: 1 if asked.quick else None])
    suites = sorted({words.rpartition(" ")[2] for words in chosen.values()})
    for side in sides:
        for suite in suites:
            side.run(f"-m zs -s {suite}{limit}")
    for name, words in chosen.items():
        found: list[list[Ran]] = [[] for _ in sides]
        for turn in range(asked.rounds):
            for i in range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides))):
                found[i].append(sides[i].run(words + limit))
        here = found[0]
        row = {"run": name, "CPU s": f"{statistics.median(r.seconds for r in here):.1f}",
               "encoded": str(here[0].encoded)}  # fmt: skip
        if len(sides) > 1:
            there = found[1]
            ratios = [a.seconds / b.seconds for a, b in zip(here, there, strict=True)]
            both = here[0].values.keys() & there[0].values.keys()
            far = max(abs(here[0].values[k] - there[0].values[k]) for k in both)
            row |= {f"CPU s, {sides[1].name}": f"{statistics.median(r.seconds for r in there):.1f}",
                    "this / other": spread(ratios), "encoded there": str(there[0].encoded),
                    "largest difference of a value": f"{far:.4f}"}  # fmt: skip
        table.rows.append(row)
        print(row, flush=True)
    if len(sides) > 1:
        table.remarks.append(
            "since numerics 2, dropout draws for the tokens that are computed, which are fewer: "
            "a run with dropout differs by more than rounding, and the row of dar without dropout "
            "shows whether anything else changed"
        )
    if asked.against and len(sides) == 1:
        table.remarks.append(f"commit {asked.against} is not known here: no ratios")
    table.show()
    return table


def commands(sides: list[Side], rounds: int) -> Table:
    """Commands that read records; each checkout has its own."""
    table = Table("Commands")
    for name in ("ls dar", "tables --check", "tables --check, again"):
        words = name.removesuffix(", again").split()
        found: list[list[float]] = [[] for _ in sides]
        for _ in range(rounds):
            for side, seconds in zip(sides, found, strict=True):
                seconds.append(side.call(PLAIN, *words))
        row = {"command": name, "CPU s": f"{statistics.median(found[0]):.2f}"}
        if len(sides) > 1:
            row[f"CPU s, {sides[1].name}"] = f"{statistics.median(found[1]):.2f}"
            row["this / other"] = spread([a / b for a, b in zip(*found, strict=True)])
        table.rows.append(row)
    table.remarks.append(f"{len(list((ROOT / 'results').rglob('*.parquet')))} records in this one")
    table.show()
    return table


def by_tasks(side: Side, counts: tuple[int, ...], rounds: int, limit: str) -> Table:
    """How a run of DAR grows: stages and adapters with the tasks, evaluations with their square."""
    table, costs = Table("A run of `dar` by tasks, mini" + limit), {}
    for n in counts:
        words = f"-m dar -s mini --order {','.join(TASKS[:n])}{limit}"
        ran = [side.run(words) for _ in range(rounds)]
        costs[n] = statistics.median(r.seconds for r in ran)
        table.rows.append({"tasks": str(n), "CPU s": spread([r.seconds for r in ran]),
                           "encoded": str(ran[0].encoded)})  # fmt: skip
    slope, _ = statistics.linear_regression(list(costs), list(costs.values()))
    table.remarks.append(f"one more task costs {slope:.2f} s (least squares)")
    table.show()
    return table


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--against", metavar="COMMIT", help="to have ratios to")
    asked = parser.parse_args()
    with sides_of(asked.against) as sides:
        if asked.quick:
            few = " --limit 24 --epochs 1"
            tables = [runs(sides, asked, few), by_tasks(sides[0], (1, 2), 1, few)]
        else:
            tables = [runs(sides, asked, ""), commands(sides, asked.rounds)]
            tables.append(by_tasks(sides[0], (1, 3, 5, 7), asked.rounds, " --limit 120"))
    finish(tables, asked)


if __name__ == "__main__":
    main()
