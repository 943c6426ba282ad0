"""Rows of one encoder for the items of one set: those that were put in, and no others."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..device.moved import moved


@dataclass
class KnownRows:
    """Rows (n, D) by the number of their item, in the order in which they came.

    Attributes:
        place_N: where the row of each of the set's N items is, -1 where it is not there.
        rows_ND: room for rows, where the first ones came from; the first `count` are there.
        given_NG: the bytes that each row was computed under, if it was under any.
        fresh: items whose rows are on no disk.
    """

    place_N: Tensor
    rows_ND: Tensor | None = None
    given_NG: Tensor | None = None
    count: int = 0
    fresh: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, items: int) -> "KnownRows":
        """No row yet of so many items."""
        return cls(torch.full((items,), -1))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        held = (self.place_N, self.rows_ND, self.given_NG)
        return sum(x.nbytes for x in held if x is not None)

    def found(self, item_B: Tensor, given_BG: Tensor | None) -> Tensor:
        """Which of these items (B,) have a row that holds."""
        place_B = self.place_N[item_B]
        if given_BG is None or self.given_NG is None:
            return place_B >= 0
        if given_BG.shape[1] != self.given_NG.shape[1]:
            return torch.zeros_like(place_B, dtype=torch.bool)
        return (place_B >= 0) & (self.given_NG[place_B] == given_BG).all(dim=1)

    def take(self, item_B: Tensor) -> Tensor:
        """The rows (B, D) of items that have one, copied."""
        assert self.rows_ND is not None
        return self.rows_ND[moved(self.place_N[item_B], self.rows_ND.device)]

    def put(self, item_B: Tensor, row_BD: Tensor, given_BG: Tensor | None = None) -> None:
        """Rows of items; the last one counts where an item is there twice or was there before."""
        if not len(item_B):
            return
        new = item_B[self.place_N[item_B] < 0].unique()
        end = self.count + len(new)
        self.place_N[new] = torch.arange(self.count, end)
        self.count = end
        self.rows_ND = _roomy(self.rows_ND, row_BD, end, len(self.place_N))
        # One after the other where an item is there twice: else which one counts is undefined.
        last_B = torch.ones(len(item_B), dtype=torch.bool)
        if len(item_B.unique()) < len(item_B):
            seen = {int(item): place for place, item in enumerate(item_B.tolist())}
            last_B[:] = False
            last_B[list(seen.values())] = True
        place_B = self.place_N[item_B[last_B]]
        own_B = last_B.nonzero()[:, 0]
        if len(own_B) < len(row_BD):
            row_BD = row_BD[moved(own_B, row_BD.device)]
        self.rows_ND[moved(place_B, self.rows_ND.device)] = row_BD.to(self.rows_ND)
        if given_BG is not None:
            if self.given_NG is not None and self.given_NG.shape[1] != given_BG.shape[1]:
                self.given_NG = None
            self.given_NG = _roomy(self.given_NG, given_BG, end, len(self.place_N))
            self.given_NG[place_B] = given_BG[last_B]
        self.fresh.append(item_B)


def _roomy(have: Tensor | None, like: Tensor, need: int, most: int) -> Tensor:
    """Room for so many rows; what was there is kept. It grows by half, so that few are copied."""
    if have is None:
        return like.new_empty((need, like.shape[1]))
    if len(have) >= need:
        return have
    room = like.new_empty((min(max(need, len(have) * 3 // 2), most), have.shape[1]))
    room[: len(have)] = have
    return room
