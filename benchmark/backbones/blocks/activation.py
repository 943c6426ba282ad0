"""The approximation of GELU that OpenAI's weights were trained with, in few passes over memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 1.702  # Hendrycks and Gimpel, 2016


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x) at every element; it has no parameter, as open_clip's has none.

    It is silu(1.702 x) / 1.702, whose derivative is silu'(1.702 x) exactly. So both directions are
    one kernel of torch's with a product by a number beside it, where the formula as it stands takes
    three passes forward and five back, and keeps two tensors more.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if torch.compiler.is_compiling():  # which fuses the formula itself
            return x * torch.sigmoid(SLOPE * x)
        if torch.is_grad_enabled() and x.requires_grad:
            found: Tensor = _Quick.apply(x)
            return found
        return _quick(x)


def _quick(x: Tensor) -> Tensor:
    return F.silu(x * SLOPE, inplace=True).mul_(1 / SLOPE)


class _Quick(torch.autograd.Function):
    """Only its input is kept, so that it can be differentiated as often as one likes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _quick(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        z = ctx.saved_tensors[0] * SLOPE
        if torch.is_grad_enabled():  # to be differentiated again, which the kernel cannot
            gate = torch.sigmoid(z)
            found: Tensor = grads[0] * gate * (1 + z * (1 - gate))
        else:
            found = torch.ops.aten.silu_backward(grads[0], z)
        return found
