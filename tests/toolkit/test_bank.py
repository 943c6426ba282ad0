"""A bank of adapters: each item as if it were alone, whatever the batch and the order."""

import copy
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from lanes import lanes
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.open_clip import OpenClip
from benchmark.backbones.sites import MAPS, PROJECTIONS, replaced
from benchmark.protocol.items import Images, Texts
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging import bank as bank_file
from benchmark.toolkit.merging.bank import Bank
from benchmark.toolkit.merging.groups import cut, groups_of
from benchmark.toolkit.merging.recent import Recent
from benchmark.toolkit.merging.spaces import MERGES, merge, site_updates

LINEAR = [name for name, rule in MERGES.items() if rule.linear]
NOT_LINEAR = [name for name, rule in MERGES.items() if not rule.linear]
BINS = 4


def _adapter(clip, seed, targets=PROJECTIONS):
    g = torch.Generator().manual_seed(seed)
    adapter = LoRA(clip, targets, 4, 4.0 + 2 * seed, 0.0, g)
    with torch.no_grad():
        for b in adapter.B.values():
            b.copy_(torch.randn(b.shape, generator=g) / 20)
    return adapter.eval()


def _bank(clip, seeds, rule="linear", scale=1.0, targets=PROJECTIONS):
    """Adapters and masks by seed, whatever their place."""
    bank = Bank(rule, scale, 0.5, BINS)
    for seed in seeds:
        bank.add(_adapter(clip, seed, targets), torch.Generator().manual_seed(seed))
    return bank.eval()


def _routes(items, adapters, merged, seed=0):
    """Two adapters for each item; a share of the items is merged."""
    g = torch.Generator().manual_seed(seed)
    index_BK = torch.stack([torch.randperm(adapters, generator=g)[:2] for _ in range(items)])
    best_B = 0.5 + torch.rand(items, generator=g) / 4
    best_B[torch.randperm(items, generator=g)[round(merged * items) :]] = 1
    return index_BK, torch.stack([best_B, 1 - best_B], dim=1)


def _items(kind, count, clip, seed=0):
    g = torch.Generator().manual_seed(seed)
    if kind == "image":
        return Images(torch.randn(count, 3, 48, 48, generator=g), lambda: torch.empty(0))
    words = torch.randint(1, 400, (count, 20), generator=g)
    return Texts(clip.framed(words), lambda: torch.empty(0))


def _used(rule, weight_K, scale):
    """Weights of one item's adapters as the rule's definition says, in plain Python."""
    if weight_K[0] == 1:
        return [1.0, 0.0]
    return {
        "none": [1.0, 0.0],
        "linear": [scale * w for w in weight_K],
        "uniform": [scale / 2, scale / 2],
        "ta": [scale, scale],
    }[rule]


@torch.no_grad()
def _alone(clip, bank, rule, scale, items, index_BK, weight_BK):
    """Each item through a backbone of its own, whose weights were merged for it in float64."""
    rows, model = [], copy.deepcopy(clip).double()
    for i, (index_K, weight_K) in enumerate(
        zip(index_BK.tolist(), weight_BK.tolist(), strict=True)
    ):
        own = {name: site.weight.double() for name, site in clip.sites(MAPS).items()}
        adapters = [bank[t] for t in index_K]
        if MERGES[rule].linear:
            for adapter, w in zip(adapters, _used(rule, weight_K, scale), strict=True):
                for name, key in adapter.names.items():
                    b, a = adapter.B[key].double(), adapter.A[key].double()
                    own[name] = own[name] + w * adapter.scale * b @ a
        else:
            parts = [round(w * BINS) for w in weight_K]
            order = sorted((k for k in (0, 1) if parts[k]), key=lambda k: adapters[k].digest())
            some, w_K = [adapters[k] for k in order], [parts[k] / sum(parts) for k in order]
            if len(some) == 1:
                for name, key in some[0].names.items():
                    b, a = some[0].B[key].double(), some[0].A[key].double()
                    own[name] = own[name] + some[0].scale * b @ a
            else:
                seeds = [int(bank.seed_T[index_K[k]]) for k in order]
                updates = site_updates(some, seeds if MERGES[rule].sparse else None)
                for name, at in updates.items():
                    one = merge(MERGES[rule], at, torch.tensor(w_K), scale)
                    up = one.up_OQ.double()
                    own[name] = own[name] + (
                        up if one.down_QI is None else up @ one.down_QI.double()
                    )
        for name, site in model.sites(MAPS).items():
            site.weight.copy_(own[name])
        piece = items[torch.tensor([i])]
        if isinstance(piece, Images):
            rows.append(model.image_tower(model.embed_image(piece.pixels_B3HW.double())))
        else:
            tokens = piece.tokens_ML
            rows.append(model.text_tower(model.embed_text(tokens), model.end_of_text(tokens)))
    return F.normalize(torch.cat(rows), dim=1).float()


@contextmanager
def _forms(monkeypatch):
    """Which forms a bank takes: merged weights, or updates of outputs."""
    seen: Counter[str] = Counter()
    adapted = Backbone.adapted
    with monkeypatch.context() as patch:
        patch.setattr(
            bank_file, "replaced",
            lambda weights: (seen.update(["weights"]), replaced(weights))[1],
        )  # fmt: skip
        patch.setattr(
            Backbone, "adapted",
            lambda self, d, t: (seen.update(["outputs"] if d else []), adapted(self, d, t))[1],
        )  # fmt: skip
        yield seen


@torch.no_grad()
@pytest.mark.parametrize("kind", ["image", "text"])
@pytest.mark.parametrize(
    ("rule", "scale"),
    [
        pytest.param("linear", 1.0, marks=pytest.mark.slow),
        pytest.param("none", 1.0, marks=pytest.mark.slow),
        pytest.param("uniform", 1.5, marks=pytest.mark.slow),
        ("ta", 0.5),
    ],
)
def test_every_item_is_as_if_it_were_alone(rule, scale, kind, clip, monkeypatch):
    """In batches of one, of few and of many, in which large groups have weights of their own."""
    bank, items = _bank(clip, (1, 2, 3), rule, scale), _items(kind, 16, clip)
    index_BK, weight_BK = _routes(16, 3, 0.5)
    want = _alone(clip, bank, rule, scale, items, index_BK, weight_BK)
    start = {n: p.clone() for n, p in clip.named_parameters()}
    for worth, form in ((0, "weights"), (bank_file.WORTH, None), (1e9, "outputs")):
        monkeypatch.setattr(bank_file, "WORTH", worth)
        for rows in (torch.arange(16), torch.tensor([4])):
            with _forms(monkeypatch) as seen:
                got = bank.encode(clip, items[rows], index_BK[rows], weight_BK[rows])
            assert_close(got, want[rows], rtol=0, atol=2e-6)
            if form:
                assert form in seen or rule == "linear"
    assert all(p.equal(start[n]) for n, p in clip.named_parameters())
    far = _alone(clip, bank, "none", 1.0, items[:3], index_BK[:3].flip(1), weight_BK[:3])
    assert float((far - want[:3]).abs().min(dim=0).values.max()) > 1e-3, "all adapters are alike"


@torch.no_grad()
@pytest.mark.parametrize(
    "rule", [pytest.param(r, marks=[pytest.mark.slow] * (r != "core-tsv")) for r in NOT_LINEAR]
)
def test_so_is_one_whose_merge_is_not_linear(rule, clip, monkeypatch):
    bank, items = _bank(clip, (1, 2), rule, 1.5), _items("image", 8, clip)
    index_BK, weight_BK = _routes(8, 2, 0.6)
    want = _alone(clip, bank, rule, 1.5, items, index_BK, weight_BK)
    for worth in (0, 1e9):
        monkeypatch.setattr(bank_file, "WORTH", worth)
        for rows in (torch.arange(8), torch.tensor([4])):
            got = bank.encode(clip, items[rows], index_BK[rows], weight_BK[rows])
            assert_close(got, want[rows], rtol=0, atol=5e-6)


@torch.no_grad()
def test_every_map_can_be_a_target(clip):
    bank, items = _bank(clip, (1, 2), targets=MAPS), _items("text", 24, clip)
    index_BK, weight_BK = _routes(24, 2, 0.3)
    want = _alone(clip, bank, "linear", 1.0, items, index_BK, weight_BK)
    got = bank.encode(clip, items, index_BK, weight_BK)
    assert_close(got, want, rtol=0, atol=2e-6)


def test_with_gradients_they_reach_the_adapters(clip):
    bank, items = _bank(clip, (1, 2)), _items("image", 20, clip)
    index_BK, weight_BK = _routes(20, 2, 0.5)
    got = bank.encode(clip, items, index_BK, weight_BK)
    with torch.no_grad():
        assert_close(bank.encode(clip, items, index_BK, weight_BK), got, rtol=0, atol=1e-6)
    got.cumsum(dim=1).sum().backward()
    for adapter in bank:
        for name, key in adapter.names.items():
            if name.startswith("image"):
                assert float(adapter.A[key].grad.abs().sum()) > 0, name


@torch.no_grad()
def test_weights_are_merged_anew_when_adapter_or_backbone_changed(clip, monkeypatch):
    """What is held is what was merged of these very contents."""
    monkeypatch.setattr(bank_file, "WORTH", 0)
    bank, items = _bank(clip, (1, 2)), _items("image", 4, clip)
    routes = torch.zeros(4, 1, dtype=torch.int64), torch.ones(4, 1)
    before = bank.encode(clip, items, *routes)
    next(iter(bank[0].B.values())).mul_(3)
    changed = bank.encode(clip, items, *routes)
    assert not torch.allclose(changed, before, atol=1e-4)
    next(iter(clip.sites(("mlp.c_fc",)).values())).weight.mul_(1.5)
    again = bank.encode(clip, items, *routes)
    assert not torch.allclose(again, changed, atol=1e-4)
    with clip.adapted(bank[0].deltas(), PROJECTIONS):
        assert_close(again, clip.image(items.pixels_B3HW), rtol=0, atol=1e-6)


# -- in an evaluation, by the store


class Towers:
    """Counts the items that go through each tower."""

    def __init__(self, monkeypatch):
        self.items: Counter[str] = Counter()
        for tower in ("image", "text"):
            real = getattr(OpenClip, f"_{tower}_tower")

            def count(own, x, *rest, real=real, tower=tower):
                self.items[tower] += len(x)
                return real(own, x, *rest)

            monkeypatch.setattr(OpenClip, f"_{tower}_tower", count)


def _stored(feed, data, kind, rows=None):
    total = len(data) if kind == "image" else len(data.tokens_ML)
    rows = torch.arange(total) if rows is None else rows
    if kind == "image":
        return feed.images(data, rows, cached=True)
    return feed.texts(data.tokens_ML, data.text_key, rows, cached=True)


@torch.no_grad()
@pytest.mark.parametrize("kind", lanes(["image", "text"], ["image"]))
@pytest.mark.parametrize(
    "rule",
    [
        "linear",
        pytest.param("uniform", marks=pytest.mark.slow),
        pytest.param("core-tsv", marks=pytest.mark.slow),
    ],
)
def test_with_a_store_no_bit_depends_on_the_batch(rule, kind, lab, captioned):
    """Nor on the place of the adapters in the bank, nor on how many there are."""
    found = []
    for seeds, pieces in (((1, 2, 3), 1), ((1, 2, 3), 5), ((3, 2, 1), 2), ((4, 3, 1, 2), 9)):
        clip = lab.clip()
        feed, bank = lab.feed(clip), _bank(clip, seeds, rule)
        every = _stored(feed, captioned, kind)
        index_BK, weight_BK = _routes(len(every), 3, 0.5)
        place_T = torch.tensor([seeds.index(seed) for seed in (1, 2, 3)])
        rows = torch.randperm(len(every), generator=torch.Generator().manual_seed(pieces))
        out = torch.empty(len(every), clip.dim)
        feed.frozen.store._tables.clear()
        for some in rows.chunk(pieces):
            items = _stored(feed, captioned, kind, some)
            out[some] = bank.encode(clip, items, place_T[index_BK[some]], weight_BK[some])
            feed.frozen.store._tables.clear()  # nothing is found that another batch left
        found.append(out)
        plain = bank.encode(clip, _plainly(feed, captioned, kind), place_T[index_BK], weight_BK)
        assert_close(out, plain, rtol=0, atol=2e-6)
    assert all(out.equal(found[0]) for out in found)


def _plainly(feed, data, kind):
    items = _stored(feed, data, kind)
    if kind == "image":
        return Images(items.pixels_B3HW, items.frozen)
    return Texts(items.tokens_ML, items.frozen)


@torch.no_grad()
@pytest.mark.parametrize("rule", lanes(["linear", "uniform"], ["linear"]))
def test_no_item_goes_through_a_tower_twice(rule, lab, captioned, monkeypatch):
    """Over stages, variants and orders: once for each set of adapters and weights."""
    clip = lab.clip()
    feed = lab.feed(clip)
    items = _stored(feed, captioned, "image")
    towers, done = Towers(monkeypatch), set()
    for adapters, seed in ((1, 0), (2, 1), (2, 1), (3, 2), (3, 1)):
        if adapters == 1:
            index_BK, weight_BK = torch.zeros(len(items), 1, dtype=torch.int64), None
            weight_BK = torch.ones(len(items), 1)
        else:
            index_BK, weight_BK = _routes(len(items), adapters, 0.4, seed)
        for seeds in ((1, 2, 3), (3, 2, 1)):
            order = [seeds.index(s) for s in (1, 2, 3)]
            bank = _bank(clip, seeds, rule)
            for i, (index_K, weight_K) in enumerate(
                zip(index_BK.tolist(), weight_BK.tolist(), strict=True)
            ):
                weights = _used(rule, weight_K, 1.0)
                pairs = zip(index_K, weights, strict=False)
                done.add((i, tuple(sorted((t, w) for t, w in pairs if w))))
            bank.encode(clip, items, torch.tensor(order)[index_BK], weight_BK)
            assert towers.items["image"] <= len(done)
    assert len(items) < towers.items["image"] == len(done)


# -- groups


def test_groups_are_of_content_and_every_item_is_in_one():
    names = ["b", "c", "a"]
    index_BK = torch.tensor([[0, 1], [1, 0], [2, 0], [0, 2], [2, 1]])
    weight_BK = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    groups = groups_of(MERGES["linear"], 1.0, BINS, names, index_BK, weight_BK)
    assert sorted(torch.cat([g.rows for g in groups]).tolist()) == list(range(5))
    got = {g.names: (g.rows.tolist(), g.weight_nK.tolist(), g.even) for g in groups}
    assert got[("b", "c")] == ([0, 1], [[0.75, 0.25], [0.5, 0.5]], False)
    assert got[("a",)] == ([2, 4], [[1.0], [1.0]], True)
    assert got[("b",)] == ([3], [[1.0]], True)
    turned = groups_of(MERGES["linear"], 1.0, BINS, names[::-1], 2 - index_BK, weight_BK)
    assert [(g.names, g.rows.tolist()) for g in turned] == [
        (g.names, g.rows.tolist()) for g in groups
    ]
    core = groups_of(MERGES["core-tsv"], 1.0, BINS, names, index_BK, weight_BK)
    assert [g.names for g in core if g.merged] == [("b", "c")] * 2, "by weights too"


@pytest.mark.parametrize("most", [1, 3, 4, 100])
def test_cut_keeps_all_items_in_pieces_of_one_size(most):
    index_BK = torch.tensor([[0]] * 5 + [[1]] * 2 + [[2]] * 4)
    groups = groups_of(MERGES["none"], 1.0, BINS, ["a", "b", "c"], index_BK, torch.ones(11, 1))
    pieces = list(cut(groups, most))
    order = torch.cat([g.rows for g in groups]).tolist()
    assert torch.cat([g.rows for p in pieces for g in p]).tolist() == order
    assert sorted(order) == list(range(11))
    sizes = [sum(map(len, piece)) for piece in pieces]
    assert len(set(sizes[:-1])) <= 1
    assert max(sizes) <= 1.5 * most
    assert list(cut([], most)) == []


def test_what_is_recent_is_held_up_to_its_bytes():
    made: list[str] = []
    recent: Recent[str] = Recent(10, len)

    def get(key, size):
        def make():
            made.append(key)
            return "x" * size

        return recent.get(key, make)

    for key, size in (("a", 4), ("b", 4), ("a", 4), ("c", 6), ("a", 4), ("huge", 11), ("b", 4)):
        assert len(get(key, size)) == size
    assert made == ["a", "b", "c", "huge", "b"]
