"""Attention with sites, of all tokens or of one.

It is ours, with torch's state-dict keys: `nn.MultiheadAttention` reads `out_proj.weight` without
calling the module, so that an adapter there would act on nothing.

Of the last block of a tower only one token is used, the class token or the end of the text. All
that comes after its attention is computed for that token alone. (Queries of all tokens are, so that
the one token's bits are those of the whole computation: torch's attention has other ones for
another number of queries.) Where a delta looks at the item's first token too, both are.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..sites import Linear, Place, Site, linear

At = Tensor | int | None
"""Places (B,) or (B, N) of one token or N of each item, or one for all; None for all tokens."""


class Attention(nn.Module):
    """Self-attention with torch's packed state-dict keys, and sites q, k, v, out_proj."""

    def __init__(self, like: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, width = like.num_heads, like.embed_dim
        self.in_proj_weight, self.in_proj_bias = like.in_proj_weight, like.in_proj_bias
        self.out_proj = Linear(like.out_proj)
        names = ("in_proj_weight", "in_proj_bias")
        self.q, self.k, self.v = (
            Site(self, names, slice(i * width, (i + 1) * width)) for i in range(3)
        )

    def forward(self, x_BLW: Tensor, causal: bool, at: At = None) -> Tensor:
        """Self-attention over L tokens.

        Args:
            x_BLW: all tokens.
            causal: a token sees itself and those before it.
            at: which tokens of each item are asked for; None for all.

        Returns:
            (B, L, W), or (B, 1, W) for one and (B, N, W) for N.
        """
        sites = (self.q, self.k, self.v)
        qkv = packed(x_BLW, sites, self.in_proj_weight, self.in_proj_bias)
        return cast(Tensor, self.out_proj(pooled(attend(qkv, self.heads, causal=causal), at)))


def packed(
    x_BLW: Tensor, sites: Sequence[Site], weight: Tensor, bias: Tensor | None
) -> list[Tensor]:
    """Queries, keys and values (B, L, W) by maps that lie in one weight, one below the other.

    Args:
        x_BLW: all tokens.
        sites: q, k and v.
        weight: (3 W, W).
        bias: (3 W).
    """
    if not any(site.own_way for site in sites):
        found = linear(x_BLW, weight, bias).chunk(len(sites), dim=-1)
        return [site(x_BLW, y) for site, y in zip(sites, found, strict=True)]
    biases = [None] * len(sites) if bias is None else bias.chunk(len(sites))
    parts = zip(sites, weight.chunk(len(sites)), biases, strict=True)
    return [site.mapped(x_BLW, w, b) for site, w, b in parts]


def pooled(x_BLW: Tensor, at: At) -> Tensor:
    """The token (B, 1, W) of each item at that place, or N of them; all for None."""
    if at is None:
        return x_BLW
    if isinstance(at, int):
        return x_BLW[:, at : at + 1]
    at_BN = at.view(len(at), -1)
    return x_BLW[torch.arange(len(at), device=at.device)[:, None], at_BN]


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


def needed(block: nn.Module, known: frozenset[type], whole: Iterable[Site], at: Tensor | int) -> At:
    """Tokens at which a block has to be computed so that its output at one is right.

    All where a delta may look at any token, where a module is not the library's or ours, or where
    someone watches what a module computes.

    Args:
        block: of a tower, the last one.
        known: types of the modules that the blocks were built of.
        whole: sites that get all tokens in any case, those before the attention.
        at: the one whose output is wanted: its place in each item (B,), or the same for all.

    Returns:
        `at`; or (B, 2), the first token and that one, where a delta looks at the first; or None.
        The token that is wanted comes last, except for None.
    """
    exempt, first = set(whole), False
    for part in block.modules():
        if type(part) not in known or part._forward_hooks or part._forward_pre_hooks:
            return None
        if part._backward_hooks or part._backward_pre_hooks:
            return None
        if isinstance(part, Place) and part not in exempt and not part.tokenwise:
            if not part.by_first:
                return None
            first = True
    if not first or (isinstance(at, int) and at == 0):
        return at
    return torch.stack([torch.zeros_like(at), at], dim=1) if isinstance(at, Tensor) else None
