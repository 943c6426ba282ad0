"""Products of pairs of rows: the exact scores, and fast ones with a proven bound on their error.

Notation: s is the product of two rows x and y of D numbers in real arithmetic, |x| a row's length,
gamma(n, u) = n u / (1 - n u). A sum of D products, in any order and with or without fused
multiply-adds, in arithmetic of unit roundoff u, is within gamma(D, u) sum |x_i y_i| of s, which is
at most gamma(D, u) |x| |y| (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
section 3.1 and Cauchy-Schwarz).

The exact score is a float64 number rounded once to float32. That number is a sum without an order:
each row is cut into slices of so few bits that a product of two slices is computed without any
rounding, whoever sums it (as in K. Ozaki et al., Error-free transformations of matrix
multiplication, Numerical Algorithms 59, 2012), and the products of slices are added in one fixed
order. It is within gamma(16, 2**-53) |x| |y| of s. Nearly always any float64 sum tells which
float32 that is, as both ends of its error round to the same; only where not are slices made.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

U32, U64 = 2.0**-24, 2.0**-53
# Absolute error of a product when float32 underflows, flushed to zero or not: numbers are below
# 2**16 here, and an error of 2**-126 in each factor and in the product stays below this.
UNDERFLOW = 2.0**-108
SLICES = 3
# float64 numbers at once: what stays in a core's second-level cache, and what fills other devices.
CACHED, MANY = 1 << 16, 1 << 25


def gamma(n: int, u: float) -> float:
    """Relative error of n roundings, infinite where nothing can be said."""
    return n * u / (1 - n * u) if n * u < 1 else math.inf


class Products:
    """Two sets of rows and what is asked of their products.

    Attributes:
        left_AD, right_BD: the rows as they came.
        left32_AD, right32_BD: in float32, divided by a power of two where they are far from 1.
        scale: what a product of rows is divided by to get that of the float32 rows.
        left_A, right_B: upper bounds, float64, on the lengths of the float32 rows.
    """

    def __init__(
        self, left_AD: Tensor, right_BD: Tensor, left_size: float, right_size: float
    ) -> None:
        """Rows without NaN or infinity, and the largest absolute value of either set."""
        self.left_AD, self.right_BD = left_AD, right_BD
        self.left32_AD, left_scale = _near_one(left_AD, left_size)
        self.right32_BD, right_scale = _near_one(right_BD, right_size)
        self.scale = left_scale * right_scale
        self.width = left_AD.shape[1]
        self.left_A, self.right_B = _lengths(self.left32_AD), _lengths(self.right32_BD)
        self.at_once = CACHED if left_AD.device.type == "cpu" else MANY

    def exact(self, left_N: Tensor, right_N: Tensor) -> Tensor:
        """Scores (N,) of pairs, float32: the definition, a function of a pair's rows alone."""
        sum_N = self._by_pair(left_N, right_N, lambda x, y: x.mul_(y).sum(dim=1))
        score_N, unsure_N = self._rounded(sum_N, self.left_A[left_N] * self.right_B[right_N])
        index_N = unsure_N.nonzero()[:, 0]
        return score_N.index_put_((index_N,), self._sliced(left_N[index_N], right_N[index_N]))

    def exact_block(self, rows: slice, columns: slice) -> Tensor:
        """Exact scores (R, C) of a block."""
        left_RD, right_CD = self.left_AD[rows].double(), self.right_BD[columns].double()
        length_RC = self.left_A[rows, None] * self.right_B[columns]
        score_RC, unsure_RC = self._rounded(left_RD @ right_CD.T, length_RC)
        row_N, column_N = unsure_RC.nonzero().unbind(1)
        if len(row_N) <= score_RC.numel() // 64:
            one_by_one = self._sliced(row_N + rows.start, column_N + columns.start)
            return score_RC.index_put_((row_N, column_N), one_by_one)
        return _sum_of_slices(left_RD, right_CD, block=True).float()

    def fast(self, rows: slice, columns: slice, out: Tensor) -> Tensor:
        """float32 products of a block of `left32` and `right32`, into `out`; inside `ieee`."""
        return torch.mm(self.left32_AD[rows], self.right32_BD[columns].T, out=out)

    def limits(self, best_Q: Tensor) -> tuple[Tensor, Tensor]:
        """What fast products say of exact scores.

        Let e be a pair's exact score and f its fast product. With the rows scaled by powers of
        two, f is a sum of D products of rows that were rounded to float32 once: within
        gamma(D + 2, u) |x| |y| of s. e is s but for gamma(16, 2**-53) |x| |y|, less than
        u |x| |y| / 2, and one rounding to float32 of at most u |s|, or half of the smallest
        float32 where it underflows. So |f - e| is at most gamma(D + 4, u) |x| |y| and what
        underflows; one u more pays for the float64 arithmetic here, and the limits are rounded
        outwards. Where e overflowed, it is only known to be beyond the largest float32.

        Args:
            best_Q: exact scores of the queries: those of the left rows, then, if they are queries
                too, those of the right rows.

        Returns:
            low_Q, high_Q, float32: a fast product below low has an exact score below best, one
            above high has one above best.
        """
        length_Q = torch.cat([self.left_A * self.right_B.max(), self.right_B * self.left_A.max()])
        smallest = UNDERFLOW * self.width + 2.0**-150 / self.scale
        error_Q = gamma(self.width + 5, U32) * length_Q[: len(best_Q)] + smallest
        largest = torch.finfo(torch.float32).max
        low_Q = best_Q.double().clamp(max=largest) / self.scale - error_Q
        high_Q = best_Q.double().clamp(min=-largest) / self.scale + error_Q
        outside = torch.full_like(best_Q, torch.inf)
        return low_Q.float().nextafter(-outside), high_Q.float().nextafter(outside)

    def _rounded(self, sum_: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """float64 sums in whatever order as exact scores, and where they do not tell those."""
        slack = length.mul_(gamma(self.width + 32, U64) * self.scale).add_(2.0**-1000)
        score = (sum_ - slack).float()
        return score, score != (sum_ + slack).float()

    def _sliced(self, left_N: Tensor, right_N: Tensor) -> Tensor:
        return self._by_pair(left_N, right_N, partial(_sum_of_slices, block=False)).float()

    def _by_pair(
        self, left_N: Tensor, right_N: Tensor, product: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """A product (N,) of float64 rows of pairs, a bounded number of them at once."""
        size = max(1, self.at_once // self.width)
        found = [left_N.new_empty(0, dtype=torch.float64)]
        for left_P, right_P in zip(left_N.split(size), right_N.split(size), strict=True):
            left_PD = self.left_AD.index_select(0, left_P).double()
            found.append(product(left_PD, self.right_BD.index_select(0, right_P)))
        return torch.cat(found)


def _sum_of_slices(left_XD: Tensor, right_YD: Tensor, block: bool) -> Tensor:
    """Exact scores before their rounding: (X, Y) of a block, or (X,) of rows that are pairs."""
    left, left_power = _slices(left_XD)
    right, right_power = _slices(right_YD)
    total: Tensor | None = None
    for level in range(2 * SLICES - 2, -1, -1):
        for i in range(max(0, level - SLICES + 1), level // 2 + 1):
            part = _dot(left[i], right[level - i], block)
            if 2 * i < level:  # together, so that a pair may be turned round
                part += _dot(left[level - i], right[i], block)
            total = part if total is None else total.add_(part)
    assert total is not None
    return total.mul_(left_power[:, None] if block else left_power).mul_(right_power)


def _dot(x: Tensor, y: Tensor, block: bool) -> Tensor:
    return x @ y.T if block else (x * y).sum(dim=1)


def _slices(x_ND: Tensor) -> tuple[list[Tensor], Tensor]:
    """Rows as a power of two (N,) times a sum of slices (N, D).

    A slice is a whole number of at most b bits times a unit, where D products of such numbers
    stay within the 53 bits of a float64.
    """
    x_ND = x_ND.double()
    bits = (53 - math.ceil(math.log2(x_ND.shape[1]))) // 2
    size_N = x_ND.abs().amax(dim=1)
    size_N = size_N.where(size_N > 0, 1.0)
    power_N = size_N / size_N.frexp().mantissa
    rest_ND = x_ND / power_N[:, None]
    found = []
    for i in range(1, SLICES + 1):
        unit = 2.0 ** (-bits * i)
        found.append((rest_ND / unit).round_().mul_(unit))
        rest_ND -= found[-1]
    return found, power_N


def _lengths(x32_ND: Tensor) -> Tensor:
    """Upper bounds (N,) on lengths: a float32 sum of squares, its error, and what underflowed."""
    more = 1 + gamma(x32_ND.shape[1] + 6, U32)
    length_N: Tensor = torch.linalg.vector_norm(x32_ND, dim=1).double()
    return length_N * more + 2.0**-50


def _near_one(x_ND: Tensor, size: float) -> tuple[Tensor, float]:
    """The rows in float32, and what they were divided by."""
    power = math.frexp(size)[1] if size else 0
    if -16 < power < 16:
        return x_ND.float(), 1.0
    scale = math.ldexp(1.0, max(power, -1000))
    return (x_ND.double() / scale).float(), scale


@contextmanager
def ieee(device: torch.device) -> Iterator[None]:
    """Inside, float32 products are float32's: no TF32 or bfloat16 in their place, no autocast."""
    backends: Any = torch.backends
    matmuls = (backends.cuda.matmul, backends.mkldnn.matmul)
    before = [m.fp32_precision for m in matmuls]
    try:
        for m in matmuls:
            m.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for m, precision in zip(matmuls, before, strict=True):
            m.fp32_precision = precision
