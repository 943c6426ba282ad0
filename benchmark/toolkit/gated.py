"""Low-rank updates whose ranks have gates, pruned while they are trained and then merged.

The parts of CoDyRA (Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004, equations 2
to 4); how a task is learned with them, and by which settings, stands in methods/codyra.py.

Shapes: S adapted maps; x (B, L, in), A (R, in), B (out, R), gate (S, R). With w a map's row of the
gate, dW = B diag(w) A and delta(x) = (w * x A^T) B^T. No other scale, no dropout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.backbone import Backbone
from ..backbones.sites import Delta
from ..protocol.config import require, require_choice
from .lora import check_targets
from .low_rank import Factored, add_low_rank, factored, low_rank, mapped

Rule = Literal["exact", "released"]
LEVELS = 50  # thresholds from 0 to the largest, both included; official code
Factors = Mapping[str, tuple[Tensor, Tensor]]
"""Site name -> (out, K) and (K, in), whose product is the change of the map's weight."""
MODULES = 2000  # simulated gate rows of the null: its mean is known to 0.05 ranks


def check_gated(rank: int, targets: Sequence[str], kappa_max: float, dense: float) -> None:
    """Refuse settings of a gated update that would run and mean nothing; for a Config's check.

    Raises:
        BenchError: what `check_targets` refuses; kappa_max below 0 or infinite, dense
            outside [0, 1).
    """
    check_targets(rank, targets)
    Pruning(kappa_max, dense)


@dataclass(frozen=True)
class Pruning:
    """When gates shrink, by how much, and what becomes of small ones.

    The first share `dense` of a task's steps leaves the gates alone. From then on each step ends
    in a proximal one with a threshold kappa that rises from 0 to `kappa_max` over `LEVELS` values.

    Attributes:
        kappa_max: the largest threshold, at least 0; 0 prunes nothing. It is absolute: the
            learning rate is no part of it.
        dense: in [0, 1).
        rule: "exact" is the soft threshold (equation 4); "released" (Artificer-AI-Lab/CoDyRA,
            and SoRA before it) moves values above kappa in size towards 0 by kappa, and then sets
            all that are below it to 0, so that those between kappa and 2 kappa are gone too.
    """

    kappa_max: float
    dense: float
    rule: Rule = "exact"

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        require(0 <= self.kappa_max < inf, "a finite kappa_max of at least 0", self.kappa_max)
        require(0 <= self.dense < 1, "dense in [0, 1)", self.dense)
        require_choice("rule", self.rule, get_args(Rule))

    def threshold(self, step: int, total: int) -> float:
        """Kappa of the proximal step after optimiser step `step` (1-based) of `total`.

        As the official code counts: with t = step - 1, s = floor((total - dense * total) / 50),
        the level rises by one at each t >= dense * total that s divides, and there is no proximal
        step before t > dense * total. It computes s = 0 for fewer than 50 steps after the dense
        ones, and then prunes nothing. Here the level rises to the last one over the steps that
        there are; at 50 of them both are the same.

        Returns:
            0 where nothing is to be done.
        """
        now, start = step - 1, self.dense * total
        if now <= start:
            return 0.0
        first, every = ceil(start), int((total - start) // LEVELS)
        if every:
            level = now // every - (first - 1) // every
        else:
            level = ceil((LEVELS - 1) * (now - first + 1) / (total - first))
        return self.kappa_max * (min(level, LEVELS - 1) / (LEVELS - 1))

    def shrink(self, gate: Tensor, kappa: float) -> Tensor:
        """Gates of any shape after a proximal step; of size kappa, only "released" keeps them."""
        if self.rule == "exact":
            return F.softshrink(gate, kappa)
        size = gate.abs()
        moved = torch.where(size > kappa, gate - kappa * gate.sign(), gate)
        return torch.where(moved.abs() < kappa, 0.0, moved)


def null_ranks(rank: int, total: int, pruning: Pruning, modules: int = MODULES) -> Tensor:
    """Ranks (modules,) that pruning alone would keep: gates as initialised, nothing learned.

    Gates start as N(0, 1) and learning moves them little beside that, so that a picture of kept
    ranks means little without this line. One seed for all: it is a property of the schedule.

    Args:
        rank: R of every module.
        total: optimiser steps of the task.
        pruning: the schedule.
        modules: how many are drawn.
    """
    gate = torch.randn(modules, rank, generator=torch.Generator().manual_seed(0))
    for step in range(1, total + 1):
        if kappa := pruning.threshold(step, total):
            gate = pruning.shrink(gate, kappa)
    return gate.count_nonzero(dim=1)


class Gated(nn.Module):
    """One update: factors A and B for every target of every block, and all gates.

    Args:
        clip: the backbone whose linear maps set the shapes; its weights are not touched.
        targets: which linear maps (see `Backbone.sites`).
        rank: R before pruning, at least 1.
        pruning: when and how gates shrink.
        generator: seeds A (uniform in +-1/sqrt(in): Kaiming's with a = sqrt 5) and the gates,
            N(0, 1). B starts at zero, so that a new update changes nothing.
    """

    def __init__(
        self,
        clip: Backbone,
        targets: tuple[str, ...],
        rank: int,
        pruning: Pruning,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.targets, self.rank, self.pruning = tuple(targets), rank, pruning
        self.steps = 0  # of the task; known with its first
        self.names: dict[str, str] = {}
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        for name, site in clip.sites(self.targets).items():
            out_dim, in_dim = site.weight.shape
            bound = in_dim**-0.5
            a = torch.empty(rank, in_dim).uniform_(-bound, bound, generator=generator)
            key = self.names[name] = name.replace(".", "/")  # ParameterDict allows no dots
            self.A[key] = nn.Parameter(a.to(site.weight.device))
            self.B[key] = nn.Parameter(torch.zeros(out_dim, rank, device=site.weight.device))
        # All in one tensor: a proximal step is then one operation, not one for each map.
        gate = torch.randn(len(self.names), rank, generator=generator)
        self.gate = nn.Parameter(gate.to(clip.logit_scale.device))

    def deltas(self) -> dict[str, Delta]:
        """Site name -> delta, for `Backbone.adapted`."""
        rows = enumerate(self.names.items())
        return {name: _Delta(self, key, row) for row, (name, key) in rows}

    @torch.no_grad()
    def prune(self, step: int, total: int) -> None:
        """The proximal step after optimiser step `step` of `total`, on all gates."""
        self.steps = total
        if kappa := self.pruning.threshold(step, total):
            self.gate.copy_(self.pruning.shrink(self.gate, kappa))

    @torch.no_grad()
    def kept(self) -> Factors:
        """B diag(w) and A of the K ranks whose gate is not zero, of every map."""
        found = {}
        for (name, key), gate_R in zip(self.names.items(), self.gate, strict=True):
            kept_R = gate_R != 0
            b_OK = self.B[key][:, kept_R] * gate_R[kept_R]
            found[name] = b_OK, self.A[key][kept_R]
        return found

    def merge(self, clip: Backbone) -> Factors:
        """W <- W + dW, in place; returns what was added, see `kept`."""
        kept = self.kept()
        merge_factors(clip, self.targets, kept)
        return kept

    def report(self) -> Mapping[str, Any]:
        """What pruning has left, for `Method.report`; before `merge` or after it.

        Returns:
            rank: R; ranks: kept ones of each map, by site name, as "image.0.attn.q"; null: mean
            and standard deviation over maps of the ranks that `null_ranks` keeps; parameters and
            parameters_kept: scalars in A and B, before pruning and of the kept ranks.
        """
        kept = self.kept()
        factors = [*self.A.values(), *self.B.values()]
        null = null_ranks(self.rank, self.steps, self.pruning).double()
        return {
            "rank": self.rank,
            "ranks": {name: len(a_KI) for name, (_, a_KI) in kept.items()},
            "null": {"mean": float(null.mean()), "std": float(null.std())},
            "parameters": sum(p.numel() for p in factors),
            "parameters_kept": sum(b.numel() + a.numel() for b, a in kept.values()),
        }


@dataclass(frozen=True)
class _Delta:
    """What an update adds at one site."""

    update: Gated
    key: str
    row: int
    tokenwise = True

    def __call__(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        return low_rank(x, *self._factors, gate_R=self.update.gate[self.row])

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Y + delta(x), in place."""
        return add_low_rank(y, x, *self._factors, gate_R=self.update.gate[self.row])

    def mapped(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """W x + b + delta(x), with gradients for x, the factors and the gates."""
        return mapped(x, weight, bias, self._factors, gate_R=self.update.gate[self.row])

    def factored(self, real: tuple[int, int], padded: tuple[int, int]) -> Factored:
        """The same for one x; see `Compiler`."""
        return factored(self._factors, gate_R=self.update.gate[self.row])

    @property
    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.update.A[self.key], self.update.B[self.key]


@torch.no_grad()
def merge_factors(clip: Backbone, targets: tuple[str, ...], factors: Factors) -> None:
    """W <- W + B diag(w) A at every site, in place; where no rank is kept, no bit changes."""
    sites = clip.sites(targets)
    for name, (b_OK, a_KI) in factors.items():
        if len(a_KI):
            sites[name].weight.addmm_(b_OK, a_KI)
