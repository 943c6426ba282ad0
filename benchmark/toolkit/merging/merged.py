"""What a rule makes of several updates: one. Shapes as in `spaces`."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Merged:
    """One merged update, delta(x) = up (down x); down_QI None: up is the dense matrix (O, I)."""

    up_OQ: Tensor
    down_QI: Tensor | None = None
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (..., I) -> (..., O): a `Delta`."""
        return F.linear(x if self.down_QI is None else F.linear(x, self.down_QI), self.up_OQ)

    def added_to(self, weight_OI: Tensor) -> Tensor:
        """The weight of a map that is to be changed by the update."""
        up_OQ = self.up_OQ.to(weight_OI)
        if self.down_QI is None:
            return weight_OI + up_OQ
        return torch.addmm(weight_OI, up_OQ, self.down_QI.to(weight_OI))

    @property
    def factors(self) -> tuple[Tensor, Tensor]:
        """Down (Q, I) and up (O, Q), where it has both."""
        assert self.down_QI is not None
        return self.down_QI, self.up_OQ

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.up_OQ.nbytes + (0 if self.down_QI is None else self.down_QI.nbytes)
