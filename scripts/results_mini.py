"""Runs everything that is committed under results/mini again, and can compare it.

    python scripts/results_mini.py            # into results/; the code must be committed
    python scripts/results_mini.py --again    # into scratch/again, then compared with results/

A run is left out only where a record of the very same harness and method code is there, so that a
killed script goes on where it was. Scores agree bit for bit on one machine. Another processor or
another library rounds differently, and training makes more of it: there, give `--tolerance` a few
times the standard deviation over seeds that leaderboard.md shows (one image of a test set is 0.5
points).
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.errors import BenchError
from benchmark.request import Plan, Request, make_plan
from benchmark.results import read_record

METHODS = ("zs", "dar", "ft", "lora-ft", "joint")
ORDERS = ("forward", "reverse")
SEEDS = (42, 43, 44)
COMMITTED = Path("results") / "mini"
AGAIN = Path("scratch") / "again"
CELL = ["step", "eval_task", "direction", "metric", "k"]


def make_plans(again: bool) -> list[Plan]:
    """All runs as the command line would plan them."""
    folder = AGAIN if again else None
    return [
        make_plan(Request(method, order, "mini", seed=seed, output_dir=folder))
        for method in METHODS
        for seed in SEEDS
        for order in ORDERS
    ]


def is_current(plan: Plan) -> bool:
    """Whether the plan's record is there and was made by the code as it is now."""
    if not plan.target.exists():
        return False
    try:
        about = read_record(plan.target).provenance
    except BenchError:
        return False
    made = [about.get(part, {}).get("sha256") for part in ("code", "method")]
    return made == [plan.code, plan.found.sha]


def run_one(plan: Plan) -> None:
    """One run in a process of its own, on one thread; nothing where its record is current."""
    name = f"{plan.found.name} {plan.request.order} {plan.request.seed}"
    if is_current(plan):
        print(f"{name}: made by this code already", flush=True)
        return
    command = [sys.executable, "-m", "benchmark", "run", "--suite", "mini", "--overwrite"]
    command += ["--method", plan.found.name, "--order", plan.request.order]
    command += ["--seed", str(plan.request.seed), "--display", "plain"]
    if plan.request.output_dir is not None:
        command += ["--output-dir", str(plan.request.output_dir)]
    start = time.monotonic()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    if not is_current(plan):
        sys.exit(
            f"{name}: no record of this code in {plan.target}; was the code changed meanwhile?"
        )
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def run(plans: Sequence[Plan]) -> None:
    """All runs, two at a time: faster than one on two threads, and free of the core count."""
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_one, plans))
    print(f"{len(plans)} runs in {(time.monotonic() - start) / 60:.0f} minutes", flush=True)


def difference(old: pd.DataFrame, new: pd.DataFrame) -> float:
    """Largest difference of a score in points.

    Args:
        old: the rows of a record.
        new: the rows of another record.

    Returns:
        Infinity where one has a cell or a value that the other lacks.
    """
    scores = [f[f["metric"] != "route"].set_index(CELL)["value"] for f in (old, new)]
    a, b = (s.to_numpy(dtype=np.float64) for s in scores)
    if not scores[0].index.equals(scores[1].index) or (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    # Shares of whole numbers: what is left after the ninth digit is the subtraction's.
    return round(100 * float(np.abs(a - b)[~np.isnan(a)].max(initial=0.0)), 9)


def compare(plans: Sequence[Plan], tolerance: float) -> int:
    """Compare every committed record with its new run; returns an exit code.

    Args:
        plans: the new runs.
        tolerance: largest difference of a score that is let pass, in points.
    """
    targets = {plan.target.name: plan.target for plan in plans}
    failed, worst = False, 0.0
    for path in sorted(COMMITTED.glob("[!.]*.parquet")):
        if path.name.endswith(".ranks.parquet"):
            continue
        mine = targets.get(path.name)
        if mine is None or not mine.exists():
            print(f"{path.name}: not run again")
            failed = True
            continue
        points = difference(read_record(path).frame, read_record(mine).frame)
        worst = max(worst, points)
        if points > tolerance:
            print(f"{path.name}: differs by {points:.2f} points")
            failed = True
    print(f"largest difference of a score: {worst:.2f} points (tolerance {tolerance:g})")
    return int(failed)


def _points(text: str) -> float:
    points = float(text)
    if not 0 <= points < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of points from 0 on")
    return points


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="run elsewhere and compare")
    parser.add_argument(
        "--tolerance",
        type=_points,
        default=0.0,
        metavar="POINTS",
        help="with --again: largest difference of a score that passes (default 0, bit for bit)",
    )
    asked = parser.parse_args()
    plans = make_plans(asked.again)
    reasons = sorted({reason for plan in plans for reason in plan.unofficial})
    if reasons and not asked.again:
        parser.error(f"results/ takes committed code only, but {'; '.join(reasons)}")
    run(plans)
    if asked.again:
        sys.exit(compare(plans, asked.tolerance))


if __name__ == "__main__":
    main()
