"""Ranks of a retrieval, both directions, with five captions per image, and their memory.

    python scripts/speed/benchmark_recall.py [--images 5000] [--rounds 5] [--quick] [--json FILE]

The peak is that of a new process for each way, above the embeddings.
"""

from collections.abc import Callable
from functools import partial

import torch
from fair import Table, Way, arguments, compare, finish, growth, peak_memory
from torch import Tensor
from torch.nn import functional as F

from benchmark.metrics.retrieval import first_positive_rank, hits, ranks_both_ways

KS, WIDTH, PER_IMAGE = (1, 5, 10), 512, 5
Found = list[float]


def rows_of(images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit rows of captions and images, the image of each caption, captions of each image."""
    g = torch.Generator().manual_seed(0)
    image_ND = F.normalize(torch.randn(images, WIDTH, generator=g), dim=1)
    owner_M = torch.arange(images).repeat_interleave(PER_IMAGE)
    noise_MD = torch.randn(len(owner_M), WIDTH, generator=g)
    text_MD = F.normalize(image_ND[owner_M] + 0.3 * noise_MD, dim=1)
    return text_MD, image_ND, owner_M, torch.arange(len(owner_M)).view(images, PER_IMAGE)


def of_ranks(ranks: tuple[Tensor, Tensor]) -> Found:
    """Recall at each k and direction."""
    return [hits(r, k) / len(r) for r in ranks for k in KS]


def both(text: Tensor, image: Tensor, owner: Tensor, captions: Tensor) -> Found:
    """One product for both directions."""
    return of_ranks(ranks_both_ways(text, image, owner))


def each(text: Tensor, image: Tensor, owner: Tensor, captions: Tensor) -> Found:
    """A product for each direction."""
    t2i = first_positive_rank(text, image, owner[:, None])
    return of_ranks((t2i, first_positive_rank(image, text, captions)))


def top_k(text: Tensor, image: Tensor, owner: Tensor, captions: Tensor) -> Found:
    """The plain way: float32, chunks of queries, the ten best, positives among them."""
    found = []
    for query, gallery, positive_QP in ((text, image, owner[:, None]), (image, text, captions)):
        right = []
        for start in range(0, len(query), 256):
            best = (query[start : start + 256] @ gallery.T).topk(max(KS)).indices
            right.append((best[:, :, None] == positive_QP[start : start + 256, None]).any(dim=2))
        right_QK = torch.cat(right)
        found += [float(right_QK[:, :k].any(dim=1).double().mean()) for k in KS]
    return found


def one_hot(text: Tensor, image: Tensor, owner: Tensor, captions: Tensor) -> Found:
    """The steps of CLIP_benchmark's zero-shot retrieval, in batches of 64, for each k."""
    score_MN = text @ image.T
    positive_MN = torch.zeros_like(score_MN, dtype=torch.bool)
    positive_MN[torch.arange(len(text)), owner] = True
    found = []
    for score_QG, positive_QG in ((score_MN, positive_MN), (score_MN.T, positive_MN.T)):
        for k in KS:
            right = []
            for s, p in zip(score_QG.split(64), positive_QG.split(64), strict=True):
                chosen_QKG = F.one_hot(s.topk(k, dim=1).indices, s.shape[1])
                right.append((chosen_QKG * p[:, None]).sum(dim=(1, 2)) / p.sum(dim=1) > 0)
            found.append(float(torch.cat(right).double().mean()))
    return found


WAYS: dict[str, tuple[str, Callable[..., Found]]] = {
    "cl-bench, both directions": (
        "one float32 product with a proven bound, exact scores where it leaves ranks open; ranks",
        both,
    ),
    "cl-bench, each direction": ("the same, a product for each direction; ranks", each),
    "chunked top-k": ("float32, queries by 256, torch.topk(10), positives looked up", top_k),
    "CLIP_benchmark's way": (
        "whole score matrix, for each k top-k and int64 one-hot by 64 queries",
        one_hot,
    ),
}


def prepare(name: str, images: int) -> Callable[[], Found]:
    """For a new process: a way that has its data."""
    return partial(WAYS[name][1], *rows_of(images))


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=5000)
    asked = parser.parse_args()
    images = 500 if asked.quick else asked.images
    data = rows_of(images)
    slow = {"CLIP_benchmark's way": 1}
    size = f"{images} images, {images * PER_IMAGE} captions, {WIDTH} numbers each"
    tables = [
        compare(
            f"Recall@1, 5 and 10, both directions: {size}",
            [Way(n, does, partial(run, *data), slow.get(n)) for n, (does, run) in WAYS.items()],
            asked.rounds,
            lambda a, b: a == b,
        )
    ]
    memory = Table(f"Memory of the same: {size}")
    for name in WAYS:
        total, above = peak_memory(prepare, name, images)
        memory.rows.append(
            {
                "way": name,
                "above the embeddings, MiB": f"{above:.0f}",
                "in all, MiB": f"{total:.0f}",
            }
        )
    memory.show()
    tables.append(memory)
    points = {
        n: prepare("cl-bench, both directions", n) for n in (images // 5, images // 2, images)
    }
    tables.append(growth("Recall by images, five captions each", "images", points, asked.rounds))
    finish(tables, asked)


if __name__ == "__main__":
    main()
