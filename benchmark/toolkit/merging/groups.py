"""Which items of a batch go through the same adapters. Shapes as in `mixed`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .mixed import spread
from .spaces import MergeRule


@dataclass(frozen=True)
class Group:
    """Items that go through the same adapters.

    Attributes:
        rows: places (n,) of the items in their batch.
        adapters: which they are, in an order by content; none has weight 0 for all items.
        names: their digests.
        weight_nK: of each item, in that order.
        even: whether every item that goes through these has the same weights.
        merged: whether a rule makes an update of them that is no weighted sum.
    """

    rows: Tensor
    adapters: tuple[int, ...]
    names: tuple[str, ...]
    weight_nK: Tensor
    even: bool
    merged: bool

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, first: int, end: int) -> "Group":
        """Some of the items."""
        return replace(self, rows=self.rows[first:end], weight_nK=self.weight_nK[first:end])

    def index_nK(self, names: Sequence[str]) -> Tensor:
        """Where the adapters of each item stand among these digests."""
        index_K = torch.tensor([names.index(name) for name in self.names], device=self.rows.device)
        return index_K.expand(len(self), -1)

    @property
    def weights(self) -> tuple[float, ...]:
        """Those of the first item; of every one, where they are even."""
        return tuple(self.weight_nK[0].tolist())


def groups_of(
    rule: MergeRule,
    scale: float,
    bins: int,
    names: Sequence[str],
    index_BK: Tensor,
    weight_BK: Tensor,
) -> list[Group]:
    """The groups of a batch, in an order that depends on contents and not on indices.

    Args:
        rule: how several adapters are merged.
        scale: of merged updates, see `spaces.check_merge`.
        bins: steps of a weight in a rule that is not linear.
        names: digest of every adapter.
        index_BK: int64, adapters of each item, best first.
        weight_BK: of the routing; a first weight of 1 means that nothing is merged.
    """
    if not rule.linear:
        parts_BK = (weight_BK * bins).round()
        weight_BK = parts_BK / parts_BK.sum(dim=1, keepdim=True)
    alone_B1 = weight_BK[:, :1] == 1
    if rule.linear:
        weight_BK = torch.where(alone_B1, weight_BK, rule.weigh(weight_BK, scale))
    order = sorted(range(len(names)), key=lambda t: names[t])
    weight_BT = spread(index_BK, weight_BK, len(names))[:, order]
    own_B1 = ~alone_B1 & (rule.linear and not rule.even)  # weights of its own: not told apart by
    key_BT = torch.where(own_B1, (weight_BT > 0).to(weight_BT) * -1, weight_BT)
    group_B = torch.unique(key_BT, dim=0, return_inverse=True)[1]
    found = []
    for g in range(int(group_B.max()) + 1 if len(group_B) else 0):
        rows = (group_B == g).nonzero()[:, 0]
        some_nT = weight_BT[rows]
        used = (some_nT > 0).any(dim=0).nonzero()[:, 0].tolist() or [0]
        own, merges = bool(own_B1[rows[0]]), len(used) > 1 and not rule.linear
        adapters = tuple(order[t] for t in used)
        digests = tuple(names[t] for t in adapters)
        found.append(Group(rows, adapters, digests, some_nT[:, used], not own, merges))
    return found


def cut(groups: Sequence[Group], most: int) -> Iterator[list[Group]]:
    """The same items in order, in pieces of nearly one size, of about `most` items."""
    total = sum(map(len, groups))
    size = -(-total // max(1, round(total / most)))
    piece: list[Group] = []
    for group in groups:
        first = 0
        while first < len(group):
            end = min(len(group), first + size - sum(map(len, piece)))
            piece.append(group.at(first, end))
            first = end
            if sum(map(len, piece)) == size:
                yield piece
                piece = []
    if piece:
        yield piece
