"""What rows of the store depend on beside the items, told by its values."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbones.backbone import Backbone
from ..backbones.content import Content
from ..common.digests import tensor_digest


@dataclass(frozen=True)
class Part:
    """A part of a method that rows depend on, for `items.cached`.

    Attributes:
        about: which part it is, and the settings that the rows depend on.
        named: every tensor that they depend on beside the backbone's.
        content: of the method; it takes a digest again when one of the tensors has changed.
        clip: the backbone that `encode` goes out from; None for the run's own, as it is now.
    """

    about: str
    named: Mapping[str, Tensor]
    content: Content
    clip: Backbone | None = None

    def digest(self) -> str:
        """Sha256 of settings and tensors."""
        return self.content.digest(self.about, self.named)


def told_by_values(rows: Tensor) -> Tensor:
    """Numbers (P, 8) that tell each of P parts of a tensor by its values; on the CPU.

    They are the 256 bits of a digest. What an item has chosen among such parts can so be what its
    row is kept under, see `given` of `items.cached`.
    """
    about = f"{rows.dtype} {tuple(rows.shape[1:])}"
    digests = [tensor_digest([about, part]) for part in rows.detach()]
    return torch.tensor([[int(h[i : i + 8], 16) for i in range(0, 64, 8)] for h in digests])
