"""A bank of frozen adapters: every item of a batch goes through its own, alone or merged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from ...backbones.backbone import Backbone, Tower
from ...backbones.sites import Site, replaced
from ...common.digests import digest
from ...protocol.items import Images, Texts
from ..lora import LoRA, encode_with
from .groups import Group, cut, groups_of
from .merged import Merged
from .mixed import Neighbours, columns, mixed_deltas, spread, stack, weighted_run
from .recent import Recent
from .spaces import MERGES, Updates, merged_deltas, site_updates

WORTH = 4
"""A group is worth weights of its own from WORTH O I / (O + I) rows of its maps on.

An update of rank Q takes Q O I multiplications to be added to a weight, once, and Q (O + I) for
each row of outputs that it is added to instead. The first is bound by memory and so dear: merged
for one batch, weights take a CPU as long as updates of outputs at WORTH, at widths from 128 to
3072. Where merged weights are held from an earlier batch, a pass of its own for a small group
takes as much longer than one shared pass as it saves.
"""
PIECE = 64
"""Items that a CPU takes at a time, so that their activations stay in its cache.

Measured at width 128, where 256 at a time take up to a fifth more; at width 768 it is all one.
"""
WEIGHTS, UPDATES, STACKS = 2**28, 2**30, 2**26  # bytes of each that are held
Encode = Callable[[Images | Texts], Tensor]
SETS = 21  # of adapters whose bases are held: all pairs of seven


@dataclass(frozen=True)
class _Part:
    """What a group's rows depend on beside the backbone, the items and weights of their own."""

    contents: tuple[str, ...]

    def digest(self) -> str:
        return digest(self.contents)


@dataclass(frozen=True)
class _Plain:
    """The tower that a batch goes through, without adapters.

    Attributes:
        clip: the frozen backbone.
        tower: which one.
        content: digest of the tower, which is what adapters are merged into.
        sites: of that tower, at which the adapters act; none where they are of the other alone.
    """

    clip: Backbone
    tower: Tower
    content: str
    sites: dict[str, Site]


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
        self.merge, self.rule = merge, MERGES[merge]
        self.scale, self.density, self.bins = scale, density, bins
        self.seed_T: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self._tokens: dict[tuple[str, int], int] = {}  # of an image, by backbone
        self._bases: Recent[dict[str, Updates]] = Recent(SETS, lambda _: 1)
        self._updates: Recent[dict[str, Merged]] = Recent(
            UPDATES, lambda update: sum(at.nbytes for at in update.values())
        )
        self._weights: Recent[dict[str, Tensor]] = Recent(
            WEIGHTS, lambda weights: sum(t.nbytes for t in weights.values())
        )
        self._stacks: Recent[tuple[Tensor, Tensor]] = Recent(
            STACKS, lambda both: both[0].nbytes + both[1].nbytes
        )

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

        Items that use the same adapters are a group. In an evaluation each group has its rows from
        `Images.cached`: an item is encoded once for all stages, orders and variants that route it
        alike, and the more items come together, the larger the groups that the towers see. Else a
        large group has weights of its own and all small ones share a pass, see `WORTH`.

        Args:
            clip: the frozen backbone.
            items: B images or texts.
            index_BK: int64, adapters of each item, best first.
            weight_BK: their weights, at least 0 with sum 1; a first weight of 1 means that
                nothing is merged.
        """
        names = [self.adapter(t).digest() for t in range(len(self))]
        groups = groups_of(self.rule, self.scale, self.bins, names, index_BK, weight_BK)
        out_BD = torch.empty(len(items), clip.dim, device=index_BK.device)
        plain = self._plain(clip, "image" if isinstance(items, Images) else "text")
        if not plain.sites:  # of this tower the adapters change nothing
            return items.cached(_Part(("plain",)), partial(_as_it_is, clip))
        if items.kept:
            for group in groups:
                out_BD[group.rows] = self._kept(plain, items[group.rows], group)
            return out_BD
        for rows, encode in self._passes(plain, items, groups):
            out_BD[rows] = encode(items[rows])
        return out_BD

    def _plain(self, clip: Backbone, tower: Tower) -> _Plain:
        sites = clip.sites(self.adapter(0).targets).items()
        mine = {name: site for name, site in sites if name.startswith(tower)}
        return _Plain(clip, tower, clip.digest(tower), mine)

    def _passes(
        self, plain: _Plain, items: Images | Texts, groups: Sequence[Group]
    ) -> Iterator[tuple[Tensor, Encode]]:
        """Which items go through a tower together, and how."""
        clip, learns, small = plain.clip, torch.is_grad_enabled(), list[Group]()
        most = PIECE if clip.logit_scale.device.type == "cpu" and not learns else len(items)
        large = len(items) + 1 if learns or not groups else self._large(plain, items)
        for group in groups:
            if group.merged and learns:
                yield group.rows, partial(self._updated, clip, group)
            elif group.even and (len(group) >= large or self._is_dense(group)):
                for (piece,) in cut([group], most):
                    yield piece.rows, partial(self._as_one, plain, group)
            else:
                small.append(group)
        for some in cut(small, most):
            yield torch.cat([group.rows for group in some]), partial(self._mixed, clip, some)

    def _large(self, plain: _Plain, items: Images | Texts) -> float:
        """Items of a group that is worth weights of its own."""
        clip, weights = plain.clip, [site.weight for site in plain.sites.values()]
        if isinstance(items, Texts):
            tokens = clip.text_length(int(clip.end_of_text(items.tokens_ML).max()) + 1)
        else:
            key = clip.name, clip.size
            if key not in self._tokens:
                self._tokens[key] = clip.embed_image(items.pixels_B3HW[:1]).shape[1]
            tokens = self._tokens[key]
        rows = sum(w.numel() for w in weights) / sum(sum(w.shape) for w in weights)
        return WORTH * rows / tokens

    def _is_dense(self, group: Group) -> bool:
        """Whether its update has no factors, so that it costs as much as the map itself."""
        return group.merged and next(iter(self._update(group).values())).down_QI is None

    # -- rows of a group

    def _kept(self, plain: _Plain, items: Images | Texts, group: Group) -> Tensor:
        """From the store; what is not there is encoded in a form that no other item changes."""
        if group.even:
            part = _Part(("even", *self._contents(group)))
            return items.cached(part, partial(self._as_one, plain, group))
        part = _Part(("weighed", *group.names))
        return items.cached(part, partial(self._weighed, plain.clip, group), group.weight_nK)

    def _as_one(self, plain: _Plain, group: Group, items: Images | Texts) -> Tensor:
        """Items of an even group, through weights that its update is added to."""

        def weights() -> dict[str, Tensor]:
            own = {name: site.weight for name, site in plain.sites.items()}
            return {name: self._at(group, name).added_to(weight) for name, weight in own.items()}

        device = plain.clip.logit_scale.device
        key = plain.content, device, plain.tower, *self._contents(group)
        found = self._weights.get(key, weights)
        with replaced({plain.sites[name]: weight for name, weight in found.items()}):
            return encode_with(plain.clip, items, {}, ())

    def _weighed(
        self, clip: Backbone, group: Group, items: Images | Texts, weight_nK: Tensor
    ) -> Tensor:
        """Items that use the same adapters, each with weights of its own."""
        some = replace(group, rows=torch.arange(len(items)), weight_nK=weight_nK)
        return self._mixed(clip, [some], items)

    def _mixed(self, clip: Backbone, groups: Sequence[Group], items: Images | Texts) -> Tensor:
        """Items of several groups, one group after the other, in one pass."""
        runs, stacked = [self._run(group) for group in groups], None
        if len(groups) > 1 and not any(group.merged for group in groups):
            every = {n: t for g in groups for n, t in zip(g.names, g.adapters, strict=True)}
            used = sorted(every)  # in an order by content
            parts = [spread(group.index_nK(used), group.weight_nK, len(used)) for group in groups]
            stacked = weighted_run([self.adapter(every[n]) for n in used], torch.cat(parts))
        first = self.adapter(0)
        return encode_with(clip, items, mixed_deltas(first, runs, stacked), first.targets)

    def _updated(self, clip: Backbone, group: Group, items: Images | Texts) -> Tensor:
        """Items whose merged update is added to outputs."""
        return encode_with(clip, items, self._update(group), self.adapter(0).targets)

    # -- what the adapters of a group are together

    def _contents(self, group: Group) -> tuple[str, ...]:
        """All that the update of an even group depends on."""
        sums = *group.names, *map(repr, group.weights)
        if not group.merged:
            return sums
        seeds = map(str, self._seeds(group) or ())
        return self.merge, repr(self.scale), repr(self.density), *seeds, *sums

    def _seeds(self, group: Group) -> list[int] | None:
        return [int(self.seed_T[t]) for t in group.adapters] if self.rule.sparse else None

    def _update(self, group: Group) -> dict[str, Merged]:
        """What a rule that is not linear makes of the adapters, at every site."""

        def bases() -> dict[str, Updates]:
            return site_updates([self.adapter(t) for t in group.adapters], self._seeds(group))

        def merged() -> dict[str, Merged]:
            sites, weight_K = self._bases.get(group.names, bases), torch.tensor(group.weights)
            return merged_deltas(self.rule, sites, weight_K, self.scale, self.density)

        return self._updates.get(self._contents(group), merged)

    def _at(self, group: Group, name: str) -> Merged:
        """The update of an even group at a site."""
        if group.merged:
            return self._update(group)[name]
        adapters = [self.adapter(t) for t in group.adapters]
        down_QI, up_OQ = stack(adapters, name)
        return Merged(up_OQ * columns(adapters, group.weight_nK[:1]), down_QI)

    def _run(self, group: Group) -> Neighbours:
        if group.merged:
            update = self._update(group)
            rank = next(iter(update.values())).up_OQ.shape[1]
            return Neighbours(len(group), rank, lambda name: update[name].factors)
        adapters = [self.adapter(t) for t in group.adapters]
        if len(adapters) == 1 and group.even:
            scale = adapters[0].scale * group.weights[0]
            rank = len(next(iter(adapters[0].A.values())))
            return Neighbours(len(group), rank, partial(stack, adapters), scale)

        def stacked(name: str) -> tuple[Tensor, Tensor]:
            make = partial(stack, adapters, name)
            return make() if learns else self._stacks.get((*group.names, name), make)

        learns, column_BQ = torch.is_grad_enabled(), columns(adapters, group.weight_nK)
        return Neighbours(len(group), column_BQ.shape[1], stacked, column_BQ=column_BQ)


def _as_it_is(clip: Backbone, items: Images | Texts) -> Tensor:
    return encode_with(clip, items, {}, ())
