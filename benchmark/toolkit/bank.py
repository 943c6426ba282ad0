"""A bank of frozen adapters: every item of a batch goes through its own, alone or merged."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ..clip import Clip, Delta
from ..types import Images, Texts
from .lora import LoRA, weighted_deltas
from .merging import MERGES, Merged, Updates, merged_deltas, site_updates

MANY = 4  # an adapter serves many of a batch if it serves 1 / MANY of it
HELD = 2**28  # scalars of merged updates that stay in memory


class Bank(nn.ModuleList):
    """Adapters of equal targets and rank, and how several of them are merged.

    Args:
        merge: a rule of `MERGES`.
        scale: of merged updates, see `merging.check_merge`.
        density: likewise.
        bins: rules that are not linear see weights in steps of 1 / bins, so that items of like
            weights share a merged update.
    """

    def __init__(self, merge: str, scale: float, density: float, bins: int) -> None:
        super().__init__()
        self.rule, self.scale, self.density, self.bins = MERGES[merge], scale, density, bins
        self._sites: dict[tuple[str, ...], dict[str, Updates]] = {}
        self._merged: dict[tuple[object, ...], dict[str, Merged]] = {}

    def adapter(self, index: int) -> LoRA:
        """The adapter of that index."""
        found = self[index]
        assert isinstance(found, LoRA)
        return found

    def encode(
        self, clip: Clip, items: Images | Texts, index_BK: Tensor, weight_BK: Tensor
    ) -> Tensor:
        """Unit rows (B, D), each item through the adapters that were chosen for it.

        An adapter that serves many of the batch alone has a table of the whole evaluation set
        (`Images.known`), made once for all stages, orders and variants; a few items are not worth
        a pass over the set.

        Args:
            clip: the frozen backbone.
            items: B images or texts.
            index_BK: int64, adapters of each item, best first.
            weight_BK: their weights, at least 0 with sum 1; a first weight of 1 means that
                nothing is merged.
        """
        left_B = torch.ones(len(items), dtype=torch.bool, device=index_BK.device)
        sure_B = weight_BK[:, 0] == 1
        out_BD = torch.empty(len(items), clip.dim, device=index_BK.device)
        if items.known is not None:
            for t in index_BK[sure_B, 0].unique().tolist():
                mine_B = sure_B & (index_BK[:, 0] == t)
                if MANY * int(mine_B.sum()) >= len(items):
                    adapter = self.adapter(t)
                    alone = partial(tower, clip, deltas=adapter.deltas(), targets=adapter.targets)
                    out_BD[mine_B] = items.known(adapter.digest(), alone)[mine_B]
                    left_B &= ~mine_B
        if self.rule.linear:
            merged_BK = self.rule.weigh(weight_BK, self.scale)
            weight_BK = torch.where(sure_B[:, None], weight_BK, merged_BK)
            sure_B = torch.ones_like(sure_B)
        one_pass = (left_B & sure_B).nonzero()[:, 0]
        if len(one_pass):
            adapters = [self.adapter(t) for t in range(len(self))]
            mixed = weighted_deltas(adapters, index_BK[one_pass], weight_BK[one_pass])
            out_BD[one_pass] = tower(clip, items[one_pass], mixed, adapters[0].targets)
        for rows, merged in self._groups(index_BK, weight_BK, left_B & ~sure_B):
            out_BD[rows] = tower(clip, items[rows], merged, self.adapter(0).targets)
        return out_BD

    def _groups(
        self, index_BK: Tensor, weight_BK: Tensor, merged_B: Tensor
    ) -> Iterator[tuple[Tensor, dict[str, Merged]]]:
        """Items that meet the same merged update, and that update."""
        rows_of: dict[tuple[tuple[str, int, int], ...], list[int]] = {}
        parts_BK = (weight_BK * self.bins).round().long().tolist()
        indices_BK = index_BK.tolist()
        names = {t: self.adapter(t).digest() for t in index_BK[merged_B].unique().tolist()}
        for row in merged_B.nonzero()[:, 0].tolist():
            pairs = zip(indices_BK[row], parts_BK[row], strict=True)
            # By content, not by index: what is merged must not depend on the order of tasks.
            group = tuple(sorted((names[t], t, parts) for t, parts in pairs if parts))
            rows_of.setdefault(group, []).append(row)
        for group, rows in sorted(rows_of.items()):
            yield torch.tensor(rows, device=index_BK.device), self._update(group)

    def _update(self, group: tuple[tuple[str, int, int], ...]) -> dict[str, Merged]:
        key = tuple((name, parts) for name, _, parts in group)
        if key not in self._merged:
            names = tuple(name for name, _, _ in group)
            if names not in self._sites:
                adapters = [self.adapter(t) for _, t, _ in group]
                seeds = [int(name[:15], 16) for name in names]
                self._sites[names] = site_updates(adapters, seeds if self.rule.sparse else None)
            parts = torch.tensor([float(parts) for _, _, parts in group])
            sites, weight_K = self._sites[names], parts / parts.sum()
            found = merged_deltas(self.rule, sites, weight_K, self.scale, self.density)
            if sum(map(_size, self._merged.values())) > HELD:
                self._merged.clear()
            self._merged[key] = found
        return self._merged[key]


def _size(update: Mapping[str, Merged]) -> int:
    """Scalars that a merged update holds."""
    parts = [t for each in update.values() for t in (each.up_OQ, each.down_QI)]
    return sum(t.numel() for t in parts if t is not None)


def tower(
    clip: Clip, items: Images | Texts, deltas: Mapping[str, Delta], targets: tuple[str, ...]
) -> Tensor:
    """Unit rows (B, D) of images or texts by the backbone with these deltas."""
    with clip.adapted(deltas, targets):
        if isinstance(items, Images):
            return clip.image(items.pixels_B3HW)
        return clip.text(items.tokens_ML)
