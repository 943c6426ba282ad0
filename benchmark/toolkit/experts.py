"""Bottleneck adapters side by side, of which each item of a batch takes a few.

    out_b = sum over its choices k of g_bk A_e(x_b),
    A_e(x) = up_e (m * ReLU(down_e x + b_e)) + c_e,

with e the expert of that choice and m a mask of dropped hidden units or none. Choices are put in
order by expert, so that an expert is one product over all of its tokens, and what is done to each
number alone is done for all experts at once. Automatic differentiation of the same formula, expert
by expert, makes many small tensors, which cost more than the products.

Shapes: x (B, L, W); K choices an item, N = B K in all, M = N L tokens; R hidden units.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..backbones.sites import linear
from .low_rank import dropout

_T = TypeVar("_T")
Maps = tuple[Tensor, Tensor, Tensor, Tensor]
"""An expert: down (R, W), b (R), up (W, R), c (W)."""


def mix_experts(
    x_BLW: Tensor,
    index_BK: Tensor,
    gate_BK: Tensor,
    experts: Sequence[Maps],
    drop: float = 0.0,
) -> Tensor:
    """What the chosen experts add to each item (B, L, W), with gradients for all but the choice.

    An expert that no item takes has no gradient: None, not zeros. For this the host waits once.

    Args:
        x_BLW: items of L tokens.
        index_BK: int64, the experts of each item.
        gate_BK: their weights.
        experts: all of them, of equal shapes.
        drop: probability of dropping a hidden unit, see `dropout`.
    """
    kind, length = x_BLW.device.type, x_BLW.shape[1]
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_BLW.dtype
    order_N = index_BK.flatten().argsort(stable=True)
    every_E = torch.arange(len(experts), device=index_BK.device)
    counts = (index_BK.flatten()[:, None] == every_E).sum(dim=0).tolist()
    own = [maps for maps, n in zip(experts, counts, strict=True) if n]
    kept_MR = None
    if drop:
        ones_MR = x_BLW.new_ones(len(order_N) * length, len(experts[0][1]), dtype=dtype)
        kept_MR = dropout(ones_MR, drop)
    params = [p for same in zip(*own, strict=True) for p in same]
    found: Tensor = _Mixed.apply(
        x_BLW, gate_BK, kept_MR, order_N, [n for n in counts if n], dtype, *params
    )
    return found


class _Mixed(torch.autograd.Function):
    """See `mix_experts`. Differentiated twice it refuses, and is not wrong."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BLW: Tensor,
        gate_BK: Tensor,
        kept_MR: Tensor | None,
        order_N: Tensor,
        counts: list[int],
        dtype: torch.dtype,
        *params: Tensor,
    ) -> Tensor:
        down, b, up, c = _by_kind([p.to(dtype) for p in params])
        tokens = [n * x_BLW.shape[1] for n in counts]
        x_MW = _sorted(x_BLW.to(dtype), order_N)
        h_MR = torch.cat([*map(linear, x_MW.split(tokens), down, b)]).relu_()
        if kept_MR is not None:
            h_MR.mul_(kept_MR)
        y_MW = torch.cat([*map(linear, h_MR.split(tokens), up, c)])
        gate_N = gate_BK.flatten()[order_N].to(dtype)
        y_MW.view(len(gate_N), -1).mul_(gate_N[:, None])
        ctx.save_for_backward(x_MW, h_MR, kept_MR, gate_N, order_N, *params)
        ctx.counts, ctx.shape = counts, x_BLW.shape
        return _summed(y_MW, order_N, x_BLW.shape).to(x_BLW.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BLW: Tensor) -> tuple[Tensor | None, ...]:
        x_MW, h_MR, kept_MR, gate_N, order_N, *params = ctx.saved_tensors
        down, _, up, c = _by_kind([p.to(x_MW.dtype) for p in params])
        length, n = ctx.shape[1], len(order_N)
        tokens = [count * length for count in ctx.counts]
        g_MW = _sorted(grad_BLW.to(x_MW.dtype), order_N)
        sum_NW = g_MW.view(n, length, -1).sum(dim=1)
        g_MR = torch.cat([*map(torch.mm, g_MW.split(tokens), up)])
        g_N = (g_MR * h_MR).view(n, -1).sum(dim=1)
        g_N += torch.cat([*map(torch.mv, sum_NW.split(ctx.counts), c)])
        g_gate = torch.empty_like(g_N).index_copy_(0, order_N, g_N)
        # From here on by what an expert gets: the gradient times the item's gate.
        sum_NW = sum_NW.mul_(gate_N[:, None])
        g_MR.view(n, -1).mul_(gate_N[:, None])
        if kept_MR is not None:
            g_MR.mul_(kept_MR)
        g_MR = torch.ops.aten.threshold_backward(g_MR, h_MR, 0)  # as of a ReLU
        h_MR = (h_MR.view(n, -1) * gate_N[:, None]).view_as(h_MR)
        sum_NR = g_MR.view(n, length, -1).sum(dim=1)
        # Of frozen experts there are none.
        down_g, b_g, up_g, c_g = _by_kind(ctx.needs_input_grad[6:])
        whole = (g_MR.split(tokens), x_MW.split(tokens), h_MR.split(tokens), g_MW.split(tokens))
        sums = (sum_NR.split(ctx.counts), sum_NW.split(ctx.counts))
        grads = [
            *(_product(*of) for of in zip(down_g, whole[0], whole[1], strict=True)),
            *(s.sum(dim=0) if asked else None for asked, s in zip(b_g, sums[0], strict=True)),
            *(_product(*of) for of in zip(up_g, whole[3], whole[2], strict=True)),
            *(s.sum(dim=0) if asked else None for asked, s in zip(c_g, sums[1], strict=True)),
        ]
        g_x = None
        if ctx.needs_input_grad[0]:
            g_x = _summed(torch.cat([*map(torch.mm, whole[0], down)]), order_N, ctx.shape)
        return g_x, g_gate.view(ctx.shape[0], -1), None, None, None, None, *grads


def _sorted(x_BLW: Tensor, order_N: Tensor) -> Tensor:
    """The tokens (M, W) of the item of each choice."""
    return x_BLW.index_select(0, order_N // (len(order_N) // len(x_BLW))).flatten(0, 1)


def _summed(y_MW: Tensor, order_N: Tensor, shape: torch.Size) -> Tensor:
    """Back from that order, (B, L, W): sums over the choices of each item."""
    y_NLW = y_MW.view(-1, *shape[1:]).index_select(0, order_N.argsort())
    return y_NLW.view(shape[0], -1, *shape[1:]).sum(dim=1)


def _by_kind(params: Sequence[_T]) -> list[Sequence[_T]]:
    """Those of all experts -> all down, all b, all up, all c."""
    count = len(params) // 4
    return [params[i * count : (i + 1) * count] for i in range(4)]


def _product(asked: bool, left_TO: Tensor, right_TI: Tensor) -> Tensor | None:
    return left_TO.T @ right_TI if asked else None
