"""What it costs that every kept byte is compared with its digest before it is used.

    python scripts/speed/benchmark_checks.py [--gb 2] [--rounds 3] [--run "-m ft --suite mini"]

Printed are (a) seconds and GB/s of the comparison, for one file, for several at once and for picked
rows of a prepared set, (b) the CPU time of a whole run with and without it, in turns, in processes
of their own over one warm cache, and how much of it the comparison itself took, (c) the rate of
reading batches of 256 decoded images of 224 px, beside a plain memory map, in turns.
"""

import argparse
import hashlib
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmark.common import checked
from benchmark.common.digests import digest
from benchmark.data.cache.decoded import PIXELS, check_ahead, decoded, transform_id
from benchmark.data.pixels import PixelRows
from benchmark.data.published import intact
from benchmark.data.published.store import FileNote, Rows, Store
from benchmark.data.split import ImageSource

SIDE, BATCH, FILES = 224, 256, 4
ROW = SIDE * SIDE * 3

# A process that runs the command with the comparison of pixels, or takes the note's word for them.
RUN = """
import json, sys, time
from pathlib import Path
from benchmark.data.cache import arrays
real, spent = arrays.stream_sha256, [0.0]
def timed(stream):
    start = time.thread_time()
    found = real(stream)
    spent[0] += time.thread_time() - start
    return found
def trusting(stream):
    return json.loads(Path(stream.name).with_suffix(".json").read_text())["sha256"]
arrays.stream_sha256 = timed if sys.argv[1] == "with" else trusting
sys.argv[1:] = sys.argv[2:]
from benchmark.cli.main import main
try:
    main()
finally:
    Path(sys.argv[-1], "spent.txt").write_text(repr(spent[0]))
"""


def source_of(root: Path, count: int, name: str) -> ImageSource:
    """A source whose images are in the cache already: noise, written as `decoded` does."""

    def never(i: int) -> Any:
        raise RuntimeError(f"image {i} is in the cache")

    path = PIXELS.path(root, digest([name, transform_id(SIDE)]))
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    PIXELS.save(path, block, content=name)
    return ImageSource(count, never, name)


def show(name: str, size: float, work: Callable[[], object]) -> None:
    """Seconds of some work on `size` GB; what is known of files from before is forgotten first."""
    checked._digests.clear()
    intact._right.clear()
    start, cpu = time.perf_counter(), time.process_time()
    work()
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"    {name:<24} {took:7.3f} s  {size / took:5.2f} GB/s  {size / cpu:5.2f} GB/CPU-s")


def rates(root: Path, count: int) -> list[ImageSource]:
    """(a) of files in the page cache."""
    sources = [source_of(root, count, f"source {i}") for i in range(FILES)]
    size = count * ROW / 1e9
    print(f"(a) compared, {os.cpu_count()} cores, files of {size:.2f} GB in the page cache")
    show("one file", size, lambda: decoded(sources[0], SIDE, root))
    show(f"{FILES} files at once", FILES * size, lambda: check_ahead(sources, SIDE, root))
    store, rows = stored(root, sources[0])
    every = np.arange(len(rows))
    show("rows of a set, all", size, lambda: intact.checked_pixels(store, rows, every))
    few = every[::16]
    show("rows of a set, 1 of 16", size / 16, lambda: intact.checked_pixels(store, rows, few))
    time.sleep(checked.SETTLED + 0.1)
    decoded(sources[0], SIDE, root)
    start = time.perf_counter()
    decoded(sources[0], SIDE, root)
    print(f"    {'the same file again':<24} {time.perf_counter() - start:7.5f} s")
    return sources


def stored(root: Path, source: ImageSource) -> tuple[Store, Rows]:
    """The images of a source as a prepared set of one file."""
    pixels = decoded(source, SIDE, root).pixels
    folder = root / "data" / "noise" / f"000000000000-{SIDE}"
    folder.mkdir(parents=True)
    with (folder / "00000.u8").open("wb") as out:
        shas = []
        for i in range(len(pixels)):
            raw = pixels[i].tobytes()
            out.write(raw)
            shas.append(hashlib.sha256(raw).hexdigest())
    note = FileNote(0, "file", len(pixels), len(pixels), 0, {"parquet": ""}, {})
    store = Store(folder, {"side": SIDE, "notes": [asdict(note)]})
    return store, Rows(pa.table({"pixels_sha256": shas}), np.zeros(len(pixels), np.int64))


def whole_runs(words: str, rounds: int, root: Path) -> None:
    """(b) CPU seconds of a run with and without, over a warm cache."""
    cache = root / "runs"
    found: dict[str, list[float]] = {"with": [], "without": []}
    spent = []
    run_once(words, "with", cache, root / "warm-up")
    for i in range(rounds):
        for how in ("with", "without") if i % 2 == 0 else ("without", "with"):
            out = root / f"{how}-{i}"
            found[how].append(run_once(words, how, cache, out))
            if how == "with":
                spent.append(float((out / "spent.txt").read_text()))
    checks, plain = (statistics.median(found[how]) for how in ("with", "without"))
    inside = statistics.median(spent)
    size = sum(p.stat().st_size for p in (cache / "pixels").glob("*.npy"))
    print(f"(b) cl-bench run {words}, {size / 1e6:.0f} MB of decoded images, CPU seconds")
    for how, values in found.items():
        print(f"    {how:<10} median {statistics.median(values):8.2f}   {sorted(values)}")
    print(f"    ratio {checks / plain:.4f}")
    print(f"    inside the comparison {inside:.4f} s, {100 * inside / checks:.3f} % of the run")


def run_once(words: str, how: str, cache: Path, out: Path) -> float:
    """CPU seconds, user and system, of one run in a process of its own."""
    out.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", RUN, how, "run", *shlex.split(words), "--fresh", "--display", "none",
         "--cache-dir", str(cache), "--output-dir", str(out)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def reading(root: Path, source: ImageSource, rounds: int) -> None:
    """(c) images a second."""
    path = PIXELS.path(root, digest([source.content, transform_id(SIDE)]))
    ways = {
        "plain memory map": PixelRows.of([np.load(path, mmap_mode="r")], (SIDE, SIDE, 3)),
        "compared before": decoded(source, SIDE, root).pixels,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    rng = np.random.default_rng(0)
    for _ in range(100 * rounds):
        for name in rng.permutation(list(ways)):
            start = time.process_time()
            ways[name][rng.integers(0, source.size, BATCH)]
            found[name].append(BATCH / (time.process_time() - start))
    # The best tenth: what else runs on the machine only ever takes away.
    middle = {name: statistics.quantiles(values, n=10)[-1] for name, values in found.items()}
    print(f"(c) batches of {BATCH} at {SIDE} px, images per CPU second")
    for name, rate in middle.items():
        print(f"    {name:<20} {rate:8.0f}   {rate / middle['plain memory map']:5.3f} x")
    print(json.dumps({name: round(rate) for name, rate in middle.items()}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=2.0, help="of decoded images, in 4 files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", default="-m ft --suite mini", help="words of `cl-bench run`")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = rates(root, max(BATCH, int(asked.gb * 1e9 / FILES / ROW)))
        reading(root, sources[0], asked.rounds)
        whole_runs(asked.run, asked.rounds, root)


if __name__ == "__main__":
    main()
