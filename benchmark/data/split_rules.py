"""Rules that divide one file of images into a training and a test part."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import BenchError, difference, quoted

Part = Literal["train", "test"]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ByFraction:
    """A seeded permutation; see `by_fraction`.

    Attributes:
        test: share of the images that are test images, in (0, 1).
        seed: seed of numpy's default generator, >= 0.
    """

    test: float
    seed: int


@dataclass(frozen=True)
class ByColumn:
    """A column says where an image belongs; images with any other value are left out.

    Attributes:
        column: name of the column.
        train: values of the training part; an integer column is compared as text.
        test: values of the test part, disjoint from `train`.
    """

    column: str
    train: tuple[str, ...]
    test: tuple[str, ...]


DivisionRule = ByFraction | ByColumn


def by_fraction(n: int, rule: ByFraction, part: Part) -> Indices:
    """The rule of Hugging Face `datasets.Dataset.train_test_split(test_size=test, seed=seed)`.

    There (datasets 5.2, arrow_dataset.py, `train_test_split`), the images are permuted by
    `numpy.random.default_rng(seed).permutation(n)`, the first ceil(test * n) are the test part,
    and all that follow are the training part. Both keep the permuted order.

    Args:
        n: number of images.
        rule: share and seed.
        part: which part.

    Returns:
        (m,) int64 indices in [0, n), in the order of the permutation.

    Raises:
        BenchError: one of the two parts would be empty.
    """
    n_test = ceil(rule.test * n)
    if not 0 < n_test < n:
        raise BenchError(
            "at least one image in each part of a split",
            f"{n} image(s) split with test = {rule.test}",
            "add images or change the fraction",
        )
    order = np.random.default_rng(rule.seed).permutation(n)
    return order[:n_test] if part == "test" else order[n_test:]


def random_split(n: int, train: float, seed: int) -> tuple[Indices, Indices]:
    """The division of `torch.utils.data.random_split`, as ZSCL's code asks for it.

    There (Thunderbeee/ZSCL b96e714, mtil/src/datasets/collections.py, `split_dataset`), the
    training part has int(train * n) images, and the generator is `torch.Generator()` of that seed.
    `torch.randperm` shuffles by one draw of 32 bits for each place, of the Mersenne twister that
    numpy has too, so that the division needs no torch and does not depend on its version.

    Args:
        n: number of images, less than 2^32 / 20, above which torch draws in another way.
        train: share of the training part, in (0, 1).
        seed: less than 2^32.

    Returns:
        Indices of the training and of the test part, in the order of the permutation.
    """
    raw = np.random.RandomState(seed).randint(0, 2**32, max(0, n - 1), dtype=np.uint32)
    order = list(range(n))
    for i, draw in enumerate(raw.tolist()):
        j = i + draw % (n - i)
        order[i], order[j] = order[j], order[i]
    count = int(train * n)
    return np.asarray(order[:count], np.int64), np.asarray(order[count:], np.int64)


def by_column(values: Sequence[str | None], rule: ByColumn, part: Part, file: str) -> Indices:
    """The images whose split column holds one of the part's values, in file order.

    Args:
        values: the column's value of every image, as text; None where the cell is empty.
        rule: column and values.
        part: which part.
        file: file name for the error.

    Returns:
        (m,) int64 indices in [0, len(values)).

    Raises:
        BenchError: a value of the part never occurs, so the rule misspells it.
    """
    wanted = rule.train if part == "train" else rule.test
    there = {value for value in values if value is not None}
    for value in wanted:
        if value not in there:
            alike = ((other, how) for other in sorted(there) if (how := difference(value, other)))
            near = next((f"write {quoted(other)}, {how}," for other, how in alike), None)
            raise BenchError(
                f"{quoted(value)} among the values of column '{rule.column}' in {file}",
                shown(there),
                f"{near or 'name a value of the column'} in `split.{part}`",
            )
    picked = [i for i, value in enumerate(values) if value in wanted]
    return np.asarray(picked, dtype=np.int64)


def shown(names: Collection[str], most: int = 8) -> str:
    """Names in quotes and in order for an error, at most `most` of them; "nothing" for none."""
    listed = ", ".join(quoted(name) for name in sorted(names)[:most])
    return (listed or "nothing") + (" ..." if len(names) > most else "")
