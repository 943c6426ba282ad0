"""How many items a tower takes at a time, and that a row is the same in every piece."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...errors import MethodError
from ..device.moved import moved

# That a tower takes at a time. With twice as many, what a block computes for them outgrows a
# processor's caches: a quarter slower on a CPU, at width 128.
IMAGES = 128
TOKENS = 2**12  # likewise, of texts


def in_pieces(
    places: Tensor,
    encode: Callable[[Tensor], Tensor],
    lengths: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Rows (n, D) of items at some places, by as few as a tower takes together.

    Args:
        places: int64 (n,), at least one.
        encode: some of them -> rows.
        lengths: for texts, places -> the numbers of tokens that a tower takes of each.
    """
    rows: Tensor | None = None
    for piece in _pieces(len(places), None if lengths is None else lengths(places)):
        some = encode(places[piece])
        _check(some, len(piece))
        if len(piece) == len(places):
            return some.detach()
        if rows is None:
            rows = some.new_empty((len(places), some.shape[1]))
        rows[moved(piece, rows.device)] = some.detach().to(rows)
    assert rows is not None
    return rows


def _pieces(count: int, length_n: Tensor | None) -> Iterator[Tensor]:
    """Places in [0, count) that a tower takes together; texts are of one length in each."""
    if length_n is None:
        yield from torch.arange(count).split(IMAGES)
        return
    for length in length_n.unique().tolist():
        same = (length_n == length).nonzero()[:, 0]
        yield from same.split(max(1, TOKENS // length))


def _check(rows: object, count: int) -> None:
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != count:
        shape = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise MethodError(
            f"`encode` of items.cached() to give one row for each of {count} items",
            str(shape),
            "return rows (B, D)",
            code=3,
        )


def watched(count: int) -> Tensor:
    """Places of a few items, evenly over all of them."""
    few = min(8, count)
    return torch.tensor([place * (count - 1) // max(1, few - 1) for place in range(few)])


def moved_by(again_BD: Tensor, row_BD: Tensor) -> float:
    """The largest distance of two rows of an item, over their length where that is above 1."""
    far_B = torch.linalg.vector_norm(again_BD - row_BD, dim=1, dtype=torch.float64)
    size_B = torch.linalg.vector_norm(row_BD, dim=1, dtype=torch.float64).clamp(min=1)
    return float((far_B / size_B).max())


def verified(again_BD: Tensor, stored_BD: Tensor, allowed: float, kind: str) -> Tensor:
    """Rows that were encoded again, if those from the store are the same but for rounding.

    Raises:
        MethodError: they are not: the store's are of another state of the method, or of another
            batch.
    """
    off = moved_by(again_BD, stored_BD)
    if not off <= allowed:
        raise MethodError(
            "items.cached(part, encode) with a part whose digest() tells all that rows depend on "
            "beside the backbone, and rows that depend on their own item alone",
            f"the row of {'an image' if kind == 'image' else 'a text'} that moves by {off:.3g} "
            "when it is encoded again",
            "let digest() cover every tensor and setting that `encode` reads",
            code=3,
        )
    return again_BD
