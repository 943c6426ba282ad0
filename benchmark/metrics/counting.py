"""How many items of a gallery come before a query's best positive, without sorting.

Scores are compared in three steps, each for what the one before left open, block by block:

1. float32 products, whose distance from the exact scores is bounded (`Products.limits`): nearly
   every item is surely above or surely below the positive, and only counted;
2. what is left is scored exactly, pair by pair;
3. or, where much of a block is left (a collapsed model, ties), by a float64 product of the block.

Comparisons are bytes of 0 and 1; eight of them are read as one integer, so that a sum of integers
counts eight columns at once. A block's size bounds the memory. On a CPU it is large enough for the
product to run at full speed (measured: within 5 % of one large product) and small enough for its
comparisons to find the scores in a cache; another device gets one that keeps all of it busy.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .products import Products, ieee

LANES = 128  # bytes that are summed in one byte
WIDE = 8 * LANES  # columns that are summed in one integer
ROWS, CPU_PAIRS, PAIRS = 1024, 1 << 20, 1 << 24  # of a block, at most


def count_ahead(products: Products, best_Q: Tensor, place_Q: Tensor, chunk: int) -> Tensor:
    """Items before each query's best positive: a higher score, or the same and a lower index.

    Args:
        products: of queries (left) and gallery (right).
        best_Q: exact score of the best positive of each query. Where right rows are queries too,
            of which the left ones are the gallery, theirs come after those of the left rows.
        place_Q: its index in the gallery.
        chunk: most left rows at once.

    Returns:
        (Q,) int64.
    """
    return _Count(products, best_Q, place_Q, chunk).run()


class _Count:
    """State of one count.

    Attributes:
        ways: 1, or 2 where right rows are queries too.
        sure, near: (ways, R, C) bool, whether an item of the block is surely before the positive
            of its row's (way 0) or column's query (way 1), or too near to tell.
    """

    def __init__(self, products: Products, best_Q: Tensor, place_Q: Tensor, chunk: int) -> None:
        self.products, self.best_Q, self.place_Q = products, best_Q, place_Q
        self.low_Q, self.high_Q = products.limits(best_Q)
        self.ahead_Q = torch.zeros_like(place_Q)
        self.left, self.right = len(products.left_AD), len(products.right_BD)
        self.ways = 1 if len(best_Q) == self.left else 2
        self.rows = max(1, min(chunk, self.left, ROWS))
        high = _whole(self.rows, LANES)
        device = best_Q.device
        pairs = CPU_PAIRS if device.type == "cpu" else PAIRS
        self.columns = _whole(min(max(pairs // high, 1), self.right), WIDE)
        self.score = torch.empty(self.rows * self.columns, device=device)
        shape = (self.ways, high, self.columns)
        self.sure = torch.zeros(shape, dtype=torch.bool, device=device)
        self.near = torch.zeros_like(self.sure)

    def run(self) -> Tensor:
        """Go over all blocks."""
        with ieee(self.best_Q.device):
            for rows in _slices(self.left, self.rows):
                for columns in _slices(self.right, self.columns):
                    self._block(rows, columns)
        return self.ahead_Q

    def _block(self, rows: slice, columns: slice) -> None:
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        score_RC = self.score[: high * wide].view(high, wide)
        self.products.fast(rows, columns, score_RC)
        if (high, wide) != (self.rows, self.columns):
            self.sure.zero_()
            self.near.zero_()
        for way in range(self.ways):
            of = self._queries(way, rows, columns)
            torch.gt(score_RC, _along(self.high_Q[of], way), out=self.sure[way, :high, :wide])
            torch.ge(score_RC, _along(self.low_Q[of], way), out=self.near[way, :high, :wide])
            self.ahead_Q[of] += _count(self.sure[way], way)[: of.stop - of.start]
        words = self.near.view(torch.int64)
        words.bitwise_xor_(self.sure.view(torch.int64))
        word_N = words.flatten().nonzero().flatten()
        if len(word_N) > high * wide // 64:
            self._settle_block(rows, columns)
        elif len(word_N):
            self._settle_pairs(rows, columns, word_N)

    def _queries(self, way: int, rows: slice, columns: slice) -> slice:
        """Which queries a way asks about in a block."""
        if way == 0:
            return rows
        return slice(self.left + columns.start, self.left + columns.stop)

    def _settle_pairs(self, rows: slice, columns: slice, word_N: Tensor) -> None:
        """Score the few near pairs, of which some are in each of the words."""
        which_N, byte_N = self.near.view(-1, 8)[word_N].nonzero().unbind(1)
        flat_N = word_N[which_N] * 8 + byte_N
        _, high, wide = self.near.shape
        row_N = flat_N // wide % high + rows.start
        column_N = flat_N % wide + columns.start
        by_row_N = flat_N < high * wide
        query_N = row_N.where(by_row_N, column_N + self.left)
        index_N = column_N.where(by_row_N, row_N)
        score_N = self.products.exact(row_N, column_N)
        ahead_N = _ahead(score_N, self.best_Q[query_N], index_N, self.place_Q[query_N])
        self.ahead_Q.index_add_(0, query_N, ahead_N.to(torch.int64))

    def _settle_block(self, rows: slice, columns: slice) -> None:
        """Score all pairs of a block and compare the near ones."""
        near = self.near[:, : rows.stop - rows.start, : columns.stop - columns.start]
        score_RC = self.products.exact_block(rows, columns)
        for way in range(self.ways):
            of = self._queries(way, rows, columns)
            other = rows if way else columns
            index = torch.arange(other.start, other.stop, device=score_RC.device)
            ahead_RC = _ahead(
                score_RC,
                _along(self.best_Q[of], way),
                _along(index, 1 - way),
                _along(self.place_Q[of], way),
            )
            self.ahead_Q[of] += ahead_RC.logical_and_(near[way]).sum(dim=1 - way)


def _ahead(score: Tensor, best: Tensor, index: Tensor, place: Tensor) -> Tensor:
    return (score > best) | ((score == best) & (index < place))


def _along(x_N: Tensor, way: int) -> Tensor:
    """One number for each row of a block (way 0) or for each column (way 1)."""
    return x_N[:, None] if way == 0 else x_N[None, :]


def _count(mask_RC: Tensor, way: int) -> Tensor:
    """How many are true in each row (way 0) or column (way 1); sizes are whole in LANES, WIDE."""
    words, lanes = mask_RC.view(torch.int64), 1 - way
    sums: Tensor = words.unflatten(lanes, (-1, LANES)).sum(dim=lanes + 1)
    return sums.view(torch.uint8).sum(dim=lanes)


def _whole(n: int, unit: int) -> int:
    return (n + unit - 1) // unit * unit


def _slices(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
