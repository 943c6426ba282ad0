"""A batch whose items go through different adapters, in one pass of the tower.

Shapes: B items · L tokens · K adapters of an item · T of the bank · Q rank of an update ·
I inputs · O outputs. An update of a linear map is up_OQ down_QI; an item may weigh each of its Q
directions by itself (column_BQ).

Neighbours that use the same adapters are a run. A run has products of its own, or all runs share
those of the stacked factors of every adapter that occurs, in which an item's weights are zero but
for its own. The first takes a few small products for each run, the second multiplies by zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.sites import ROWS
from ..lora import LoRA

CALL, CALL_ELSEWHERE = 2**19, 2**32
"""Multiplications in whose time a run's products are started, beside those that they need.

On a CPU measured at widths 128 to 768, for runs of 1 to 64 items: 15 microseconds at 30 per
nanosecond. Elsewhere three launches of 4 microseconds, at 300 per picosecond: reckoned, not
measured.
"""

Factors = Callable[[str], tuple[Tensor, Tensor]]
"""Site name -> down (Q, I) and up (O, Q)."""


@dataclass(frozen=True)
class Neighbours:
    """Neighbours in a batch that share an update at every site.

    Attributes:
        items: how many they are.
        rank: Q.
        factors: of the update.
        scale: of the update.
        column_BQ: each item's weights on the update's directions; None where all are 1.
    """

    items: int
    rank: int
    factors: Factors
    scale: float = 1.0
    column_BQ: Tensor | None = None

    def low(self, down_QI: Tensor, x: Tensor) -> Tensor:
        """X (items, L, I) -> (items, L, Q): what up is applied to."""
        low = F.linear(x, down_QI)
        if self.column_BQ is None:
            return low
        column_B1Q = self.column_BQ[:, None].to(low.dtype)
        return low * column_B1Q if torch.is_grad_enabled() else low.mul_(column_B1Q)


@dataclass(frozen=True)
class Mixed:
    """The delta of a batch at one site.

    Attributes:
        name: of the site.
        outputs: O.
        runs: of the batch, in order. A batch of a single run gives a row whose bits do not depend
            on how many there are.
        stacked: the batch as one run; None where the runs' updates cannot be stacked.
    """

    name: str
    outputs: int
    runs: tuple[Neighbours, ...]
    stacked: Neighbours | None = None
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (B, L, I) -> (B, L, O)."""
        found = []
        for run, piece in self._of(x):
            down_QI, up_OQ = run.factors(self.name)
            found.append(F.linear(run.low(down_QI, piece) * run.scale, up_OQ))
        return torch.cat(found)

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Y + delta(x), in place."""
        first = 0
        for run, piece in self._of(x):
            down_QI, up_OQ = run.factors(self.name)
            out = y[first : first + run.items]
            short = ROWS - piece.shape[0] * piece.shape[1] if len(self.runs) == 1 else 0
            if short > 0:
                piece = F.pad(piece, (0, 0, 0, -(-short // len(piece))))
                out = F.pad(out, (0, 0, 0, piece.shape[1] - out.shape[1]))
            low = run.low(down_QI, piece)
            # In one product; a matrix product in place does not see autocast.
            rows = out.view(-1, out.shape[-1])
            low, up_QO = low.flatten(0, 1).to(y.dtype), up_OQ.T.to(y.dtype)
            rows.addmm_(low, up_QO, alpha=run.scale)
            if short > 0:
                y.copy_(out[:, : y.shape[1]])
            first += run.items
        return y

    def _of(self, x: Tensor) -> Iterator[tuple[Neighbours, Tensor]]:
        """The runs that are multiplied, with their items."""
        items = sum(run.items for run in self.runs)
        if len(x) != items:
            raise ValueError(f"deltas of {items} items on a batch of {len(x)}")
        runs = self._cheaper(x)
        return zip(runs, x.split([run.items for run in runs]), strict=True)

    def _cheaper(self, x: Tensor) -> tuple[Neighbours, ...]:
        """The runs, or all as one; see `CALL`."""
        if self.stacked is None or len(self.runs) == 1:
            return self.runs
        spared = len(x) * self.stacked.rank - sum(run.items * run.rank for run in self.runs)
        spared *= x.shape[1] * (x.shape[2] + self.outputs)
        call = CALL if x.device.type == "cpu" else CALL_ELSEWHERE
        return self.runs if spared >= call * (len(self.runs) - 1) else (self.stacked,)


def weighted_deltas(
    adapters: Sequence[LoRA], index_BK: Tensor, weight_BK: Tensor
) -> dict[str, Mixed]:
    """Site name -> for each item of a batch, the weighted sum of its adapters' deltas.

    A convex combination of low-rank deltas is the combination of their outputs, so merged weights
    are never built; this is linear merging in core space, exactly (Panariello et al., 2026). A
    batch is one pass. Neighbours that use the same adapters share products, so sort a batch by
    its routes before.

    Args:
        adapters: a bank of equal targets and rank.
        index_BK: int64, which adapters each item uses.
        weight_BK: their weights, at least 0.

    Returns:
        Deltas for inputs (B, L, I) of that batch, which must stay in one piece (see
        `Backbone.chunks`); dropout is not applied.
    """
    weight_BT = spread(index_BK, weight_BK, len(adapters))
    same_B = ((weight_BT[1:] > 0) == (weight_BT[:-1] > 0)).all(dim=1)
    ends = [0, *((~same_B).nonzero()[:, 0] + 1).tolist(), len(weight_BT)]
    runs = tuple(weighted_run(adapters, weight_BT[a:b]) for a, b in pairwise(ends))
    return mixed_deltas(adapters[0], runs, weighted_run(adapters, weight_BT))


def mixed_deltas(
    like: LoRA, runs: Sequence[Neighbours], stacked: Neighbours | None = None
) -> dict[str, Mixed]:
    """Site name -> the delta of a batch of runs, at the sites that an adapter has."""
    sites = {name: len(like.B[key]) for name, key in like.names.items()}
    return {name: Mixed(name, outputs, tuple(runs), stacked) for name, outputs in sites.items()}


def weighted_run(adapters: Sequence[LoRA], weight_BT: Tensor) -> Neighbours:
    """Items as one run, through the stacked factors of those adapters that occur.

    Args:
        adapters: a bank of equal targets and rank.
        weight_BT: at least 0.
    """
    used = [t for t, some in enumerate((weight_BT > 0).any(dim=0).tolist()) if some] or [0]
    those = [adapters[t] for t in used]
    column_BQ = columns(those, weight_BT[:, used])
    return Neighbours(
        len(column_BQ), column_BQ.shape[1], partial(stack, those), column_BQ=column_BQ
    )


def columns(adapters: Sequence[LoRA], weight_BT: Tensor) -> Tensor:
    """Each item's weights (B, T R) on the directions of the stacked factors, scales included."""
    rank = len(next(iter(adapters[0].A.values())))
    scale_T = torch.tensor([adapter.scale for adapter in adapters]).to(weight_BT)
    return (weight_BT * scale_T).repeat_interleave(rank, dim=1)


def stack(adapters: Sequence[LoRA], name: str) -> tuple[Tensor, Tensor]:
    """Down (K R, I) and up (O, K R) of several adapters at a site, without their scales."""
    keys = [(adapter, adapter.names[name]) for adapter in adapters]
    if len(keys) == 1:
        adapter, key = keys[0]
        return adapter.A[key], adapter.B[key]
    down_QI = torch.cat([adapter.A[key] for adapter, key in keys])
    return down_QI, torch.cat([adapter.B[key] for adapter, key in keys], dim=1)


def spread(index_BK: Tensor, weight_BK: Tensor, count: int) -> Tensor:
    """Weights (B, T) of all T adapters, zero for those that an item does not use."""
    weight_BT = weight_BK.new_zeros(len(index_BK), count)
    return weight_BT.scatter_add(1, index_BK, weight_BK)
