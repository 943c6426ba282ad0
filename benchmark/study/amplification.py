"""How much a low-rank change amplifies directions that a weight hardly has.

    ||dW||_F / ||U^T W V||_F,

with U and V the top r left and right singular vectors of dW (Hu et al., LoRA, ICLR 2022, section
7.3; Lu et al., Adaptive Rank, Reduced Forgetting, appendix B.2, equation 8).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Amplification:
    """Of one map.

    Attributes:
        change: ||dW||_F; 0 for no change.
        weight: ||W||_F.
        rank: of dW, as far as float32 factors tell: at most that of the factors.
        used: singular vectors that were taken, min(r, rank).
        along: ||U^T W V||_F; None without a change.
    """

    change: float
    weight: float
    rank: int
    used: int
    along: float | None

    @property
    def factor(self) -> float | None:
        """The factor, at least 0; None without a change, or where W has nothing along it."""
        return self.change / self.along if self.along else None


def amplification(weight: Tensor, b_OK: Tensor, a_KI: Tensor, top: int) -> Amplification:
    """The factor of dW = B A, in float64.

    Args:
        weight: W (out, in), before the change.
        b_OK: (out, K), scales included; K may be 0.
        a_KI: (K, in).
        top: r, at least 1. Beyond the rank of dW singular vectors are arbitrary, so that no more
            than those of its rank are taken.
    """
    w_OI, b, a = (x.detach().double().cpu() for x in (weight, b_OK, a_KI))
    size = float(w_OI.norm())
    if not b.numel():
        return Amplification(0.0, size, 0, 0, None)
    left, upper = torch.linalg.qr(b)
    right, lower = torch.linalg.qr(a.T)
    u, s, vh = torch.linalg.svd(upper @ lower.T)
    change = float(s.norm())
    noise = torch.finfo(torch.float32).eps * max(w_OI.shape)
    rank = int((s > noise * s.max()).sum()) if change else 0
    used = min(top, rank)
    if not used:
        return Amplification(0.0, size, 0, 0, None)
    u_OR, v_IR = left @ u[:, :used], right @ vh[:used].T
    return Amplification(change, size, rank, used, float((u_OR.T @ w_OI @ v_IR).norm()))
