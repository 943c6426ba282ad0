"""Low-rank adapters (Hu et al., 2022) on the linear maps of the towers.

Shapes: x (B, L, in), A (R, in), B (out, R); delta(x) = scale * (dropout(x) A^T) B^T with
scale = alpha / R. B starts at zero, so that a new adapter changes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.content import set_mode
from ..backbones.sites import MAPS, TARGETS, Delta, of_towers, shortest
from ..errors import nearest
from ..protocol.config import require
from ..protocol.types import Images, Texts
from .low_rank import Factored, add_low_rank, dropout, factored, low_rank, mapped


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
        BenchError: rank below 1, no target, one that no block has, or a map that two of them name.
    """
    require(rank >= 1, "rank >= 1", rank)
    for target in targets:  # here and not at the first task, hours later
        known = f"targets of {', '.join(MAPS)}, or one of these of one tower, as image.attn.q"
        require(target in TARGETS, known, f"'{target}'", nearest(target, TARGETS))
    named = of_towers(targets)
    once = len(set(named)) == len(named) > 0
    require(once, "targets with at least one map, each once", ", ".join(targets) or "none")


class LoRA(nn.Module):
    """One adapter: factors A and B for every target of every block.

    Args:
        clip: the backbone whose linear maps set the shapes; its weights are not touched.
        targets: which linear maps, see `Backbone.sites`; kept as `shortest` words them.
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
        self.targets, self.scale, self.dropout = shortest(targets), alpha / rank, dropout
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
        set_mode(self, mode)
        return self

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

    def factored(self, real: tuple[int, int], padded: tuple[int, int]) -> Factored:
        """The same for one x; see `Compiler`."""
        drop = self.adapter.dropout if self.adapter.training else 0.0
        return factored(self._factors, self.adapter.scale, None, drop, real, padded)

    @property
    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.adapter.A[self.key], self.adapter.B[self.key]


def encode_with(
    clip: Backbone, items: Images | Texts, deltas: Mapping[str, Delta], targets: tuple[str, ...]
) -> Tensor:
    """Unit rows (B, D) of images or texts by the backbone with these deltas."""
    with clip.adapted(deltas, targets):
        if isinstance(items, Images):
            return clip.image(items.pixels_B3HW)
        return clip.text(items.tokens_ML)
