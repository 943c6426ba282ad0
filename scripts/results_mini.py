"""Runs everything that is committed under results/mini again and compares it.

    python scripts/results_mini.py            # into results/, where a finished record is kept
    python scripts/results_mini.py --again    # into scratch/again, then compared with results/

Numbers agree bit for bit on one machine; another processor or library rounds differently.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmark.results import read_record

METHODS = ("zs", "dar", "ft", "lora-ft", "joint")
ORDERS = ("forward", "reverse")
SEEDS = (42, 43, 44)
AGAIN = Path("scratch") / "again"


def run_one(job: tuple[str, str, int, bool]) -> None:
    """One run in a process of its own, on one thread."""
    method, order, seed, again = job
    command = [sys.executable, "-m", "benchmark", "run", "--suite", "mini", "--seed", str(seed)]
    command += ["--method", method, "--order", order, "--display", "plain"]
    command += ["--output-dir", str(AGAIN)] if again else []
    start = time.monotonic()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    print(f"{method} {order} {seed}: {time.monotonic() - start:.0f} s", flush=True)


def run(again: bool) -> None:
    """All runs, two at a time: faster than one on two threads, and free of the core count."""
    start = time.monotonic()
    jobs = [(m, o, s, again) for m in METHODS for s in SEEDS for o in ORDERS]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_one, jobs))
    print(f"{len(jobs)} runs in {(time.monotonic() - start) / 60:.0f} minutes", flush=True)


def compare() -> int:
    """Largest difference of any score to the committed one; returns an exit code."""
    worst, missing = 0.0, []
    for path in sorted(Path("results/mini").glob("[!.]*.parquet")):
        mine = AGAIN / "mini" / path.name
        if not mine.exists():
            missing.append(path.name)
            continue
        old, new = read_record(path).frame, read_record(mine).frame
        keys = ["step", "eval_task", "direction", "metric", "k"]
        scores = [f[f["metric"] != "route"].set_index(keys)["value"] for f in (old, new)]
        worst = max(worst, float((scores[0] - scores[1]).abs().max()))
    print(f"largest difference of a score: {100 * worst:.2f} points; missing: {missing or 'none'}")
    return 1 if missing else 0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="run elsewhere and compare")
    again = parser.parse_args().again
    run(again)
    if again:
        sys.exit(compare())


if __name__ == "__main__":
    main()
