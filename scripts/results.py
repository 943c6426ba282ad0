"""Runs everything that is committed under results/, suite by suite, and can compare it.

    python scripts/results.py mini            # from nothing, into scratch/again; then compares
    python scripts/results.py mini --renew --reason "..."    # into results/, from committed code
    python scripts/results.py mini --renew --method ft --method dar    # these rows alone

Suites: mini, mini-xtail, mini-mtil, mini-peft.

The first form needs nothing but the package: it has a cache of its own, so that no adapter of an
earlier run is taken. A record of the same numerics, method and weights (in the first, of the very
same code of the harness, libraries and processor too) is not made again, so that a killed script
goes on where it was. Scores agree bit for bit on one machine. Another processor or another library
rounds differently, and training makes more of it: there, give `--tolerance` a few times the
standard deviation over seeds that leaderboard.md shows (one image of a test set is 0.5 points).
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.backbones.load import load
from benchmark.errors import BenchError
from benchmark.records.naming import method_label
from benchmark.records.store import read_record, read_records, record_files
from benchmark.run.provenance.code import unchanged
from benchmark.run.provenance.machine import hardware, versions
from benchmark.run.request import Plan, Request, make_plan
from benchmark.suites.mini_few_shot import ALONE
from benchmark.validation.checks.history import supersede
from benchmark.validation.ledger import LEDGER, renew_ledger

THREE, FIVE = (42, 43, 44), (42, 43, 44, 45, 46)
THIRD = "random:1"  # a third order of the tasks, of nobody's choosing
FEW_SHOT_ORDERS = ("forward", "ii", THIRD)  # orders I and II, and it
ORDERS = {
    "mini": ("forward", "reverse", THIRD), "mini-xtail": FEW_SHOT_ORDERS,
    "mini-mtil": FEW_SHOT_ORDERS, "mini-peft": ALONE,
}  # fmt: skip


class Family(NamedTuple):
    """Rows that one process runs, as they share what they train.

    Attributes:
        rows: as `--method` takes them. seeds: of each. backbone: of all.
        orders: of the tasks; empty for all of the suite.
    """

    rows: tuple[str, ...]
    seeds: tuple[int, ...] = THREE
    backbone: str = "tiny-s"
    orders: tuple[str, ...] = ()

    def orders_in(self, suite: str) -> tuple[str, ...]:
        """The orders that it runs in."""
        return self.orders or ORDERS[suite]


ADAPTERS = (
    "dar", "dar.route-image", "dar.route-text", "dar.route-max", "dar.route-modality",
    "dar.route-pair", "dar.route-oracle", "dar.route-random",  # Table 4
    "dar.merge-none", "dar.merge-uniform", "dar.merge-ta", "dar.merge-dare-ties",
    "dar.merge-iso-c", "dar.merge-core-dare-ties", "dar.merge-core-iso-c",
    "dar.merge-core-tsv", "dar.merge-core-tsv-iso",  # Table 5
    "dar.margin-0.00", "dar.margin-0.01", "dar.margin-0.10", "dar.k3", "dar.k4",  # Table 6
)  # fmt: skip
HEADLINE = ("zs", "ft", "ewc", "mod-x", "c-clip", "l2p", "dkr", "ta", "joint")
"""With `dar` the rows of Tables 1, 7 and 8."""
MORE = ("lora-ft", "joint.mixed", "dar.rank4", "dar.rank8", "dar.rank32", "dar.r8")
LARGER = ("dar", "dar.r8", "c-clip", "mod-x", "ft")
"""The rows of Table 2, which is of the forward order, on the larger backbone."""
FEW_SHOT_HEADLINE = (
    "zs", "lwf", "lwf-vr", "wise-ft", "icarl", "zscl", "moe-adapter", "rail-primal", "codyra",
    "codyra.released", "codyra-plus", "lora", "joint",
)  # fmt: skip
"""The rows of Tables 1 and 2 of the CoDyRA paper, plain LoRA, and the bound."""
FEW_SHOT_MORE = (
    "codyra-plus.route-oracle", "codyra-rail-primal", "codyra-rail-primal.rebuilt",
    "codyra-rail-dual", "codyra-rail-dual.rebuilt", "rail-dual", "ft", "joint.mixed", "dar", "ta",
    "lora-ft", "ewc", "mod-x", "dkr", "c-clip", "l2p",
)  # fmt: skip
FEW_SHOT = (
    *(Family((name,), FIVE) for name in FEW_SHOT_HEADLINE),
    *(Family((name,)) for name in FEW_SHOT_MORE),
)
FAMILIES: dict[str, tuple[Family, ...]] = {
    "mini": (
        Family(ADAPTERS),
        Family(ADAPTERS[:1], FIVE[3:]),
        *(Family((name,), FIVE) for name in HEADLINE),
        *(Family((name,)) for name in MORE),
        *(Family((name,), backbone="tiny-b", orders=("forward",)) for name in LARGER),
    ),
    "mini-xtail": FEW_SHOT,
    "mini-mtil": FEW_SHOT,
    "mini-peft": tuple(Family((name,), FIVE) for name in ("codyra", "lora", "zs")),  # Table 7
}
COMMITTED = Path("results")
AGAIN = Path("scratch") / "again"
CELL = ["step", "eval_task", "direction", "metric", "k"]


def make_plans(suite: str, renew: bool, only: Collection[str] = ()) -> list[Plan]:
    """All runs of a suite as the command line would plan them, in families.

    Args:
        suite: its name.
        renew: into results/.
        only: rows that are run; empty for all.
    """
    folder, cache = (None, None) if renew else (AGAIN, AGAIN / "cache")
    return [
        make_plan(
            Request(
                method, order, suite, one.backbone, seed=seed, output_dir=folder, cache_dir=cache
            )
        )
        for one in FAMILIES[suite]
        for seed in one.seeds
        for method in one.rows
        if not only or method in only
        for order in one.orders_in(suite)
    ]


@cache
def weights_of(backbone: str, weights: str) -> str:
    """Sha256 of the tensors that ship with the package."""
    return load(backbone, weights).fingerprint


def is_current(plan: Plan) -> bool:
    """Whether the plan's record is there and would be made alike now."""
    if not plan.target.exists():
        return False
    try:
        about = read_record(plan.target).provenance
    except BenchError:
        return False
    if about.get("weights", {}).get("sha256") != weights_of(plan.backbone, plan.weights):
        return False
    if about.get("asked") != plan.asked:  # other settings, by the suite or the method
        return False
    if plan.request.output_dir is None:
        if about.get("evidence") is None:
            return False
        return unchanged(about, plan.method.sha, plan.method.file)
    # To be compared: it shows that an edit of the harness changed nothing, so it is made by it.
    theirs, ours = about.get("hardware", {}), hardware()
    return (
        [about.get(part, {}).get("sha256") for part in ("code", "method")]
        == [plan.code, plan.method.sha]
        and about.get("versions") == versions()
        and all(theirs.get(key) == ours[key] for key in ("system", "cpu"))
    )


def name_of(plan: Plan) -> str:
    """The method as the command line takes it."""
    return method_label(plan.method.name, plan.method.variant)


def family_of(plan: Plan) -> tuple[str, int, str]:
    """Runs of one process: the first row of their family, seed and backbone."""
    name, seed = name_of(plan), plan.request.seed
    families = FAMILIES[plan.suite.name]
    first = next(
        one.rows[0] for one in families
        if one.backbone == plan.backbone and name in one.rows and seed in one.seeds
    )  # fmt: skip
    return first, seed, plan.backbone


def run_family(plans: Sequence[Plan]) -> None:
    """The runs of a family that no current record is there of, in one process on one thread."""
    first, seed, backbone = family_of(plans[0])
    suite = plans[0].suite.name
    head = f"{first} {backbone} {seed}"
    todo = [plan for plan in plans if not is_current(plan)]
    if not todo:
        print(f"{head}: made by this code already", flush=True)
        return
    for plan in todo:
        plan.target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmark", "run", "--suite", suite, "--display", "plain"]
    command += ["--backbone", backbone, "--seed", str(seed)]
    command += [word for name in dict.fromkeys(map(name_of, todo)) for word in ("--method", name)]
    orders = dict.fromkeys(plan.request.order for plan in todo)
    command += [word for order in orders for word in ("--order", order)]
    for flag, folder in (
        ("--output-dir", plans[0].request.output_dir), ("--cache-dir", plans[0].request.cache_dir),
    ):  # fmt: skip
        command += [] if folder is None else [flag, str(folder)]
    start = time.monotonic()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=env).returncode
    if code:
        sys.exit(f"{head}: ended with exit code {code}; the same command goes on from here")
    if missing := [plan for plan in todo if not is_current(plan)]:
        where = f"no record of this code in {missing[0].target}"
        sys.exit(f"{head}: {where}; was the code changed meanwhile?")
    print(f"{head}: {len(todo)} runs, {time.monotonic() - start:.0f} s", flush=True)


def run(plans: Sequence[Plan]) -> None:
    """All runs, two families at a time: faster than one on two threads."""
    start = time.monotonic()
    families = [list(each) for _, each in groupby(plans, family_of)]
    with ThreadPoolExecutor(2) as pool:
        try:
            list(pool.map(run_family, families))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
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


def compare(plans: Sequence[Plan], tolerance: float, part: bool = False) -> int:
    """Compare every committed record with its new run; returns an exit code.

    Args:
        plans: the new runs.
        tolerance: largest difference of a score that is let pass, in points.
        part: whether the plans are of some rows alone.
    """
    targets = {plan.target.name: plan.target for plan in plans}
    failed, worst = False, 0.0
    folder = COMMITTED / plans[0].suite.name
    for name in sorted(targets):
        if not (folder / name).exists():
            print(f"{name}: not committed")
            failed = True
    for path in record_files(COMMITTED):
        if path.parent != folder:
            continue
        mine = targets.get(path.name)
        if mine is None and part:
            continue
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
    parser.add_argument("suite", choices=FAMILIES, help="whose records")
    parser.add_argument(
        "--renew", action="store_true", help="write into results/ instead of comparing"
    )
    parser.add_argument(
        "--tolerance",
        type=_points,
        default=0.0,
        metavar="POINTS",
        help="largest difference of a score that passes (default 0, bit for bit)",
    )
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="these rows alone; repeatable"
    )
    parser.add_argument(
        "--reason", default="", metavar="TEXT",
        help="why records are replaced, for results/superseded.csv; needed where some are",
    )  # fmt: skip
    asked = parser.parse_args()
    rows = {name for one in FAMILIES[asked.suite] for name in one.rows}
    if unknown := sorted(set(asked.method) - rows):
        parser.error(f"{asked.suite} has no row '{unknown[0]}', but {', '.join(sorted(rows))}")
    plans = make_plans(asked.suite, asked.renew, asked.method)
    reasons = sorted({reason for plan in plans for reason in plan.unofficial})
    if reasons and asked.renew:
        parser.error(f"results/ takes committed code only, but {'; '.join(reasons)}")
    if asked.renew:
        tell_replaced(parser, plans, asked.reason)
    run(plans)
    if not asked.renew:
        sys.exit(compare(plans, asked.tolerance, bool(asked.method)))
    commits = {record.provenance["code"]["commit"] for record in read_records(COMMITTED)}
    if renew_ledger(commits):
        print(f"{LEDGER}: commits added")


def tell_replaced(parser: argparse.ArgumentParser, plans: Sequence[Plan], reason: str) -> None:
    """Says which records are going to be replaced, and why, before any is."""
    old = [plan.target for plan in plans if plan.target.exists() and not is_current(plan)]
    if old and not reason.strip():
        parser.error(f"{len(old)} records are replaced ({old[0]} ...): say why by --reason TEXT")
    if old:
        supersede(COMMITTED, old, reason)


if __name__ == "__main__":
    main()
