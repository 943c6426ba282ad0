"""Where a method can act inside a block without touching weights or state-dict keys.

- Every linear map of a block is a `Site`: y = W x + b (+ delta(x)).
- Beside the MLP is a plain `Place`: x + MLP(norm(x)) (+ delta(x)), with x the residual stream after
  the attention, as it is.

Attention is ours here, with torch's state-dict keys: `nn.MultiheadAttention` reads
`out_proj.weight` without calling the module, so that an adapter there would act on nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BenchError, nearest

PARALLEL = "mlp.parallel"
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
        self.instead: Tensor | None = None  # of the weight; see `Backbone.replaced`
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
        weight = self.weight if self.site.instead is None else self.site.instead
        return cast(Tensor, self.site(x, F.linear(x, weight, self.bias)))


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

    def forward(self, x_BLW: Tensor, causal: bool) -> Tensor:
        """Self-attention over L tokens; causal: a token sees itself and those before it."""
        qkv = packed(x_BLW, (self.q, self.k, self.v), self.in_proj_weight, self.in_proj_bias)
        return cast(Tensor, self.out_proj(attend(qkv, self.heads, causal=causal)))


def packed(x: Tensor, sites: Sequence[Site], weight: Tensor, bias: Tensor | None) -> list[Tensor]:
    """What several maps that lie in one weight, one below the other, make of x (..., in)."""
    if any(site.instead is not None for site in sites):
        own = [site.weight if site.instead is None else site.instead for site in sites]
        parts = [None] * len(own) if bias is None else bias.chunk(len(own))
        found = [F.linear(x, w, b) for w, b in zip(own, parts, strict=True)]
    else:
        found = list(F.linear(x, weight, bias).chunk(len(sites), dim=-1))
    return [site(x, y) for site, y in zip(sites, found, strict=True)]


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


Held = tuple[Delta | None, Tensor | None]
"""What a place holds for a while: its delta, and what stands there instead of its weight."""


def held(place: Place) -> Held:
    """What it holds now."""
    return place.delta, place.instead if isinstance(place, Site) else None


@contextmanager
def holding(those: Mapping[Place, Held]) -> Iterator[None]:
    """Inside, each place holds that; afterwards what it held before."""
    before = {place: held(place) for place in those}
    try:
        for place, what in those.items():
            _hold(place, what)
        yield
    finally:
        for place, what in before.items():
            _hold(place, what)


def _hold(place: Place, what: Held) -> None:
    place.delta, instead = what
    if isinstance(place, Site):
        place.instead = instead


class Adaptable(nn.Module, ABC):
    """Two towers of blocks, every linear map of which is a site."""

    def sites(self, targets: tuple[str, ...]) -> dict[str, Site]:
        """Linear maps of both towers whose name ends in one of the targets, in model order.

        Args:
            targets: of "attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj".

        Raises:
            BenchError: a target that no block has, or that has no weight.
        """
        found: dict[str, Site] = {}
        for tower, i, block in self._blocks():
            here = self._maps(block)
            if unknown := [t for t in targets if t not in here]:
                raise BenchError(
                    f"adapter targets of {', '.join(here)}",
                    f"'{unknown[0]}'",
                    nearest(unknown[0], here),
                )
            found |= {f"{tower}.{i}.{t}": here[t] for t in targets}
        return found

    def places(self, targets: tuple[str, ...]) -> dict[str, Place]:
        """Sites of both towers as in `sites`, and for "mlp.parallel" the place beside each MLP.

        What is added to the residual stream there goes in parallel to the MLP: a block's output
        is x + MLP(norm(x)) + delta(x), with x the stream after the attention. There is no weight
        that the delta could be merged into, so `sites`, which merging asks, does not know it.
        """
        found: dict[str, Place] = dict(self.sites(tuple(t for t in targets if t != PARALLEL)))
        if PARALLEL in targets:
            found |= {f"{tower}.{i}.{PARALLEL}": b.parallel for tower, i, b in self._blocks()}
        return found

    @contextmanager
    def adapted(self, deltas: Mapping[str, Delta], targets: tuple[str, ...]) -> Iterator[None]:
        """Inside, every place (see `places`) gives y + delta(x); afterwards all is as before."""
        places = self.places(targets)
        with holding({places[n]: (d, held(places[n])[1]) for n, d in deltas.items()}):
            yield

    @contextmanager
    def replaced(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Inside, these sites compute with that weight (out, in) instead of their own.

        No parameter is touched, so that no digest changes and no gradient flows into what is
        replaced; deltas are added as before.

        Args:
            weights: by the names that `sites` gives.
        """
        sites = self.sites(MAPS)
        with holding({sites[name]: (sites[name].delta, w) for name, w in weights.items()}):
            yield

    @abstractmethod
    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        """Tower ("image", then "text"), number and module of every block, in model order."""

    @abstractmethod
    def _maps(self, block: Any) -> dict[str, Site]:
        """All sites of a block, by target, in model order."""
