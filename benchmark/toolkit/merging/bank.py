"""A bank of frozen adapters: every item of a batch goes through its own, alone or merged."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ...backbones.backbone import Backbone
from ...protocol.types import Images, Texts
from ..lora import LoRA, by_route, encode_with, weighted_deltas
from .spaces import MERGES, Merged, Updates, merged_deltas, site_updates

MANY = 4  # an adapter serves many of a batch if it serves 1 / MANY of it
HELD = 2**28  # scalars of merged updates that stay in memory
SETS = 21  # sets of adapters whose bases stay in memory: all pairs of seven
WeightedAdapters = tuple[tuple[str, int, float], ...]
"""Digest, index and weight of each adapter that is merged."""


class Bank(nn.ModuleList):
    """Adapters of equal targets and rank, and how several of them are merged.

    Args:
        merge: a rule of `MERGES`.
        scale: of merged updates, see `spaces.check_merge`.
        density: likewise.
        bins: rules that are not linear see weights in steps of 1 / bins, so that items of like
            weights share a merged update.
    """

    def __init__(self, merge: str, scale: float, density: float, bins: int) -> None:
        super().__init__()
        self.rule, self.scale, self.density, self.bins = MERGES[merge], scale, density, bins
        self.seed_T: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self._sites: dict[tuple[str, ...], dict[str, Updates]] = {}
        self._merged: dict[tuple[object, ...], dict[str, Merged]] = {}

    def add(self, adapter: LoRA, generator: torch.Generator) -> None:
        """Take up an adapter; the generator seeds its masks, for rules that drop entries."""
        self.append(adapter)
        seed_1 = torch.randint(2**62, (1,), generator=generator).to(self.seed_T.device)
        self.seed_T = torch.cat([self.seed_T, seed_1])

    def adapter(self, index: int) -> LoRA:
        """The adapter of that index."""
        found = self[index]
        assert isinstance(found, LoRA)
        return found

    def encode(
        self, clip: Backbone, items: Images | Texts, index_BK: Tensor, weight_BK: Tensor
    ) -> Tensor:
        """Unit rows (B, D), each item through the adapters that were chosen for it.

        An adapter that serves many of the batch alone has a table of the whole evaluation set
        (`Images.cached`), made once for all stages, orders and variants; a few items are not worth
        a pass over the set.

        Args:
            clip: the frozen backbone.
            items: B images or texts.
            index_BK: int64, adapters of each item, best first.
            weight_BK: their weights, at least 0 with sum 1; a first weight of 1 means that
                nothing is merged.
        """
        if not self.rule.linear:
            parts_BK = (weight_BK * self.bins).round()
            weight_BK = parts_BK / parts_BK.sum(dim=1, keepdim=True)
        left_B = torch.ones(len(items), dtype=torch.bool, device=index_BK.device)
        sure_B = weight_BK[:, 0] == 1
        out_BD = torch.empty(len(items), clip.dim, device=index_BK.device)
        if not torch.is_grad_enabled():
            for t in index_BK[sure_B, 0].unique().tolist():
                mine_B = sure_B & (index_BK[:, 0] == t)
                if MANY * int(mine_B.sum()) >= len(items):
                    adapter = self.adapter(t)
                    alone = partial(
                        encode_with, clip, deltas=adapter.deltas(), targets=adapter.targets
                    )
                    out_BD[mine_B] = items[mine_B.nonzero()[:, 0]].cached(adapter, alone)
                    left_B &= ~mine_B
        if self.rule.linear:
            merged_BK = self.rule.weigh(weight_BK, self.scale)
            weight_BK = torch.where(sure_B[:, None], weight_BK, merged_BK)
            sure_B = torch.ones_like(sure_B)
        rows = (left_B & sure_B).nonzero()[:, 0]
        if len(rows):
            # In an order by content: what is summed must not depend on the order of tasks.
            place = sorted(range(len(self)), key=lambda t: self.adapter(t).digest())
            place_T = torch.tensor(place, device=index_BK.device).argsort()
            rows = rows[by_route(place_T[index_BK[rows]], weight_BK[rows])]
            adapters = [self.adapter(t) for t in place]
            mixed = weighted_deltas(adapters, place_T[index_BK[rows]], weight_BK[rows])
            out_BD[rows] = encode_with(clip, items[rows], mixed, adapters[0].targets)
        for rows, merged in self._groups(index_BK, weight_BK, left_B & ~sure_B):
            out_BD[rows] = encode_with(clip, items[rows], merged, self.adapter(0).targets)
        return out_BD

    def _groups(
        self, index_BK: Tensor, weight_BK: Tensor, merged_B: Tensor
    ) -> Iterator[tuple[Tensor, dict[str, Merged]]]:
        """Items that meet the same merged update, and that update."""
        rows_of: dict[WeightedAdapters, list[int]] = {}
        weights_BK, indices_BK = weight_BK.tolist(), index_BK.tolist()
        names = {t: self.adapter(t).digest() for t in index_BK[merged_B].unique().tolist()}
        for row in merged_B.nonzero()[:, 0].tolist():
            pairs = zip(indices_BK[row], weights_BK[row], strict=True)
            # By content, not by index: what is merged must not depend on the order of tasks.
            group = tuple(sorted((names[t], t, weight) for t, weight in pairs if weight))
            rows_of.setdefault(group, []).append(row)
        for group, rows in sorted(rows_of.items()):
            yield torch.tensor(rows, device=index_BK.device), self._update(group)

    def _update(self, group: WeightedAdapters) -> dict[str, Merged]:
        key = tuple((name, weight) for name, _, weight in group)
        if key not in self._merged:
            names = tuple(name for name, _, _ in group)
            if names not in self._sites:
                if len(self._sites) >= SETS:
                    self._sites.clear()
                seeds = [int(self.seed_T[t]) for _, t, _ in group] if self.rule.sparse else None
                self._sites[names] = site_updates([self.adapter(t) for _, t, _ in group], seeds)
            weight_K = torch.tensor([weight for _, _, weight in group])
            sites = self._sites[names]
            found = merged_deltas(self.rule, sites, weight_K, self.scale, self.density)
            if sum(map(_size, self._merged.values())) > HELD:
                self._merged.clear()
                self._sites.clear()
            self._merged[key] = found
        return self._merged[key]


def _size(update: Mapping[str, Merged]) -> int:
    """Scalars that a merged update holds."""
    parts = [t for each in update.values() for t in (each.up_OQ, each.down_QI)]
    return sum(t.numel() for t in parts if t is not None)
