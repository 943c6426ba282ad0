"""Which hashes are near to one of another split: exact, and without looking at all pairs.

Two hashes of 256 bits that differ in at most 15 agree in one of their 16 words of 16 bits (Norouzi,
Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014; here with
no differing bit in the word that is looked up). Only hashes that share a word are compared.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.report import Advance

WORDS = 16  # of 16 bits
# Differing bits. Of 45 million pairs of pictures from different sets (photographs, aerial images,
# generated art, charts, digits, icons, renders; flat ones left out) none is nearer than 44. Of 2.1
# million pairs inside one set 65 are near, mostly variants of one icon or chart. A picture that was
# stored as JPEG of quality 75 again, or halved and enlarged, is within it in 99.8 % of cases.
RADIUS = WORDS - 1
PAIRS = 2**20  # compared at a time, which bounds the memory

Codes = npt.NDArray[np.uint64]
Sets = npt.NDArray[np.uint64]


def near_sets(code_U4: Codes, sets_UW: Sets, advance: Advance) -> Sets:
    """For each hash the sets that have one within `RADIUS`, its own sets among them.

    Pairs that could add no set to either of the two are not compared, so that many near pictures
    inside one split cost little.

    Args:
        code_U4: (U, 4) distinct hashes.
        sets_UW: (U, W) bit masks: bit s of word w says that set 64 w + s has the hash.
        advance: is told how many pairs are done, of `candidates(code_U4)`.

    Returns:
        (U, W) bit masks.
    """
    near_UW = sets_UW.copy()
    for key_U in _words(code_U4):
        for a, b in _pairs(key_U):
            useful = (sets_UW[b] & ~near_UW[a]) | (sets_UW[a] & ~near_UW[b])
            some = np.flatnonzero(useful.any(axis=1))
            left, right = a[some], b[some]
            apart = np.bitwise_count(code_U4[left] ^ code_U4[right]).sum(axis=1)
            close = apart <= RADIUS
            left, right = left[close], right[close]
            np.bitwise_or.at(near_UW, left, sets_UW[right])
            np.bitwise_or.at(near_UW, right, sets_UW[left])
            advance(len(a))
    return near_UW


def candidates(code_U4: Codes) -> int:
    """How many pairs of hashes share a word; a pair counts for every word that it shares."""
    total = 0
    for key_U in _words(code_U4):
        size = np.bincount(key_U, minlength=2**16).astype(object)
        total += int((size * (size - 1) // 2).sum())
    return total


def _words(code_U4: Codes) -> Iterator[npt.NDArray[np.uint16]]:
    keys_UK = np.ascontiguousarray(code_U4).view(np.uint16)
    yield from (np.ascontiguousarray(keys_UK[:, k]) for k in range(WORDS))


def _pairs(key_U: npt.NDArray[np.uint16]) -> Iterator[tuple[Any, Any]]:
    """All pairs with equal keys, some at a time, as two arrays of places."""
    order = np.argsort(key_U, kind="stable")
    ordered = key_U[order]
    end = np.searchsorted(ordered, ordered, side="right")
    partners = end - np.arange(len(order)) - 1  # that follow each place
    before = np.concatenate([[0], np.cumsum(partners)])
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(before, before[start] + PAIRS, side="right")) - 1
        stop = max(stop, start + 1)  # one place has fewer partners than there are hashes
        count = partners[start:stop]
        if n := int(count.sum()):
            first = np.repeat(np.arange(start, stop), count)
            step = np.arange(n) - np.repeat(before[start:stop] - before[start], count)
            yield order[first], order[first + 1 + step]
        start = stop
