"""What the benchmarks share: ways that take turns in one process, on one thread, in CPU time.

Each way is run once before anything is timed, and what it gave is compared with what the first way
gave: nothing is compared by time that is not the same computation. Then the ways take turns, and a
round gives one ratio, the first way's CPU time over each other way's; below 1, the first is faster.
Told are the median of the ratios and their quartiles. Where one way takes too long for that, it has
fewer rounds, and the number of rounds says so.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

Same = Callable[[Any, Any], bool]


@dataclass(frozen=True)
class Way:
    """One way to do a computation.

    Attributes:
        name: of the row. does: what it does, in a sentence.
        run: does it once; what it gives is compared with what the first way gives.
        rounds: at most so many, where it takes too long; None for as many as the others.
    """

    name: str
    does: str
    run: Callable[[], Any]
    rounds: int | None = None


@dataclass
class Table:
    """Rows of numbers, each column under its name, and remarks."""

    title: str
    rows: list[dict[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print it."""
        print(f"\n{self.title}")
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        wide = {n: max(len(n), *(len(row.get(n, "")) for row in self.rows)) for n in names}
        for row in ({n: n for n in names}, *self.rows):
            print("  " + "  ".join(row.get(n, "").ljust(wide[n]) for n in names).rstrip())
        for remark in self.remarks:
            print(f"  {remark}")
        print(flush=True)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles, or the values where they are too few for quartiles."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 3:
        return f"{middle} ({len(values)} round{'s' * (len(values) > 1)})"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle} ({low:.{digits}f} to {high:.{digits}f})"


def compare(title: str, ways: Sequence[Way], rounds: int, same: Same) -> Table:
    """Check, measure in turns and print; the ratio is the first way's time over a row's."""
    table, reference = Table(title), ways[0].run()
    for way in ways[1:]:
        if not same(reference, way.run()):
            raise SystemExit(f"{title}: '{way.name}' gives something else than '{ways[0].name}'")
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(rounds):
        for way in ways:
            if way.rounds is None or turn < way.rounds:
                start = time.process_time()
                way.run()
                seconds[way.name].append(time.process_time() - start)
    for way in ways:
        mine, first = seconds[way.name], seconds[ways[0].name]
        ratios = [a / b for a, b in zip(first, mine, strict=False)]
        table.rows.append(
            {
                "way": way.name,
                "CPU s": f"{statistics.median(mine):.3g}",
                "first / this": spread(ratios) if way is not ways[0] else "",
                "rounds": str(len(mine)),
                "what it does": way.does,
            }
        )
    table.show()
    return table


def growth(title: str, unit: str, points: dict[int, Callable[[], Any]], rounds: int) -> Table:
    """Cost at some sizes, in turns, and the slope of the line through the medians."""
    seconds: dict[int, list[float]] = {n: [] for n in points}
    for turn in range(rounds + 1):
        for n, run in points.items():
            start = time.process_time()
            run()
            if turn:
                seconds[n].append(time.process_time() - start)
    table, middle = Table(title), {n: statistics.median(s) for n, s in seconds.items()}
    for n, s in seconds.items():
        table.rows.append({unit: str(n), "CPU s": spread(s, 4)})
    slope, _ = statistics.linear_regression(list(middle), list(middle.values()))
    table.remarks.append(f"one more of {unit} costs {1e3 * slope:.3f} ms (least squares)")
    table.show()
    return table


def _watched(out: Any, prepare: Callable[..., Callable[[], Any]], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    run = prepare(*args)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark is set to what is used now
    run()
    out.put((_status("VmHWM"), _status("VmHWM") - before))


def _status(name: str) -> float:
    lines = dict(x.split(":", 1) for x in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def peak_memory(prepare: Callable[..., Callable[[], Any]], *args: Any) -> tuple[float, float]:
    """MiB at the peak, and above what was there before, of `prepare(*args)()` in a new process."""
    new = multiprocessing.get_context("spawn")
    out = new.SimpleQueue()
    process = new.Process(target=_watched, args=(out, prepare, args))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the process that was to be measured ended with {process.exitcode}")
    total, above = out.get()
    return total, above


def machine() -> dict[str, str]:
    """What the numbers depend on beside the code."""
    names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": "1",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that all have; one thread from here on."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?")
    parser.add_argument("--json", type=Path, help="write the tables to this file too")
    return parser


def finish(tables: Sequence[Table], asked: argparse.Namespace) -> None:
    """Write what was asked for."""
    if asked.json:
        asked.json.write_text(json.dumps([asdict(t) for t in tables], indent=1))
