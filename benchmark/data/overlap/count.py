"""Counts of what two splits share: equal bytes, equal pixels, near pictures, equal captions."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.report import Advance
from .hashes import Hashed
from .near import near_sets

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ComparedSplit:
    """One split, reduced to what is compared.

    Attributes:
        pictures: its pictures.
        encoded: sha256 of each picture's encoded bytes; None where they are not known.
        captions: of all pictures, as `texts.same_text` gives them; None for a labelled set.
        learned: whether methods may train on it; else it is tested on.
    """

    pictures: Hashed
    encoded: tuple[str, ...] | None
    captions: tuple[str, ...] | None
    learned: bool


@dataclass(frozen=True)
class Met:
    """How much of a split stands on the other side: of test data in training data, or reversed.

    Attributes:
        pixels: pictures whose pixels any split of that side has. near: further ones that are near.
        captions: captions whose text any of them has.
    """

    pixels: int
    near: int
    captions: int


@dataclass(frozen=True)
class Shared:
    """What the splits number `left` and `right` share: how many of the one, how many of the other.

    Attributes:
        encoded: pictures whose encoded bytes the other split has too; None where not known.
        pixels: pictures whose pixels the other has too.
        near: further ones that are near to a picture of the other, flat ones left out.
        captions: captions whose text the other has too; None where one has no captions.
    """

    left: int
    right: int
    encoded: tuple[int, int] | None
    pixels: tuple[int, int]
    near: tuple[int, int]
    captions: tuple[int, int] | None

    def __bool__(self) -> bool:
        found = (self.encoded, self.pixels, self.near, self.captions)
        return any(counts is not None and any(counts) for counts in found)


@dataclass(frozen=True)
class Overlap:
    """All counts of a suite.

    Attributes:
        pairs: every pair of splits that shares anything, in their order. met: one per split.
    """

    pairs: tuple[Shared, ...]
    met: tuple[Met, ...]


def count_shared(splits: Sequence[ComparedSplit], advance: Advance) -> Overlap:
    """Compare every split with every other.

    Args:
        splits: all splits of a suite.
        advance: is told how many pairs of hashes are done, see `near.candidates`.
    """
    pixels = _holders([split.pictures.pixels_N for split in splits])
    encoded = _holders([split.encoded or () for split in splits])
    captions = _holders([split.captions or () for split in splits])
    near = _near(splits, advance)
    further = [alike & ~same for alike, same in zip(near, pixels, strict=True)]

    def both(marks: Sequence[Marks], a: int, b: int) -> tuple[int, int]:
        return int(marks[a][:, b].sum()), int(marks[b][:, a].sum())

    def pair(a: int, b: int) -> Shared:
        left, right = splits[a], splits[b]
        bytes_known = left.encoded is not None and right.encoded is not None
        texts = left.captions is not None and right.captions is not None
        return Shared(
            a,
            b,
            both(encoded, a, b) if bytes_known else None,
            both(pixels, a, b),
            both(further, a, b),
            both(captions, a, b) if texts else None,
        )

    def met(s: int) -> Met:
        there = [i for i, split in enumerate(splits) if split.learned != splits[s].learned]
        same, alike = (marks[s][:, there].any(axis=1) for marks in (pixels, near))
        texts = captions[s][:, there].any(axis=1)
        return Met(int(same.sum()), int((alike & ~same).sum()), int(texts.sum()))

    n = len(splits)
    every = (pair(a, b) for a in range(n) for b in range(a + 1, n))
    return Overlap(tuple(one for one in every if one), tuple(met(s) for s in range(n)))


def distinct_codes(splits: Sequence[ComparedSplit]) -> tuple[Any, Any]:
    """The distinct hashes of pictures that are not flat (U, 4), and the place of each among them.

    The places are those of the pictures that are not flat, split after split.
    """
    codes = [split.pictures.code_N4[~split.pictures.flat_N] for split in splits]
    return np.unique(np.concatenate(codes), axis=0, return_inverse=True)


def _near(splits: Sequence[ComparedSplit], advance: Advance) -> list[Marks]:
    """Per split, (N, splits): near to a picture of that split, or equal to it unless flat."""
    code_U4, place = distinct_codes(splits)
    place = place.ravel()
    bounds = np.cumsum([0, *((~split.pictures.flat_N).sum() for split in splits)])
    mine_US = np.zeros((len(code_U4), len(splits)), np.bool_)
    for s in range(len(splits)):
        mine_US[place[bounds[s] : bounds[s + 1]], s] = True
    words = -(-len(splits) // 64)
    packed = np.zeros((len(code_U4), words * 8), np.uint8)
    bits = np.packbits(mine_US, axis=1, bitorder="little")
    packed[:, : bits.shape[1]] = bits
    near_UW = near_sets(code_U4, packed.view("<u8"), advance)
    near_US = _unpacked(near_UW.view(np.uint8), len(splits))
    found = []
    for s, split in enumerate(splits):
        marks = np.zeros((len(split.pictures), len(splits)), np.bool_)
        marks[~split.pictures.flat_N] = near_US[place[bounds[s] : bounds[s + 1]]]
        found.append(marks)
    return found


def _holders(values: Sequence[Sequence[Hashable]]) -> list[Marks]:
    """Per split, (N, splits): whether that split has the value too."""
    who: dict[Hashable, int] = {}
    for s, own in enumerate(values):
        for value in own:
            who[value] = who.get(value, 0) | 1 << s
    size = -(-len(values) // 8)
    rows = (b"".join(who[value].to_bytes(size, "little") for value in own) for own in values)
    return [_unpacked(np.frombuffer(row, np.uint8).reshape(-1, size), len(values)) for row in rows]


def _unpacked(bytes_NB: npt.NDArray[np.uint8], count: int) -> Marks:
    return np.unpackbits(bytes_NB, axis=1, count=count, bitorder="little").astype(np.bool_)
