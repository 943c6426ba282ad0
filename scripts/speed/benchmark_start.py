"""How long a command takes to begin: `ls` and `ls NAME`, and what a run imports.

CPU time of child processes, which is what their imports take on an idle core; each checkout's in
turn, and the median of their ratios with the smallest and the largest. Of a run it is the time in
import statements alone, until the optimiser has made its first step: `ft` on the embedded suite.

    python scripts/speed/benchmark_start.py [--against CHECKOUT] [--repeats N]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
LISTED = ("", "zs", "dar", "dar.route-pair", "methods/dar.py")
RUN = ("run", "-m", "ft", "-s", "mini", "--limit", "16", "--device", "cpu", "--output-dir")
COMMAND = """
import atexit, sys, time
@atexit.register
def told():
    print(time.process_time(), "torch" in sys.modules, file=sys.stderr)
import runpy
runpy.run_module("benchmark", run_name="__main__")
"""
IMPORTS = """
import builtins, importlib, os, runpy, sys, time
spent, inside, step = 0.0, False, None
def told(*_):
    print(spent, len(sys.modules), file=sys.stderr, flush=True)
    os._exit(0)
def timed(real):
    def call(*args, **kwargs):
        global spent, inside, step
        if inside:
            return real(*args, **kwargs)
        inside, start = True, time.process_time()
        try:
            return real(*args, **kwargs)
        finally:
            spent, inside = spent + time.process_time() - start, False
            if step is None and (found := sys.modules.get("torch.optim.optimizer")):
                add = getattr(found, "register_optimizer_step_post_hook", None)
                step = add and add(told)
    return call
importlib.import_module = timed(importlib.import_module)
builtins.__import__ = timed(builtins.__import__)
runpy.run_module("benchmark", run_name="__main__")
"""


def child(checkout: Path, code: str, words: tuple[str, ...]) -> tuple[float, str]:
    """The two words that a child prints last: seconds of CPU time, and what else it says."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, said = done.stderr.split()[-2:]
    return float(seconds), said


def imports(checkout: Path) -> tuple[float, str]:
    """Of a run: seconds of CPU time in imports, and how many modules there are then."""
    with tempfile.TemporaryDirectory() as folder:
        return child(checkout, IMPORTS, (*RUN, folder))


def compared(name: str, ours: list[tuple[float, str]], theirs: list[tuple[float, str]]) -> str:
    """One row."""
    seconds, said = median(s for s, _ in ours), ours[0][1]
    row = f"{name:<24} {seconds:6.2f} s  {said:>6}"
    if not theirs:
        return row
    ratios = sorted(a / b for (a, _), (b, _) in zip(ours, theirs, strict=True))
    return (
        f"{row}   {median(s for s, _ in theirs):6.2f} s  {theirs[0][1]:>6}   "
        f"{median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, to have ratios to it")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    sides = [ROOT, *([asked.against.resolve()] if asked.against else [])]
    print("median CPU time of this checkout" + (f", of {sides[1]}, ratio" if sides[1:] else ""))
    for name in LISTED:
        words = ("ls", *([name] if name else []))
        found: list[list[tuple[float, str]]] = [[], []]
        for _ in range(asked.repeats):
            for side, times in zip(sides, found, strict=False):
                times.append(child(side, COMMAND, words))
        print(compared(f"ls {name}, torch?", *found), flush=True)
    for side in sides:
        imports(side)  # data are rendered and modules are compiled once
    found = [[], []]
    for _ in range(asked.repeats):
        for side, times in zip(sides, found, strict=False):
            times.append(imports(side))
    print(compared("run: imports, modules", *found))


if __name__ == "__main__":
    main()
