"""Look-ups of what belongs to a batch's items; a piece of the batch looks up its own rows alone."""

from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R", bound=Tensor | None)


class Lookup(Generic[P, R]):
    """Rows of a table, read when the look-up is called.

    Args:
        table: table(rows_B, ...) -> what belongs to the items at these rows of a split, (B, ...).
        rows_B: int64, the rows.
    """

    def __init__(self, table: Callable[Concatenate[Tensor, P], R], rows_B: Tensor) -> None:
        self._table, self._rows_B = table, rows_B

    def __len__(self) -> int:
        return len(self._rows_B)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What belongs to all of the items, (B, ...)."""
        return self._table(self._rows_B, *args, **kwargs)

    def piece(self, rows: Tensor) -> "Lookup[P, R]":
        """The look-up of the items at `rows` of these."""
        return Lookup(self._table, self._rows_B[rows.to(self._rows_B.device)])


def piece_of(lookup: Callable[P, R], rows: Tensor) -> Callable[P, R]:
    """The look-up of a piece of a batch; a function that is no `Lookup` is asked for the whole."""
    if isinstance(lookup, Lookup):
        return lookup.piece(rows)

    def piece(*args: P.args, **kwargs: P.kwargs) -> R:
        whole = lookup(*args, **kwargs)
        return whole if whole is None else cast(R, whole[rows])

    return piece
