"""The cluster bootstrap: test images are drawn again, and all queries of an image with it.

The draws depend on nothing but the number of images and a key, so that all methods, seeds and
orders see the same ones: a difference of two methods is that of the same images, and comparing B
with A gives exactly minus what comparing A with B gives. They are whole numbers, and so are the
sums over queries, which no order of summation can change.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..common.seeds import derive
from .answered import Measured

Reals = NDArray[np.float64]
_AT_ONCE = 2**22  # draws that are held in memory


def draws(key: str, n_images: int, resamples: int) -> Iterator[Reals]:
    """How often each image is drawn, in pieces (B, N) that make up all resamples.

    Args:
        key: what is resampled, the name of a set; sets are drawn apart from each other.
        n_images: N, at least 1.
        resamples: at least 1.
    """
    # The raw stream, which no version of numpy changes; a remainder of 64 bits has no bias to see.
    bits = np.random.PCG64(derive("bootstrap", key, n_images))
    piece = max(1, _AT_ONCE // n_images)
    for start in range(0, resamples, piece):
        size = min(piece, resamples - start)
        raw_BN = bits.random_raw(size * n_images).reshape(size, n_images)
        place_BN = (raw_BN % np.uint64(n_images)).astype(np.int64)
        place_BN += n_images * np.arange(size)[:, None]
        count = np.bincount(place_BN.reshape(-1), minlength=size * n_images)
        yield count.reshape(size, n_images).astype(np.float64)


def resampled_ratios(
    key: str, sum_NM: Reals, size_NM: Reals, resamples: int
) -> NDArray[np.float64]:
    """Ratios of sums over images, for every resample.

    Args:
        key: see `draws`.
        sum_NM: whole numbers, of every image: hits, or sums and differences of them.
        size_NM: whole numbers: the queries that these are of.
        resamples: B.

    Returns:
        (B, M): sum over the drawn images of `sum_NM` by that of `size_NM`.
    """
    n, m = sum_NM.shape
    both = np.concatenate([sum_NM, size_NM], axis=1).astype(np.float64)
    parts = []
    for count_BN in draws(key, n, resamples):
        found = count_BN @ both  # exact: whole numbers below 2**53
        parts.append(found[:, :m] / found[:, m:])
    return np.concatenate(parts)


def resampled_differences(
    pairs: Sequence[tuple[Measured, Measured]], resamples: int
) -> NDArray[np.float64]:
    """The mean difference of pairs of runs for every resample; their models stay as they are.

    Args:
        pairs: a number of two runs that learned the same tasks in the same order.
        resamples: B.

    Returns:
        (B,), first minus second.

    Raises:
        ValueError: the two of a pair are sums over other cells.
    """
    columns: dict[str, dict[tuple[str, float], tuple[Reals, Reals]]] = {}
    for one, other in pairs:
        if one.terms != other.terms:
            raise ValueError(f"'{one.run.name}' and '{other.run.name}' are not of the same cells")
        for term in one.terms:
            # Runs that count a set alike are added up first, in whole numbers.
            here, key = columns.setdefault(term.task, {}), (term.direction or "", term.factor)
            size_N = one.run.sizes(term.task, term.direction)
            before = here[key][0] if key in here else np.zeros_like(size_N)
            here[key] = before + (one.run.sums(term) - other.run.sums(term)), size_N
    total_B = np.zeros(resamples)
    for task, here in sorted(columns.items()):
        keys = sorted(here)
        sum_NM, size_NM = (np.stack([here[key][i] for key in keys], axis=1) for i in (0, 1))
        ratio_BM = resampled_ratios(task, sum_NM, size_NM, resamples)
        for place, (_, factor) in enumerate(keys):
            total_B += factor / len(pairs) * ratio_BM[:, place]
    return total_B


def percentile_interval(value_B: Reals, alpha: float) -> tuple[float, float]:
    """The interval that leaves alpha / 2 of the resampled values on either side."""
    ordered = np.sort(value_B)
    outside = max(1, int(alpha / 2 * (len(ordered) + 1)))
    outside = min(outside, (len(ordered) + 1) // 2)
    return float(ordered[outside - 1]), float(ordered[-outside])


def percentile_p(value_B: Reals) -> float:
    """The p-value of both sides of 'no difference'; 2 / (B + 1) is the smallest that it can say."""
    tail = min(int((value_B <= 0).sum()), int((value_B >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(value_B) + 1))
