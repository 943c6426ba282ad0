"""Two methods on the same test images, by the same orders and seeds.

A difference has two causes beside a true one, and they are kept apart. *Test images*: others could
have been drawn; all runs see the same ones, so that seeds do not average this out. *Training*:
another seed gives another model. The second is estimated from one number a seed, the mean over its
orders: a seed's orders share draws (for a method whose end does not depend on the order they are
one run told twice), so that three seeds in two orders have 3 - 1 = 2 degrees of freedom and not 4.
What the seeds' spread has in it of test images already is not counted twice.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray

from .answered import Measured, image_covariance
from .distributions import sum_quantile, sum_tail

Cell = tuple[str, int]
"""Order and seed of a run."""
LEAST_SEEDS = 3
"""Below these nothing is said of a method, only of its runs."""
_NOTHING = 1e-16  # a variance that is rounding; one query of a million in ten sets has 1e-14


@dataclass(frozen=True)
class RunGrid:
    """The runs that two methods are compared by: every order with every seed.

    Attributes:
        orders: sorted.
        seeds: sorted.
        left_out: runs of either that have no counterpart, or would make the grid uneven.
    """

    orders: tuple[str, ...]
    seeds: tuple[int, ...]
    left_out: tuple[Cell, ...]

    @property
    def cells(self) -> list[Cell]:
        """Seed after seed, in each every order."""
        return [(order, seed) for seed in self.seeds for order in self.orders]


def common_grid(a: Iterable[Cell], b: Iterable[Cell]) -> RunGrid | None:
    """The largest even grid that both have; None where they have no run in common."""
    ours, theirs = set(a), set(b)
    both = ours & theirs
    orders = sorted({order for order, _ in both})
    found = []
    subsets = chain.from_iterable(combinations(orders, n) for n in range(len(orders), 0, -1))
    for chosen in subsets:
        by_order = [{seed for order, seed in both if order == one} for one in chosen]
        seeds = sorted(set[int].intersection(*by_order))
        found.append((len(seeds) * len(chosen), chosen, tuple(seeds)))
    size, chosen, seeds_ = max(found, key=lambda one: one[0], default=(0, (), ()))
    if not size:
        return None
    used = {(order, seed) for order in chosen for seed in seeds_}
    return RunGrid(tuple(chosen), seeds_, tuple(sorted((ours | theirs) - used)))


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two methods in one number, and how sure it is. Fractions.

    Attributes:
        grid: the runs that are compared.
        a, b: means over orders of means over seeds.
        difference: a - b.
        images: variance from the draw of test images, the trained models given.
        training: variance from the training seeds, as it was seen on these images; 0 for one seed.
        known: the part of `images` that the seeds' spread does not contain.
    """

    grid: RunGrid
    a: float
    b: float
    difference: float
    images: float
    training: float
    known: float

    @property
    def df(self) -> int:
        """Degrees of freedom of `training`."""
        return len(self.grid.seeds) - 1

    @property
    def sure(self) -> bool:
        """Whether there are seeds enough to say something of the methods."""
        return len(self.grid.seeds) >= LEAST_SEEDS

    @property
    def error(self) -> float:
        """Standard error of both causes together."""
        return math.sqrt(self.training + self.known)

    @property
    def p(self) -> float | None:
        """P-value of both sides of 'no difference'; None for too few seeds."""
        if not self.sure:
            return None
        return sum_tail(abs(self.difference), self.training, self.df, self.known)

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """The interval that belongs to `p`; None for too few seeds."""
        if not self.sure:
            return None
        half = sum_quantile(alpha, self.training, self.df, self.known)
        return self.difference - half, self.difference + half


class Field:
    """All methods that are compared in one number, on the same images.

    Args:
        numbers: label -> order and seed -> that number of that run.

    Raises:
        ValueError: two runs are not of the same sets, or of other test data.
    """

    def __init__(self, numbers: Mapping[str, Mapping[Cell, Measured]]) -> None:
        self._numbers = {
            label: {cell: numbers[label][cell] for cell in sorted(numbers[label])}
            for label in sorted(numbers)
        }
        every = [one for cells in self._numbers.values() for one in cells.values()]
        for other in every[1:]:
            check_same_images(every[0], other)
        self._covariance = image_covariance(every)
        self._place: dict[tuple[str, Cell], int] = {}
        for label, cells in self._numbers.items():
            for cell in cells:
                self._place[label, cell] = len(self._place)

    def grid(self, a: str, b: str) -> RunGrid | None:
        """See `common_grid`."""
        return common_grid(self._numbers[a], self._numbers[b])

    def error(self, label: str) -> float:
        """Standard error of a method's mean from the draw of test images, its models given."""
        grid = self.grid(label, label)
        assert grid is not None
        places = [self._place[label, cell] for cell in grid.cells]
        return math.sqrt(_mean(self._covariance[np.ix_(places, places)]))

    def difference(self, a: str, b: str) -> PairedDifference:
        """Two methods; exchanging them changes signs, and no digit.

        Raises:
            ValueError: they have no run in common.
        """
        grid = self.grid(a, b)
        if grid is None:
            raise ValueError(f"{a} and {b} have no order and seed in common")
        ours, theirs = ([self._numbers[label][c].value for c in grid.cells] for label in (a, b))
        values = [x - y for x, y in zip(ours, theirs, strict=True)]
        i, j = ([self._place[label, c] for c in grid.cells] for label in (a, b))
        c = self._covariance
        apart = (c[np.ix_(i, i)] + c[np.ix_(j, j)]) - (c[np.ix_(i, j)] + c[np.ix_(j, i)])
        n_seeds, n_orders = len(grid.seeds), len(grid.orders)
        of_seeds = apart.reshape(n_seeds, n_orders, n_seeds, n_orders)
        images = _mean(apart)
        per_seed = [fmean(values[s * n_orders : (s + 1) * n_orders]) for s in range(n_seeds)]
        training = variance(per_seed) / n_seeds if n_seeds > 1 else 0.0
        known = images
        if n_seeds > 1 and training:
            own = [_mean(of_seeds[s, :, s, :]) for s in range(n_seeds)]
            shared = max(0.0, (fmean(own) - images) / (n_seeds - 1))
            known = max(0.0, images - shared)
        return PairedDifference(
            grid, fmean(ours), fmean(theirs), fmean(values), images, training, _rounded(known)
        )


def _mean(block: NDArray[np.float64]) -> float:
    return _rounded(math.fsum(block.reshape(-1).tolist()) / block.size)


def _rounded(variance_: float) -> float:
    return variance_ if variance_ > _NOTHING else 0.0


def check_same_images(one: Measured, other: Measured) -> None:
    """Refuse numbers that are of other sets, or of other images under one name.

    Raises:
        ValueError: a sentence on the first set that differs.
    """
    a, b = one.run, other.run
    if different := set(one.parts) ^ set(other.parts):
        name = min(different)
        there, lacking = (a, b) if name in one.parts else (b, a)
        raise ValueError(f"'{name}' is in '{there.name}' and not in '{lacking.name}'")
    for task in one.parts:
        left, right = a.evidence.keys[task], b.evidence.keys[task]
        same_key = left.kind == right.kind and np.array_equal(left.value_N, right.value_N)
        if not same_key or a.data.get(task) != b.data.get(task):
            raise ValueError(f"other test data of '{task}' in '{a.name}' than in '{b.name}'")
