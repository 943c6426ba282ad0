"""Reading decoded images: the prepared cache beside a DataLoader that decodes JPEGs with Pillow.

    python scripts/speed/benchmark_cache.py [--images 4096] [--batches 64]

Both give random batches of 256 images of 224 px as uint8 tensors, in turns. Printed are images per
second, the ratio, what the cache's preparation costs (decoding once, counted as passes over the
data after which it has paid for itself), and the memory of this process after each turn: what it
owns (anonymous pages) and what it has mapped of the cache file, which the system may take back at
any time.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmark.data.cache.decoded import decoded, fit
from benchmark.data.split import ImageSource

SIDE, BATCH, TURNS = 224, 256, 3


def jpegs(count: int) -> list[bytes]:
    """Photo-like JPEGs of about 500 x 375 pixels: smooth colour with some grain."""
    made = []
    for i in range(count):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (375, 500, 1))
        pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=90)
        made.append(out.getvalue())
    return made


class Decoding(Dataset[torch.Tensor]):
    """Encoded images that are decoded and fitted when one is asked for."""

    def __init__(self, encoded: list[bytes]) -> None:
        self.encoded = encoded

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, i: int) -> torch.Tensor:
        image = Image.open(io.BytesIO(self.encoded[i])).convert("RGB")
        return torch.from_numpy(fit(image, SIDE).copy())


def memory() -> str:
    """Anonymous and file-backed resident memory, MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anon, file = (int(lines[k].split()[0]) // 1024 for k in ("RssAnon", "RssFile"))
    return f"own {anon} MiB, mapped {file} MiB"


def rate(batches: Iterator[torch.Tensor], count: int) -> float:
    """Images per second over `count` batches; the first one, which starts workers, is not timed."""
    next(batches)
    start, seen = time.perf_counter(), 0
    for _ in range(count):
        seen += len(next(batches))
    return seen / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batches", type=int, default=64, help="read from the cache in each turn")
    asked = parser.parse_args()
    encoded = jpegs(min(asked.images, 1024))
    encoded = [encoded[i % len(encoded)] for i in range(asked.images)]
    with tempfile.TemporaryDirectory() as folder:
        source = ImageSource(
            asked.images, lambda i: Image.open(io.BytesIO(encoded[i])).convert("RGB"), "benchmark"
        )
        start = time.perf_counter()
        pixels = decoded(source, SIDE, Path(folder)).pixels
        once = time.perf_counter() - start
        rng = np.random.default_rng(0)

        def from_cache() -> Iterator[torch.Tensor]:
            while True:
                yield torch.from_numpy(pixels[rng.integers(0, len(pixels), BATCH)])

        def from_jpegs() -> Iterator[torch.Tensor]:
            while True:
                yield from DataLoader(Decoding(encoded), BATCH, shuffle=True, num_workers=2)

        ways: dict[str, tuple[Callable[[], Iterator[torch.Tensor]], int]] = {
            "Pillow, DataLoader, 2 workers": (
                from_jpegs,
                max(2, min(12, len(pixels) // BATCH - 2)),
            ),
            "prepared cache": (from_cache, asked.batches),
        }
        size = sum(map(len, encoded)) / len(encoded) / 1000
        print(f"{asked.images} images of {SIDE} px ({pixels.nbytes / 1e6:.0f} MB decoded), "
              f"JPEGs of {size:.0f} kB, batches of {BATCH}; at the start {memory()}")  # fmt: skip
        found: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(TURNS):
            for name, (make, count) in ways.items():
                found[name].append(rate(make(), count))
                print(f"turn {turn + 1}  {name:<30} {found[name][-1]:8.0f} images/s  {memory()}")
        slow, fast = (statistics.median(rates) for rates in found.values())
        prepared = asked.images / (once + asked.images / fast)
        # n passes cost n / slow a picture one way, and what was made once and n / fast the other.
        passes = once / asked.images / (1 / slow - 1 / fast)
        print(json.dumps({"pillow": round(slow), "cache": round(fast), "ratio": fast / slow,
                          "prepared": round(prepared), "pays after": passes}))  # fmt: skip


if __name__ == "__main__":
    main()
