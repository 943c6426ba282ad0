"""What a method gives for the items of an evaluation set, checked before it is scored.

Embeddings are compared by their products, so rows that are not of length 1 would be ranked by
length, too; and a row that depends on its neighbours is another one in a batch of other neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbones.known import Precision
from ...errors import MethodError

OFF_LENGTH = 1e-4  # what float32 and any order of summation stay far below
FEWEST, MOST, SHARE = 3, 8, 64  # items that are encoded again: one in SHARE, within these bounds
ALONE = 16  # items that are encoded one by one where some of those few were others
Encode = Callable[[Tensor], Tensor]


class Undefined(ValueError):
    """An embedding without a direction or a score without a value, as of a model that diverged.

    Not a fault of the method by itself: the set has no score, which its cell says.
    """


@dataclass(frozen=True)
class Called:
    """Whose result is checked.

    Attributes:
        hook: of the method. title: of the set. items: what its items are called.
    """

    hook: str
    title: str
    items: str

    def item(self, index: int, count: int) -> str:
        """The place of one item in words."""
        return f"{self.items} {index + 1} of {count} in {self.title}"


def check_rows(rows_ND: Tensor, called: Called) -> None:
    """Refuse embeddings that are not unit rows.

    Raises:
        Undefined: one is NaN, infinite or zero.
        MethodError: one is of another length than 1.
    """
    length_N = torch.linalg.vector_norm(rows_ND.detach(), dim=1, dtype=torch.float64)
    wrong_N = ~((length_N - 1).abs() <= OFF_LENGTH)  # so that NaN is wrong
    if not bool(wrong_N.any()):
        return
    without_N = ~torch.isfinite(length_N) | (length_N == 0)
    bad_N = without_N if bool(without_N.any()) else wrong_N
    first = int(bad_N.int().argmax())
    where = called.item(first, len(rows_ND))
    if bad_N is without_N:
        raise Undefined(
            f"expected rows of {called.hook} with a direction, got one of length "
            f"{float(length_N[first])} for {where}"
        )
    raise MethodError(
        f"{called.hook} to return rows of length 1",
        f"one of length {float(length_N[first]):.6g} for {where}",
        "divide each by its length, as unit() does",
        code=3,
    )


def check_finite(score_BC: Tensor, rows: Tensor, count: int, called: Called) -> None:
    """Refuse scores that are NaN or infinite.

    Args:
        score_BC: of a batch.
        rows: its items' places in the set.
        count: of the set's items.
        called: whose they are.

    Raises:
        Undefined: one is.
    """
    finite_B = torch.isfinite(score_BC).all(dim=1)
    if not bool(finite_B.all()):
        first = int((~finite_B).int().argmax())
        values = score_BC[first]
        got = float(values[~torch.isfinite(values)][0])
        where = called.item(int(rows[first]), count)
        raise Undefined(f"expected finite scores of {called.hook}, got {got} for {where}")


def tolerance(precision: Precision, device: torch.device) -> float:
    """How far an item's unit row may move when its batch is another: rounding, and no more."""
    if precision == "bf16":
        return 5e-2
    return 1e-4 if device.type == "cpu" else 5e-3  # a GPU multiplies float32 in tf32, too


def watched(count: int) -> Tensor:
    """Places of the items that `check_alone` asks for, in ascending order, on the CPU."""
    places: Tensor = torch.cat([_few(count), _spread(count, ALONE)]).unique()
    return places


def check_alone(place_K: Tensor, then_KD: Tensor, encode: Encode, allowed: float, called: Called,
                count: int) -> None:  # fmt: skip
    """Refuse rows that depend on the other items of their batch.

    A few items are encoded again in a batch of their own, in reverse; where one is another then,
    more of them are, one by one. One item alone may be at the edge between two routes, where
    a last bit decides; two are no chance.

    Args:
        place_K: see `watched`.
        then_KD: what these items were encoded to, or scored with.
        encode: places of items -> the same, in a batch of their own.
        allowed: see `tolerance`.
        called: whose they are.
        count: of the set's items.

    Raises:
        MethodError: they do.
    """
    few = _few(count)
    then = dict(zip(place_K.tolist(), then_KD, strict=True))
    # Of a set that is hardly more than these few, one alone: all others would be its neighbours.
    off = _moved(then, encode, [few.flip(0) if count > 2 * len(few) else few[:1]], allowed)
    if not off:
        return
    more = _spread(count, ALONE)
    off |= _moved(then, encode, list(more.split(1)), allowed)
    if len(off) < min(2, len(more)):
        return
    first = max(off, key=lambda index: off[index])
    raise MethodError(
        f"rows of {called.hook} that do not depend on the other items of a batch",
        f"one that moves by {off[first]:.3g} with its neighbours, for {called.item(first, count)}",
        "use no statistics of the batch, or declare 'test batch' in `uses`",
        code=3,
    )


def _few(count: int) -> Tensor:
    return _spread(count, max(FEWEST, min(MOST, count // SHARE)))


def _spread(count: int, most: int) -> Tensor:
    """At most so many places, evenly over all of them."""
    whole = torch.linspace(0, count - 1, min(most, count), dtype=torch.float64).long()
    places: Tensor = whole.unique()
    return places


def _moved(
    then: dict[int, Tensor], encode: Encode, pieces: list[Tensor], allowed: float
) -> dict[int, float]:
    """Place -> distance, of the items that are others in these batches."""
    places = torch.cat(pieces).tolist()
    again_KD = torch.cat([encode(piece).clone() for piece in pieces])
    then_KD = torch.stack([then[place] for place in places])
    far_K = torch.linalg.vector_norm((again_KD - then_KD).detach(), dim=1, dtype=torch.float64)
    size_K = torch.linalg.vector_norm(then_KD.detach(), dim=1, dtype=torch.float64).clamp(min=1)
    offs = zip(places, (far_K / size_K).tolist(), strict=True)
    return {place: off for place, off in offs if not off <= allowed}
