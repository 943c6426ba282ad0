"""How the cost of encoding grows with the number of items, and of routed encoding with adapters.

    python scripts/speed/benchmark_growth.py [--model tiny-s] [--rounds 5] [--quick] [--json FILE]

That of retrieval with the number of images is in benchmark_recall.py, that of a classifier with
classes in benchmark_prompts.py, that of a run with tasks in benchmark_runs.py.
"""

from collections.abc import Callable
from functools import partial

import torch
from benchmark_routing import Routes, make_items, random_bank
from fair import arguments, finish, growth
from torch import Tensor

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import bundled
from benchmark.backbones.load import load
from benchmark.backbones.sites import PROJECTIONS

BATCH = 256


def routed(clip: Backbone, adapters: int, items: int) -> Callable[[], Tensor]:
    """A batch of images of which each has one of the adapters, all equally often."""
    bank = random_bank(clip, adapters, PROJECTIONS)
    images = make_items(clip, "image", items, 24)
    index_B = torch.arange(items) % adapters
    one = torch.tensor([1.0, 0.0]).expand(items, 2)
    routes = Routes(torch.stack([index_B, (index_B + 1) % max(2, adapters)], dim=1), one)
    return partial(bank.encode, clip, images, routes.index_BK, routes.weight_BK)


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--model", default="tiny-s")
    asked = parser.parse_args()
    clip = load(asked.model, "bundled" if asked.model in bundled() else "random:0")
    size = 32 if asked.quick else BATCH

    def encode(n: int) -> list[Tensor]:
        batches = torch.randn(n, 3, clip.size, clip.size).split(size)
        return [clip.image(pixels_B3HW) for pixels_B3HW in batches]

    with torch.no_grad():
        items: dict[int, Callable[[], object]] = {
            n * size: partial(encode, n * size) for n in (1, 2, 4)
        }
        counts = {n: routed(clip, n, size) for n in (2, 4, 8, 16)}
        tables = [
            growth(
                f"Encoding by images, {asked.model}, batches of {size}",
                "images",
                items,
                asked.rounds,
            ),
            growth(
                f"{size} images, mixed, by adapters, {asked.model}",
                "adapters",
                counts,
                asked.rounds,
            ),
        ]
    finish(tables, asked)


if __name__ == "__main__":
    main()
