"""Low-rank adapters (Hu et al., 2022) on the linear maps of both towers.

Shapes: x (B, L, in), A (R, in), B (out, R); delta(x) = scale * (dropout(x) A^T) B^T with
scale = alpha / R. B starts at zero, so that a new adapter changes nothing.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..clip import Clip, Delta
from ..errors import BenchError

PROJECTIONS = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")


def check_adapter(rank: int, alpha: float, dropout: float, targets: Sequence[str]) -> None:
    """Refuse settings of an adapter that would run and mean nothing; for a Config's check.

    Raises:
        BenchError: rank below 1, alpha not above 0, dropout outside [0, 0.99], or no target.
    """
    if not (rank >= 1 and alpha > 0 and 0 <= dropout <= 0.99 and targets):
        raise BenchError(
            "rank >= 1, alpha > 0, 0 <= dropout <= 0.99 and at least one target",
            f"{rank}, {alpha}, {dropout} and {', '.join(targets) or 'none'}",
            "correct --hp",
        )


class LoRA(nn.Module):
    """One adapter: factors A and B for every target of every block of both towers.

    Args:
        clip: the backbone whose linear maps set the shapes; its weights are not touched.
        targets: which linear maps (see `Clip.sites`).
        rank: R, at least 1.
        alpha: numerator of the scale alpha / R.
        dropout: probability of dropping an input feature in training, in [0, 0.99].
        generator: seeds A (uniform in +-1/sqrt(in), as torch's Linear).
    """

    def __init__(
        self,
        clip: Clip,
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

    def _delta(self, key: str, x: Tensor) -> Tensor:
        if self.training:
            x = dropout(x, self.dropout)
        return _low_rank(self.A[key], self.B[key], self.scale, x)

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
        """Site name -> delta, for `Clip.adapted`."""
        return {name: partial(self._delta, key) for name, key in self.names.items()}


def dropout(x: Tensor, p: float) -> Tensor:
    """Drop each element with probability p, rounded to 1/65536, and scale the rest to match.

    Four 16-bit draws are cut from every 64-bit one: on a CPU torch's own mask costs more than the
    forward pass of a small model.

    Args:
        x: any shape.
        p: probability in [0, 0.99].
    """
    cut = round(p * 65536)
    if cut == 0:
        return x
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    bits = draws.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
    return x * (bits >= cut - 32768).to(x.dtype).mul_(65536 / (65536 - cut))


def weighted_deltas(
    adapters: Sequence[LoRA], index_BK: Tensor, weight_BK: Tensor
) -> dict[str, Delta]:
    """Site name -> for each item of a batch, the weighted sum of K adapters' deltas.

    A convex combination of low-rank deltas is the combination of their outputs, so merged weights
    are never built; this is linear merging in core space, exactly (Panariello et al., 2026). The
    factors of each item's adapters are gathered, so a batch of mixed routes is one pass, at a cost
    that grows with K and not with the number of adapters, and an item's embedding depends neither
    on what else is in the bank nor on its order.

    Args:
        adapters: a bank of equal targets and rank.
        index_BK: int64, which adapters each item uses.
        weight_BK: their weights.

    Returns:
        Deltas for inputs (B, L, in) of that batch, which must stay in one piece (see
        `Clip.chunks`); dropout is not applied.
    """
    used = index_BK[weight_BK > 0].unique()
    if len(used) == 1 and bool((weight_BK.sum(dim=1) == 1).all()):
        only = adapters[int(used)]
        return {
            n: partial(_low_rank, only.A[k], only.B[k], only.scale) for n, k in only.names.items()
        }
    first = adapters[0]
    rank = next(iter(first.A.values())).shape[0]
    scale_K = torch.tensor([a.scale for a in adapters]).to(weight_BK)[index_BK]
    columns = (weight_BK * scale_K).repeat_interleave(rank, dim=1)[:, None]

    def delta(a_TRI: Tensor, b_TRO: Tensor, x: Tensor) -> Tensor:
        if len(x) != len(index_BK):
            raise ValueError(f"deltas of {len(index_BK)} items on a batch of {len(x)}")
        low = x @ a_TRI[index_BK].flatten(1, 2).transpose(1, 2)
        return (low * columns.to(low.dtype)) @ b_TRO[index_BK].flatten(1, 2)

    return {
        name: partial(
            delta,
            torch.stack([a.A[key] for a in adapters]),
            torch.stack([a.B[key].T for a in adapters]),
        )
        for name, key in first.names.items()
    }


def _low_rank(a: Tensor, b: Tensor, scale: float, x: Tensor) -> Tensor:
    return F.linear(F.linear(x, a) * scale, b)
