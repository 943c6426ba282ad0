"""A linear map with a low-rank change, forward and backward in few passes over memory.

    y = W x + b + B (g * s A (m * x)),

with W and b frozen, A (R, in) and B (out, R) trained, s a number, g (R,) gates or none, and m a
mask of dropped features or none. Automatic differentiation of the same formula makes a tensor of
the size of x or of y for every step of it, which costs more than the products.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..backbones.sites import ROWS, linear


def low_rank(
    x: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float = 1.0, gate_R: Tensor | None = None
) -> Tensor:
    """B (gate * scale * A x) for inputs (..., in), as (..., out)."""
    low = linear(x, a_RI) * scale
    return linear(low if gate_R is None else low * gate_R, b_OR)


def add_low_rank(
    y: Tensor,
    x: Tensor,
    a_RI: Tensor,
    b_OR: Tensor,
    scale: float = 1.0,
    gate_R: Tensor | None = None,
) -> Tensor:
    """Y + `low_rank`, in place where y is in one piece; without gradients."""
    rows = x.numel() // x.shape[-1]
    if rows < ROWS or not y.is_contiguous():
        return y.add_(low_rank(x, a_RI, b_OR, scale, gate_R))
    low_NR = F.linear(x, a_RI).flatten(0, -2) * scale
    low_NR = low_NR if gate_R is None else low_NR * gate_R
    # A matrix product in place does not see autocast.
    y.view(rows, -1).addmm_(low_NR.to(y.dtype), b_OR.T.to(y.dtype))
    return y


def mapped(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    factors: tuple[Tensor, Tensor],
    scale: float = 1.0,
    gate_R: Tensor | None = None,
    drop: float = 0.0,
) -> Tensor:
    """The whole map for inputs (..., in), as (..., out), with gradients for x, A, B and gates.

    Args:
        x: any number of dimensions, at least two.
        weight: (out, in), without gradient.
        bias: (out), without gradient.
        factors: A (R, in) and B (out, R).
        scale: s.
        gate_R: g; None for none.
        drop: probability of dropping a feature, see `mask`; the others grow to match.
    """
    kind, kept = x.device.type, None
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    if cut := _cut(drop):
        kept, scale = mask(x.shape, drop, x.device).to(dtype), scale * 65536 / (65536 - cut)
    found: Tensor = _Mapped.apply(x, *factors, gate_R, weight, bias, kept, scale, dtype)
    return found


def dropout(x: Tensor, p: float) -> Tensor:
    """Drop each element with probability p, rounded to 1/65536, and scale the rest to match.

    Args:
        x: any shape.
        p: probability in [0, 0.99].
    """
    cut = _cut(p)
    return x * mask(x.shape, p, x.device).to(x.dtype).mul_(65536 / (65536 - cut)) if cut else x


def mask(shape: tuple[int, ...], p: float, device: torch.device) -> Tensor:
    """1 where an element of x (*shape) is kept and 0 where it is dropped, float32.

    Four 16-bit draws are cut from every 64-bit one: on a CPU torch's own mask costs more than the
    forward pass of a small model.
    """
    count = prod(shape)
    draws = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
    bits = draws.random_(-(2**63), None).view(torch.int16)[:count].view(shape)
    return bits.float().ge_(_cut(p) - 32768)  # a comparison that also converts is slow


def _cut(p: float) -> int:
    return round(p * 65536)


@dataclass(frozen=True, eq=False)
class Factored:
    """A low-rank change as tensors and a number alone, for a graph; see `low_rank`.

    Attributes:
        kept: bool, in the shape of x; None drops nothing.
        scale: for what is kept.
    """

    a_RI: Tensor
    b_OR: Tensor
    gate_R: Tensor | None
    kept: Tensor | None
    scale: float
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        x = x if self.kept is None else x * self.kept
        return low_rank(x, self.a_RI, self.b_OR, self.scale, self.gate_R)


def factored(
    factors: tuple[Tensor, Tensor],
    scale: float = 1.0,
    gate_R: Tensor | None = None,
    drop: float = 0.0,
    real: tuple[int, int] = (0, 0),
    padded: tuple[int, int] = (0, 0),
) -> Factored:
    """A change whose dropped features are drawn beforehand.

    Args:
        factors: A (R, in) and B (out, R).
        scale: s.
        gate_R: g; None for none.
        drop: probability of dropping a feature, see `mask`; the others grow to match.
        real: items and tokens of x; it is for those that anything is drawn.
        padded: items and tokens that x comes with.
    """
    kept, (a_RI, b_OR) = None, factors
    if cut := _cut(drop):
        kept = mask((*real, a_RI.shape[1]), drop, a_RI.device).bool()
        more, longer = (there - here for here, there in zip(real, padded, strict=True))
        kept, scale = F.pad(kept, (0, 0, 0, longer, 0, more)), scale * 65536 / (65536 - cut)
    return Factored(a_RI, b_OR, gate_R, kept, scale)


class _Mapped(torch.autograd.Function):
    """See `mapped`; `kept` is the mask. Differentiated twice it refuses, and is not wrong."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        a: Tensor,
        b: Tensor,
        gate: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        kept: Tensor | None,
        scale: float,
        dtype: torch.dtype,
    ) -> Tensor:
        x_NI, a, b, weight = x.flatten(0, -2).to(dtype), a.to(dtype), b.to(dtype), weight.to(dtype)
        y_NO = F.linear(x_NI, weight, None if bias is None else bias.to(dtype))
        x_NI = x_NI if kept is None else x_NI * kept.flatten(0, -2)
        low_NR = (x_NI @ a.T).mul_(scale)
        y_NO.addmm_(low_NR if gate is None else low_NR * gate.to(dtype), b.T)
        ctx.save_for_backward(x_NI, a, b, gate, weight, kept, low_NR)
        ctx.scale = scale
        return y_NO.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, a, b, gate, weight, kept, low_NR = ctx.saved_tensors
        g_NO = grad.flatten(0, -2)
        g_NR, g_gate = g_NO @ b, None
        if gate is not None:
            g_gate = (g_NR * low_NR).sum(dim=0)
            g_NR, low_NR = g_NR * gate.to(g_NR.dtype), low_NR * gate.to(g_NR.dtype)
        g_b = (low_NR.T @ g_NO).T  # three times as fast as the other way about
        g_NR = g_NR.mul_(ctx.scale)
        g_a, g_x = g_NR.T @ x_NI, None
        if ctx.needs_input_grad[0]:
            g_x = g_NO @ weight
            if kept is None:
                g_x.addmm_(g_NR, a)
            else:
                g_x.addcmul_(g_NR @ a, kept.flatten(0, -2))
            g_x = g_x.view(*grad.shape[:-1], -1)
        return g_x, g_a, g_b, g_gate, None, None, None, None, None
