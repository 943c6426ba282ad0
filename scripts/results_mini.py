"""Runs everything that is committed under results/mini again and compares it.

    python scripts/results_mini.py            # into results/, where a finished record is kept
    python scripts/results_mini.py --again    # into scratch/again, then compared with results/

Numbers agree bit for bit on one machine; another processor or library rounds differently.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmark.results import read_record

METHODS = ("zs", "ft", "joint", "lora-ft", "dar")
ORDERS = ("forward", "reverse")
SEEDS = (42, 43, 44)
AGAIN = Path("scratch") / "again"


def run(again: bool) -> None:
    """One process a method and order, three seeds each."""
    for method in METHODS:
        for order in ORDERS:
            command = [sys.executable, "-m", "benchmark", "run", "--suite", "mini"]
            command += ["--method", method, "--order", order, "--display", "plain"]
            command += [word for seed in SEEDS for word in ("--seed", str(seed))]
            if again:
                command += ["--output-dir", str(AGAIN)]
            start = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            print(f"{method} {order}: {time.monotonic() - start:.0f} s", flush=True)


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
