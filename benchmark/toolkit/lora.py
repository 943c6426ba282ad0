"""Low-rank adapters (Hu et al., 2022) on the linear maps of both towers.

Shapes: x (B, L, in), A (R, in), B (out, R); delta(x) = scale * (dropout(x) A^T) B^T with
scale = alpha / R. B starts at zero, so that a new adapter changes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.sites import MAPS, ROWS, Delta, linear
from ..protocol.config import require, require_choice
from ..protocol.types import Images, Texts
from .low_rank import add_low_rank, dropout, low_rank, mapped

WORTH = 8  # items, on average, from which a run with products of its own is worth them; measured


def check_adapter(rank: int, alpha: float, dropout: float, targets: Sequence[str]) -> None:
    """Refuse settings of an adapter that would run and mean nothing; for a Config's check.

    Raises:
        BenchError: rank below 1, alpha not above 0, dropout outside [0, 0.99], or targets that
            `check_targets` refuses.
    """
    check_targets(rank, targets)
    require(alpha > 0, "alpha > 0", alpha)
    require(0 <= dropout <= 0.99, "dropout in [0, 0.99]", dropout)


def check_targets(rank: int, targets: Sequence[str]) -> None:
    """The part of such a check that every low-rank update has.

    Raises:
        BenchError: rank below 1, no target, one twice, or one that no block has.
    """
    require(rank >= 1, "rank >= 1", rank)
    once = len(set(targets)) == len(targets) > 0
    require(once, "targets with at least one map, each once", ", ".join(targets) or "none")
    for target in targets:  # here and not at the first task, hours later
        require_choice("targets", target, MAPS)


class LoRA(nn.Module):
    """One adapter: factors A and B for every target of every block of both towers.

    Args:
        clip: the backbone whose linear maps set the shapes; its weights are not touched.
        targets: which linear maps (see `Backbone.sites`).
        rank: R, at least 1.
        alpha: numerator of the scale alpha / R.
        dropout: probability of dropping an input feature in training, in [0, 0.99].
        generator: seeds A (uniform in +-1/sqrt(in), as torch's Linear).
    """

    def __init__(
        self,
        clip: Backbone,
        targets: Sequence[str],
        rank: int,
        alpha: float,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.targets, self.scale, self.dropout = tuple(targets), alpha / rank, dropout
        self._digest: tuple[tuple[int, ...], str] = (), ""
        self.names: dict[str, str] = {}
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        for name, site in clip.sites(self.targets).items():
            out_dim, in_dim = site.weight.shape
            bound = in_dim**-0.5
            a = torch.empty(rank, in_dim).uniform_(-bound, bound, generator=generator)
            key = self.names[name] = name.replace(".", "/")  # ParameterDict allows no dots
            self.A[key] = nn.Parameter(a.to(site.weight.device))
            self.B[key] = nn.Parameter(torch.zeros(out_dim, rank, device=site.weight.device))

    def train(self, mode: bool = True) -> "LoRA":
        """As every module; what the digest was computed from may change from now on."""
        self._digest = (), ""
        return super().train(mode)

    def digest(self) -> str:
        """Sha256 of all that inference with this adapter depends on.

        Computed again after a change in place and after `train` or `eval`: AdamW's fused step
        changes parameters without a trace, and the loop calls `train` before each.
        """
        versions = tuple(p._version for p in self.parameters())
        if versions != self._digest[0]:
            sha = hashlib.sha256(repr((self.targets, self.scale)).encode())
            for name, p in self.named_parameters():
                sha.update(f"{name}{p.dtype}{tuple(p.shape)}".encode())
                sha.update(p.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
            self._digest = versions, sha.hexdigest()
        return self._digest[1]

    def deltas(self) -> dict[str, Delta]:
        """Site name -> delta, for `Backbone.adapted`."""
        return {name: _Delta(self, key) for name, key in self.names.items()}

    @torch.no_grad()
    def merge(self, clip: Backbone, share: float = 1.0) -> None:
        """Add `share` of the adapter's change to the model's weights, in place."""
        for name, site in clip.sites(self.targets).items():
            key = self.names[name]
            site.weight.addmm_(self.B[key], self.A[key], alpha=share * self.scale)


@dataclass(frozen=True)
class _Delta:
    """What an adapter adds at one site."""

    adapter: LoRA
    key: str
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        if self.adapter.training:
            x = dropout(x, self.adapter.dropout)
        return low_rank(x, *self._factors, self.adapter.scale)

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Y + delta(x), in place."""
        if self.adapter.training:
            x = dropout(x, self.adapter.dropout)
        return add_low_rank(y, x, *self._factors, self.adapter.scale)

    def mapped(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """W x + b + delta(x), with gradients for x and the factors."""
        drop = self.adapter.dropout if self.adapter.training else 0.0
        return mapped(x, weight, bias, self._factors, self.adapter.scale, drop=drop)

    @property
    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.adapter.A[self.key], self.adapter.B[self.key]


def weighted_deltas(
    adapters: Sequence[LoRA], index_BK: Tensor, weight_BK: Tensor
) -> dict[str, Delta]:
    """Site name -> for each item of a batch, the weighted sum of its adapters' deltas.

    A convex combination of low-rank deltas is the combination of their outputs, so merged weights
    are never built; this is linear merging in core space, exactly (Panariello et al., 2026). A
    batch is one pass. Neighbours that use one adapter alone share its two products; all others
    share those of the used adapters' stacked factors, in which an item's weights are zero but for
    its own. So sort a batch by `by_route` before.

    Args:
        adapters: a bank of equal targets and rank.
        index_BK: int64, which adapters each item uses.
        weight_BK: their weights.

    Returns:
        Deltas for inputs (B, L, in) of that batch, which must stay in one piece (see
        `Backbone.chunks`); dropout is not applied.
    """
    first = adapters[0]
    weight_BT = torch.zeros(len(index_BK), len(adapters)).to(weight_BK)
    weight_BT = weight_BT.scatter_add(1, index_BK, weight_BK)
    parts = tuple(_part(adapters, weight_BT, run) for run in _runs(weight_BT))
    return {name: _Mixed(key, parts) for name, key in first.names.items()}


def by_route(index_BK: Tensor, weight_BK: Tensor) -> Tensor:
    """An order (B,) of items in which those that use the same one adapter alone are neighbours."""
    alone_B = (weight_BK > 0).sum(dim=1) == 1
    only_B = index_BK.gather(1, weight_BK.argmax(dim=1, keepdim=True))[:, 0]
    return torch.where(alone_B, only_B, -1).argsort(stable=True)


def _runs(weight_BT: Tensor) -> list[tuple[int, int]]:
    """Neighbours with one and the same weight row of a single entry, or of mixed ones."""
    alone_B = (weight_BT > 0).sum(dim=1) == 1
    route_B = torch.where(alone_B, weight_BT.argmax(dim=1), -1)
    new_B = (route_B[1:] != route_B[:-1]).nonzero()[:, 0] + 1
    ends = [0, *new_B.tolist(), len(weight_BT)]
    runs = list(pairwise(ends))
    if len(runs) > 1 and len(weight_BT) < WORTH * len(runs):
        return [(0, len(weight_BT))]  # few items, or not sorted: small products cost more than one
    return runs


@dataclass(frozen=True)
class _Part:
    """A run of items: the stacked factors of what they use, and each item's weights on them."""

    items: int
    used: tuple[LoRA, ...]
    column_BR: Tensor  # (items, U R)

    def factors(self, key: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """X (items, L, in) -> low (items, L, U R) and b (out, U R); the delta is low b^T."""
        a_RI = torch.cat([adapter.A[key] for adapter in self.used])
        b_OR = torch.cat([adapter.B[key] for adapter in self.used], dim=1)
        low = linear(x, a_RI)
        return low * self.column_BR[:, None].to(low.dtype), b_OR


@dataclass(frozen=True)
class _Mixed:
    """The delta of a batch of mixed routes at one site."""

    key: str
    parts: tuple[_Part, ...]
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (B, L, in) -> (B, L, out)."""
        return torch.cat([linear(*part.factors(self.key, piece)) for part, piece in self._of(x)])

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Y + delta(x), in place."""
        for (part, piece), out in zip(self._of(x), y.split(self._counts()), strict=True):
            low, b_OR = part.factors(self.key, piece)
            if out.numel() // out.shape[-1] < ROWS:
                out.add_(linear(low, b_OR))
                continue
            # In one product; a matrix product in place does not see autocast.
            out.view(-1, out.shape[-1]).addmm_(low.flatten(0, 1).to(y.dtype), b_OR.T.to(y.dtype))
        return y

    def _counts(self) -> list[int]:
        return [part.items for part in self.parts]

    def _of(self, x: Tensor) -> list[tuple[_Part, Tensor]]:
        if len(x) != sum(self._counts()):
            raise ValueError(f"deltas of {sum(self._counts())} items on a batch of {len(x)}")
        return list(zip(self.parts, x.split(self._counts()), strict=True))


def _part(adapters: Sequence[LoRA], weight_BT: Tensor, run: tuple[int, int]) -> _Part:
    rows_BT = weight_BT[slice(*run)]
    used = [t for t, some in enumerate((rows_BT > 0).any(dim=0).tolist()) if some] or [0]
    rank = next(iter(adapters[0].A.values())).shape[0]
    scale_U = torch.tensor([adapters[t].scale for t in used]).to(rows_BT)
    column_BR = (rows_BT[:, used] * scale_U).repeat_interleave(rank, dim=1)
    return _Part(len(rows_BT), tuple(adapters[t] for t in used), column_BR)


def encode_with(
    clip: Backbone, items: Images | Texts, deltas: Mapping[str, Delta], targets: tuple[str, ...]
) -> Tensor:
    """Unit rows (B, D) of images or texts by the backbone with these deltas."""
    with clip.adapted(deltas, targets):
        if isinstance(items, Images):
            return clip.image(items.pixels_B3HW)
        return clip.text(items.tokens_ML)
