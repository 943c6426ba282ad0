"""Two methods on the same test images, by the same orders and seeds.

A difference has two causes beside a true one, and they are kept apart. *Test images*: others could
have been drawn; all runs see the same ones, so that seeds do not average this out. *Training*:
another seed gives another model. The second is estimated from one number a seed, the mean over its
orders: a seed's orders share draws (for a method whose end does not depend on the order they are
one run told twice), so that three seeds in two orders have 3 - 1 = 2 degrees of freedom and not 4.
What the seeds' spread has in it of test images already is not counted twice.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray

from ..errors import BenchError
from .answered import AnsweredRun, Measured, image_covariance
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
    """The largest even grid that both have; None where they have no run in common.

    One with `LEAST_SEEDS` seeds is taken before a larger one with fewer: more runs must not take a
    verdict away.
    """
    ours, theirs = set(a), set(b)
    both = ours & theirs
    orders = sorted({order for order, _ in both})
    found = []
    subsets = chain.from_iterable(combinations(orders, n) for n in range(len(orders), 0, -1))
    for chosen in subsets:
        by_order = [{seed for order, seed in both if order == one} for one in chosen]
        seeds = sorted(set[int].intersection(*by_order))
        found.append((len(seeds) * len(chosen), chosen, tuple(seeds)))
    size, chosen, seeds_ = max(
        found, key=lambda one: (len(one[2]) >= LEAST_SEEDS, one[0]), default=(0, (), ())
    )
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
        df: degrees of freedom of `training`.
    """

    grid: RunGrid
    a: float
    b: float
    difference: float
    images: float
    training: float
    known: float
    df: float

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
        BenchError: code 5, two runs are of other test data under one name.
    """

    def __init__(self, numbers: Mapping[str, Mapping[Cell, Measured]]) -> None:
        self._numbers = {
            label: {cell: numbers[label][cell] for cell in sorted(numbers[label])}
            for label in sorted(numbers)
        }
        every = [one for cells in self._numbers.values() for one in cells.values()]
        _check_images(every)
        self._covariance = image_covariance(every)
        self._place: dict[tuple[str, Cell], int] = {}
        for label, cells in self._numbers.items():
            for cell in cells:
                self._place[label, cell] = len(self._place)

    def grid(self, a: str, b: str) -> RunGrid | None:
        """See `common_grid`."""
        return common_grid(self._numbers[a], self._numbers[b])

    def difference(self, a: str, b: str) -> PairedDifference:
        """Two methods; exchanging them changes signs, and no digit.

        Raises:
            ValueError: they have no run in common.
            BenchError: code 5, two runs of one order and seed are of other sets or steps.
        """
        grid = self.grid(a, b)
        if grid is None:
            raise ValueError(f"{a} and {b} have no order and seed in common")
        pairs = [(self._numbers[a][cell], self._numbers[b][cell]) for cell in grid.cells]
        for one, other in pairs:
            if one.terms != other.terms:
                raise _foreign("the same sets, learned in the same order,", one.run, other.run)
        values = [one.value - other.value for one, other in pairs]
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
            grid=grid, a=fmean(one.value for one, _ in pairs),
            b=fmean(other.value for _, other in pairs),
            difference=fmean(values), images=images, training=training, known=_rounded(known),
            df=n_seeds - 1,
        )  # fmt: skip

    def spreads(self, labels: Sequence[str]) -> list[tuple[float, int]]:
        """Of every pair with common runs, the variance over seeds of its difference; and the seeds.

        As `PairedDifference.training`, which is that variance by the number of seeds, but without
        what it takes to test a difference.
        """
        grids = {label: self.grid(label, label) for label in labels}
        found = []
        for a, b in combinations(labels, 2):
            same = grids[a] == grids[b]
            grid = grids[a] if same else self.grid(a, b)
            if grid is None or len(grid.seeds) < 2:
                continue
            mine, theirs = (self._by_seed(label, grid) for label in (a, b))
            n = len(grid.seeds)
            apart = [x - y for x, y in zip(mine, theirs, strict=True)]
            middle = sum(apart) / n
            found.append((sum((x - middle) ** 2 for x in apart) / (n - 1), n))
        return [(spread if spread > _NOTHING else 0.0, n) for spread, n in found]

    def _by_seed(self, label: str, grid: RunGrid) -> list[float]:
        """The mean over orders for every seed of a grid."""
        cells = self._numbers[label]
        n = len(grid.orders)
        return [sum(cells[order, seed].value for order in grid.orders) / n for seed in grid.seeds]


def error_of_mean(numbers: Sequence[Measured], weights: Sequence[float]) -> float:
    """Standard error of a weighted mean of runs from the draw of test images, their models given.

    Args:
        numbers: of the same sets.
        weights: one a run; they sum to 1.
    """
    whole = image_covariance(numbers)
    weight_R = np.array(weights)
    return math.sqrt(_rounded(float(weight_R @ whole @ weight_R)))


def _mean(block: NDArray[np.float64]) -> float:
    return _rounded(math.fsum(block.reshape(-1).tolist()) / block.size)


def _rounded(variance_: float) -> float:
    return variance_ if variance_ > _NOTHING else 0.0


def _check_images(every: Sequence[Measured]) -> None:
    """Refuse numbers that are of other images under one name."""
    first: dict[str, AnsweredRun] = {}
    for number in every:
        for task in number.parts:
            one, other = first.setdefault(task, number.run), number.run
            if one is other:
                continue
            left, right = one.evidence.keys[task], other.evidence.keys[task]
            same = left.kind == right.kind and np.array_equal(left.value_N, right.value_N)
            known = task in one.data and task in other.data
            if not same or (known and one.data[task] != other.data[task]):
                raise _foreign(f"the same test data of '{task}'", one, other)


def _foreign(expected: str, one: AnsweredRun, other: AnsweredRun) -> BenchError:
    got = "what cannot be paired"
    return BenchError(
        f"{expected} in '{one.name}' and '{other.name}'", got, "run one of them again", code=5
    )
