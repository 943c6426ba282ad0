"""Run all benchmarks of a CPU and write docs/performance.md: half an hour, on an idle machine.

    python scripts/speed/performance.py [--against COMMIT] [--quick] [--out FILE]

Each script is a process of its own on one thread and says itself what its sides do. Nothing is in
the page that a script did not measure.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fair import Table, machine

HERE = Path(__file__).parent
BASE = "94d5761"
INTRODUCTION = """# Performance

Written by `make benchmarks` (`scripts/speed/performance.py`); every number here was measured by
the script that is named above it. Times are CPU time on one thread. Ways take turns in one process
(whole runs: in processes of their own, with the largest difference of a value instead of a check),
after it was checked that they give the same; "first /
this" is the first row's time over that of the row, below 1 where the first is faster: the median
over the rounds and, in brackets, the quartiles.
"""


def script(name: str, *words: str) -> list[Table]:
    """The tables of one script; one that fails stops all, as a page without it would mislead."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "tables.json")
        print(f"== {name} {' '.join(words)}", flush=True)
        subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *words, "--json", str(out)],
            check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found = json.loads(out.read_text())
    return [Table(**t) for t in found]


def data_path(quick: bool) -> Table:
    """The last line of benchmark_cache.py as a table."""
    words = ["--images", "512", "--batches", "8"] if quick else []
    done = subprocess.run(
        [sys.executable, str(HERE / "benchmark_cache.py"), *words],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return Table(
        "Reading images of 224 px, batches of 256, wall time, two workers for Pillow",
        [{"way": "JPEGs decoded by Pillow in a DataLoader", "images/s": str(found["pillow"])},
         {"way": "the prepared cache", "images/s": str(found["cache"])},
         {"way": "the cache's one preparation, then a read", "images/s": str(found["prepared"])}],
        [f"the cache over Pillow: {found['ratio']:.1f}; decoding once counted, it has paid for "
         f"itself after {found['pays after']:.1f} passes over the data"],
    )  # fmt: skip


def markdown(table: Table) -> str:
    """A section of the page."""
    names = list(dict.fromkeys(name for row in table.rows for name in row))
    lines = [f"### {table.title}", ""]
    if names:
        lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        cells = ([row.get(n, "").replace("|", "\\|") for n in names] for row in table.rows)
        lines += ["| " + " | ".join(row) + " |" for row in cells]
        lines.append("")
    return "\n".join([*lines, *(f"{r}\n" for r in table.remarks)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default=BASE, help="the commit whole runs are compared with")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "docs" / "performance.md")
    asked = parser.parse_args()
    quick, start = ["--quick"] if asked.quick else [], time.monotonic()
    sections = {
        "Training steps: `benchmark_steps.py`": script("benchmark_steps", *quick),
        "Mixed batches of adapters: `benchmark_routing.py`": script("benchmark_routing", *quick),
        "Recall: `benchmark_recall.py`": script("benchmark_recall", *quick),
        "Class prompts: `benchmark_prompts.py`": script("benchmark_prompts", *quick),
        "Growth: `benchmark_growth.py`": script("benchmark_growth", *quick),
        "Data path: `benchmark_cache.py`": [data_path(asked.quick)],
        "Whole runs: `benchmark_runs.py`": script(
            "benchmark_runs", "--against", asked.against, *quick
        ),
    }  # fmt: skip
    lines = [INTRODUCTION, *(f"- {k}: {v}" for k, v in machine().items())]
    lines.append(f"- it took {(time.monotonic() - start) / 60:.0f} minutes\n")
    if asked.quick:
        lines.append("**A quick look at small sizes: these numbers are not to be quoted.**\n")
    for title, tables in sections.items():
        lines += [f"## {title}\n", *(markdown(t) for t in tables)]
    asked.out.write_text("\n".join(lines).rstrip() + "\n")
    print(f"written: {asked.out}")


if __name__ == "__main__":
    main()
