"""Where a method can act inside a block without touching weights or state-dict keys.

- Every linear map of a block is a `Site`: y = W x + b (+ delta(x)).
- Beside the MLP is a plain `Place`: x + MLP(norm(x)) (+ delta(x)), with x the residual stream after
  the attention, as it is.

Attention is ours here, with torch's state-dict keys: `nn.MultiheadAttention` reads
`out_proj.weight` without calling the module, so that an adapter there would act on nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Delta = Callable[[Tensor], Tensor]
PROJECTIONS = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
MAPS = ("attn.q", "attn.k", "attn.v", *PROJECTIONS)  # every linear map of a block


class Place(nn.Module):
    """Something that was computed as y from x, to which delta(x) can be added. It has no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.delta: Delta | None = None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Y as computed by the caller, who has no use for it any more -> y + delta(x)."""
        if self.delta is None or torch.is_grad_enabled():
            return y if self.delta is None else y + self.delta(x)
        # Nobody else holds y: without gradients it can be changed in place.
        add_to = getattr(self.delta, "add_to", None)
        return cast(Tensor, add_to(x, y)) if add_to else y.add_(self.delta(x))


class Site(Place):
    """A place where a linear map W x + b can be changed by an additive delta(x).

    It owns no parameter: `weight` and `bias` are looked up in the module that does, so that the
    state-dict keys stay those of the library. `rows` picks a slice of a packed weight (q, k, v).
    """

    def __init__(self, owner: nn.Module, names: tuple[str, str], rows: slice) -> None:
        super().__init__()
        self._owner = (owner,)  # a tuple, so that the owner is not registered as a child
        self._names, self._rows = names, rows

    @property
    def weight(self) -> Tensor:
        """View (out, in) of the weight; writing to it under no_grad writes to the model."""
        return cast(Tensor, getattr(self._owner[0], self._names[0]))[self._rows]


class Linear(nn.Linear):
    """nn.Linear with a Site."""

    def __init__(self, like: nn.Linear) -> None:
        bias = like.bias is not None
        super().__init__(like.in_features, like.out_features, bias, device="meta")  # draws nothing
        self.weight, self.bias = like.weight, like.bias
        self.site = Site(self, ("weight", "bias"), slice(None))

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        return cast(Tensor, self.site(x, super().forward(x)))


class Attention(nn.Module):
    """Self-attention with torch's packed state-dict keys, and sites q, k, v, out_proj."""

    def __init__(self, like: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, width = like.num_heads, like.embed_dim
        self.in_proj_weight, self.in_proj_bias = like.in_proj_weight, like.in_proj_bias
        self.out_proj = Linear(like.out_proj)
        packed = ("in_proj_weight", "in_proj_bias")
        self.q, self.k, self.v = (
            Site(self, packed, slice(i * width, (i + 1) * width)) for i in range(3)
        )

    def forward(self, x_BLW: Tensor, causal: bool) -> Tensor:
        """Self-attention over L tokens; causal: a token sees itself and those before it."""
        packed = F.linear(x_BLW, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        sites = zip((self.q, self.k, self.v), packed, strict=True)
        out_BLW = attend((site(x_BLW, y) for site, y in sites), self.heads, causal=causal)
        return cast(Tensor, self.out_proj(out_BLW))


def attend(
    qkv: Iterable[Tensor], heads: int, causal: bool = False, seen: Tensor | None = None
) -> Tensor:
    """Attention by several heads.

    Args:
        qkv: queries, keys and values, (B, L, W) each.
        heads: W is divided among them.
        causal: a token sees itself and those before it.
        seen: (B, 1, 1, L) bool, the tokens that can be seen; None for all.

    Returns:
        (B, L, W).
    """
    q, k, v = (y.view(*y.shape[:2], heads, -1).transpose(1, 2) for y in qkv)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=causal)
    return out.transpose(1, 2).flatten(2)


@contextmanager
def holding(deltas: Mapping[Place, Delta | None]) -> Iterator[None]:
    """Inside, each place has that delta; afterwards the one that it had before."""
    before = {place: place.delta for place in deltas}
    try:
        for place, delta in deltas.items():
            place.delta = delta
        yield
    finally:
        for place, delta in before.items():
            place.delta = delta
