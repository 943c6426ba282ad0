"""Rows of copies of the backbone in training, looked at again when a task ends.

Such rows are told apart by the copy's contents, which are digested again where torch counted a
write. A write through `.data`, or by a kernel that torch does not know of, is not counted: the rows
would stay those of the weights before it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import MethodError
from .embeddings import EncoderKey
from .pieces import moved_by


@dataclass(frozen=True)
class _First:
    key: Callable[[], EncoderKey | None]
    encode: Callable[[], Tensor]
    row_1D: Tensor


class Asked:
    """The first item that each encoder was asked for, with its row."""

    def __init__(self) -> None:
        self._first: dict[EncoderKey, _First] = {}

    def knows(self, encoder: EncoderKey) -> bool:
        """Whether it has one of that encoder."""
        return encoder in self._first

    def note(
        self,
        encoder: EncoderKey,
        key: Callable[[], EncoderKey | None],
        encode: Callable[[], Tensor],
        row_1D: Tensor,
    ) -> None:
        """Remember an item.

        Args:
            encoder: whose row it is.
            key: gives the encoder's key as it is when it is called.
            encode: computes the row anew.
            row_1D: as it was then.
        """
        self._first[encoder] = _First(key, encode, row_1D)

    @torch.no_grad()
    def look_again(self, allowed: float) -> None:
        """Encode each item once more, and forget them all.

        Args:
            allowed: how far a row may move by rounding.

        Raises:
            MethodError: a row is another, and the encoder's key is what it was.
        """
        known, self._first = self._first, {}
        for encoder, first in known.items():
            if first.key() != encoder:
                continue  # it was changed in a way that was noticed
            if not (off := moved_by(first.encode(), first.row_1D)) <= allowed:
                raise MethodError(
                    "weights of a teacher that stay as they are, or that are changed in a way that "
                    "torch counts",
                    f"a training item whose row by a teacher moved by {off:.3g} unnoticed",
                    "write to the weights by torch's in-place functions under torch.no_grad(), and "
                    "not through .data, or call torch.autograd.graph.increment_version afterwards",
                    code=3,
                )
