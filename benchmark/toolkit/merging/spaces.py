"""Merging the adapters that were selected for an item, at one linear map or at all of them.

Adapter k changes a linear map by delta_k = scale_k b_k a_k. A rule merges K such updates, in one
of two spaces:

- full: the matrices delta_k themselves, (O, I). The result is dense.
- core (Core Space: Panariello et al., NeurIPS 2025; apanariello4/core-space-merging,
  task_merger.py): the rows of down are the right singular vectors of all a_k, one below the
  other; the columns of up the left singular vectors of all scale_k b_k, side by side; the core of
  adapter k is up^T delta_k down^T. Nothing is lost, delta_k = up core_k down, and the result
  up F(cores) down has rank at most K R.

A weighted sum is the same in both spaces, and the same as the weighted sum of the adapters'
outputs; for such a rule `linear` is true, and `weighted_deltas` does it per item without merging
anything. The others depend on the space, and on which adapters span it: only those that are
merged may. They do not approach the first adapter as its weight approaches 1.

Shapes: K selected adapters · R rank · I inputs · O outputs · Q side of the core, K R at most.
Computed in float64; decompositions on the CPU, where all machines have LAPACK, dense work where
the factors are; returned in the factors' dtype and device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from ...common.seeds import derive
from ...protocol.config import require, require_choice
from ..lora import LoRA
from . import rules as on
from .merged import Merged

DENSITY = 0.5


@dataclass(frozen=True)
class Core:
    """K updates in their common core space: delta_k = up_OQ core_KQQ[k] down_QI, float64, CPU.

    The two Q are min(K R, O) and min(K R, I). Columns of up and rows of down are orthonormal, or
    zero beyond the numerical rank (an untrained adapter, two equal ones).
    """

    up_OQ: Tensor
    core_KQQ: Tensor
    down_QI: Tensor


@dataclass(frozen=True)
class Updates:
    """The updates of K selected adapters, and of no other, at one linear map.

    Attributes:
        a_KRI, b_KOR: the factors as trained.
        scale_K: alpha / rank of each adapter; delta_k = scale_k b_k a_k.
        seed_K: seeds of the adapters' masks at this map, for rules that drop entries at random.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """

    a_KRI: Tensor
    b_KOR: Tensor
    scale_K: Tensor
    seed_K: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Shapes that would broadcast to something else are refused."""
        a, b, scale = self.a_KRI, self.b_KOR, self.scale_K
        fits = a.ndim == b.ndim == 3 and a.shape[:2] == b.shape[::2] and a.numel() * b.numel() > 0
        seeds = len(a) if self.seed_K is None else len(self.seed_K)
        if not (fits and scale.shape == (len(a),) and seeds == len(a)):
            got = *(tuple(x.shape) for x in (a, b, scale)), seeds
            raise ValueError(f"expected (K, R, I), (K, O, R), (K,) and K seeds, got {got}")
        if not all(bool(x.isfinite().all()) for x in (a, b, scale)):
            raise ValueError("expected finite factors and scales; training has diverged")

    def __getitem__(self, used_K: Tensor) -> "Updates":
        """The adapters that a mask selects."""
        kept = used_K.nonzero()[:, 0].tolist()
        seeds = None if self.seed_K is None else tuple(self.seed_K[k] for k in kept)
        return Updates(self.a_KRI[kept], self.b_KOR[kept], self.scale_K[kept], seeds)

    def factors(self) -> tuple[Tensor, Tensor]:
        """a_KRI and scale_k b_KOR in float64: the scale cannot be left out."""
        a_KRI, b_KOR = self.a_KRI.detach().double(), self.b_KOR.detach().double()
        return a_KRI, b_KOR * self.scale_K.to(b_KOR)[:, None, None]

    @cached_property
    def core(self) -> Core:
        """Bases and cores; they depend on the adapters alone, so one serves all weights.

        The bases are determined up to signs, which no rule sees. They hang on the factors, not on
        their product alone: TIES and DARE act on entries, and see another basis of the same span.
        """
        a_KRI, b_KOR = (x.cpu() for x in self.factors())
        up_OQ = _directions(b_KOR.transpose(1, 2).flatten(0, 1)).T
        down_QI = _directions(a_KRI.flatten(0, 1))
        return Core(up_OQ, (up_OQ.T @ b_KOR) @ (a_KRI @ down_QI.T), down_QI)

    def merged(self, up_OQ: Tensor, down_QI: Tensor | None = None) -> Merged:
        """In the dtype and on the device of the factors."""
        return Merged(up_OQ.to(self.b_KOR), None if down_QI is None else down_QI.to(self.a_KRI))


def _directions(rows_NI: Tensor) -> Tensor:
    """Right singular vectors as rows (min(N, I), I), zero where the singular value is."""
    v_QI: Tensor
    _, size_Q, v_QI = torch.linalg.svd(rows_NI, full_matrices=False)
    return v_QI * on.nonzero(size_Q)[:, None]


Merge = Callable[[Updates, Tensor, float], Merged]
Matrices = Callable[[Tensor, Tensor, float, Sequence[int]], Tensor]


def _in_core(rule: Matrices) -> Merge:
    def merge(updates: Updates, weight_K: Tensor, density: float) -> Merged:
        core = updates.core
        mixed_QQ = rule(core.core_KQQ, weight_K.cpu(), density, updates.seed_K or ())
        if mixed_QQ.shape[0] < mixed_QQ.shape[1]:
            return updates.merged(core.up_OQ, mixed_QQ @ core.down_QI)
        return updates.merged(core.up_OQ @ mixed_QQ, core.down_QI)

    return merge


def _in_full(rule: Matrices) -> Merge:
    def merge(updates: Updates, weight_K: Tensor, density: float) -> Merged:
        a_KRI, b_KOR = updates.factors()
        matrix_KOI = b_KOR @ a_KRI
        return updates.merged(rule(matrix_KOI, weight_K.to(a_KRI), density, updates.seed_K or ()))

    return merge


def _iso_c_in_full(updates: Updates, weight_K: Tensor, density: float) -> Merged:
    """Iso-C on the dense update (danielm1405/iso-merging, src/utils/iso.py): not well defined.

    The sum has rank K R at most, yet all min(O, I) singular values become their mean, so most of
    the result (at K R = 32 of 768: 96 % of its energy) lies along singular vectors of zero
    singular values. Those are arbitrary, in the official code rounding noise; `rules.fill`
    chooses them, so that a number can be had again. For the same reason the result is short: it
    has the length of the weighted sum at a scale of about sqrt(min(O, I) / (K R)), 4.9 there.
    """
    core = updates.core
    u_QN, size_N, v_NQ = on.triples(on.linear(core.core_KQQ, weight_K.cpu()))
    device = updates.b_KOR.device
    up_ON, down_NI = (core.up_OQ @ u_QN).to(device), (v_NQ @ core.down_QI).to(device)
    mean = float(size_N.sum()) / min(len(up_ON), down_NI.shape[1])
    return updates.merged(mean * (up_ON @ down_NI + on.fill(up_ON, down_NI)))


@dataclass(frozen=True)
class MergeRule:
    """One way to merge.

    Attributes:
        weigh: (routing weights (..., K) best first, merge_scale) -> weights that the rule uses.
            All rules are homogeneous, so a scale on the weights is one on the result.
        merge: (updates, those weights (K,), density) -> merged update; see `merge`.
        linear: the weights are all there is to it: give them to `weighted_deltas`, merge nothing.
        even: the routing weights do not matter, only which adapters are merged.
        sparse: it reads the density, and the seeds of `Updates`.
    """

    weigh: Callable[[Tensor, float], Tensor]
    merge: Merge
    linear: bool = False
    even: bool = False
    sparse: bool = False


def _dare_ties(matrix: Tensor, weight_K: Tensor, density: float, seeds: Sequence[int]) -> Tensor:
    return on.dare_ties(matrix, weight_K, density, density, seeds)


_sum = _in_core(lambda m, w, density, seeds: on.linear(m, w))
MERGES: Mapping[str, MergeRule] = {
    "none": MergeRule(lambda w, s: torch.eye(w.shape[-1])[0].to(w).expand_as(w), _sum, True, True),
    "linear": MergeRule(torch.mul, _sum, linear=True),
    "uniform": MergeRule(lambda w, s: torch.full_like(w, s / w.shape[-1]), _sum, True, True),
    "ta": MergeRule(torch.full_like, _sum, True, True),
    "dare-ties": MergeRule(torch.mul, _in_full(_dare_ties), sparse=True),
    "iso-c": MergeRule(torch.mul, _iso_c_in_full),
    "core-iso-c": MergeRule(torch.mul, _in_core(lambda m, w, density, seeds: on.iso_c(m, w))),
    "core-tsv": MergeRule(torch.mul, _in_core(lambda m, w, density, seeds: on.tsv(m, w))),
    "core-tsv-iso": MergeRule(torch.mul, _in_core(lambda m, w, density, seeds: on.tsv_iso(m, w))),
    "core-dare-ties": MergeRule(torch.mul, _in_core(_dare_ties), sparse=True),
}


def check_merge(merge: str, scale: float, density: float) -> None:
    """Refuse settings that would run and mean nothing; for a Config's check.

    Args:
        merge: a key of `MERGES`.
        scale: multiplies every merged update, in "ta" the lambda of the plain sum. 1 leaves ta the
            sum; 1/K would make it "uniform" again. K brings a rule with weights to the size of
            the published codes, which sum without weights.
        density: fraction of entries that DARE and then TIES keep.

    Raises:
        BenchError: an unknown merge, a value out of range, or one that the merge would ignore.
    """
    require_choice("merge", merge, MERGES)
    require(
        0 < scale < inf and 0.01 <= density <= 1,
        "merge_scale above 0 and density in [0.01, 1]",
        f"{scale} and {density}",
    )
    require(
        (merge != "none" or scale == 1) and (MERGES[merge].sparse or density == DENSITY),
        f"merge_scale and density at 1 and {DENSITY} where they are not read",
        f"{scale} and {density} with merge '{merge}'",
        "leave them out, or choose another merge",
    )


def merge(
    rule: MergeRule, updates: Updates, weight_K: Tensor, scale: float = 1, density: float = DENSITY
) -> Merged:
    """Merge K updates at one linear map.

    Args:
        rule: of `MERGES`.
        updates: of the adapters that are merged.
        weight_K: routing weights, best first, at least 0 and with sum 1. An adapter that the rule
            gives weight 0 is left out before anything is computed.
        scale: see `check_merge`.
        density: see `check_merge`.

    Returns:
        The update; in core space its factors have Q = min(K R, O, I).

    Raises:
        ValueError: another kind of weights or settings, or no seeds where the rule needs them.
    """
    w_K, count = weight_K.double(), len(updates.a_KRI)
    if w_K.shape != (count,) or not bool((w_K >= 0).all() and (w_K.sum() - 1).abs() < 1e-4):
        raise ValueError(f"expected {count} weights of at least 0 with sum 1, got {weight_K}")
    if not (0 < scale < inf and 0 < density <= 1):
        raise ValueError(f"expected a scale above 0, a density in (0, 1], got {scale}, {density}")
    if rule.sparse and updates.seed_K is None:
        raise ValueError("expected a seed per adapter for a rule that drops entries at random")
    w_K = rule.weigh(w_K, scale)
    used_K = w_K > 0
    return rule.merge(updates if bool(used_K.all()) else updates[used_K], w_K[used_K], density)


def site_updates(
    adapters: Sequence[LoRA], seeds: Sequence[int] | None = None
) -> dict[str, Updates]:
    """Site name -> updates of the selected adapters there.

    Keep the result while the same adapters are merged with other weights: bases and cores are
    computed once.

    Args:
        adapters: K adapters of equal targets and rank.
        seeds: one per adapter; from it and the site's name comes the seed of the mask there.
    """
    scale_K = torch.tensor([a.scale for a in adapters], dtype=torch.float64)
    return {
        name: Updates(
            torch.stack([a.A[key].detach() for a in adapters]),
            torch.stack([a.B[key].detach() for a in adapters]),
            scale_K,
            None if seeds is None else tuple(derive(int(seed), name) for seed in seeds),
        )
        for name, key in adapters[0].names.items()
    }


def merged_deltas(
    rule: MergeRule,
    sites: Mapping[str, Updates],
    weight_K: Tensor,
    scale: float = 1.0,
    density: float = DENSITY,
) -> dict[str, Merged]:
    """Site name -> `merge` of the updates there, for `Backbone.adapted`: one for a whole batch."""
    return {name: merge(rule, at, weight_K, scale, density) for name, at in sites.items()}
