"""The cluster bootstrap: test images are drawn again, and all queries of an image with it.

The draws depend on nothing but the number of images and a key, so that all methods, seeds and
orders see the same ones: a difference of two methods is that of the same images, and comparing B
with A gives exactly minus what comparing A with B gives. They are whole numbers, and so are the
sums over queries, which no order of summation can change.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..common.seeds import derive

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
