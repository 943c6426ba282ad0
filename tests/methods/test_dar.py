"""DAR's routing by hand, and the limits in which it is a simpler method."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
import torch
from lanes import lanes
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.open_clip import OpenClip
from benchmark.errors import BenchError
from benchmark.protocol.types import Context, Texts
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import find_method
from benchmark.toolkit.merging.bank import Bank
from benchmark.toolkit.merging.spaces import MERGES, merge, site_updates
from methods.dar import DARConfig, Routing


def _unit(rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


# Two prototypes per task; items in the plane, so that every cosine is known by hand.
IMAGE_TD = _unit([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
TEXT_TD = _unit([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
ITEMS = _unit([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.3, 0.1, 1.0]])


@pytest.fixture
def routed(lab):
    """Config changes -> weights (B, T) of every adapter, by task, and the best task."""

    def route(modality="image", **changes):
        feed = lab.feed(lab.clip())
        dar = lab.method("dar", feed, **changes)
        dar.image_TD, dar.text_TD = IMAGE_TD, TEXT_TD
        index_BK, weight_BK = dar.route(Texts(torch.zeros(4, 3), lambda: ITEMS), modality)
        weight_BT = torch.zeros(4, 3).scatter(1, index_BK, weight_BK)
        return weight_BT, index_BK[:, 0]

    return route


def _by_hand(score, top_k, margin, temperature):
    """One item, in plain Python: sort, compare the best two, softmax over the top k."""
    order = sorted(range(len(score)), key=lambda t: -score[t])
    weight = [0.0] * len(score)
    if top_k == 1 or score[order[0]] - score[order[1]] >= margin:
        weight[order[0]] = 1.0
        return weight
    exps = [2.718281828459045 ** (score[t] / temperature) for t in order[:top_k]]
    for t, e in zip(order, exps, strict=False):
        weight[t] = e / sum(exps)
    return weight


@pytest.mark.parametrize("routing", ["sample", "image", "text", "max", "modality"])
@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize(
    ("top_k", "margin", "temperature"),
    [(2, 0.05, 0.05), (2, 0.4, 0.1), (3, 2.0, 0.3), (1, 0.05, 0.05), (9, 0.6, 1.0), (2, 0.0, 0.05)],
)
def test_weights_by_hand(routing, modality, top_k, margin, temperature, routed):
    weight_BT, best_B = routed(
        modality, routing=routing, top_k=top_k, margin=margin, temperature=temperature
    )
    merged = 0
    for i, z in enumerate(ITEMS.tolist()):
        by = [
            [sum(a * b for a, b in zip(z, p, strict=True)) for p in table.tolist()]
            for table in (IMAGE_TD, TEXT_TD)
        ]
        score = {
            "sample": [(a + b) / 2 for a, b in zip(*by, strict=True)],
            "image": by[0],
            "text": by[1],
            "max": [max(a, b) for a, b in zip(*by, strict=True)],
            "modality": by[0] if modality == "image" else by[1],
        }[routing]
        top = sorted(score, reverse=True)
        if min(abs(a - b) for a, b in pairwise(top)) < 1e-6:
            continue  # equal scores: which of them is first is not defined
        if abs(top[0] - top[1] - margin) < 1e-6:
            continue
        want = _by_hand(score, min(top_k, 3), margin, temperature)
        assert_close(weight_BT[i], torch.tensor(want), rtol=1e-4, atol=1e-5)
        assert int(best_B[i]) == max(range(3), key=lambda t: score[t])
        merged += sum(w > 0 for w in want) > 1
    if top_k == 1 or margin == 0:
        assert merged == 0


def test_the_threshold_mixture_of_the_docstring():
    """0.73 to 0.27 where two tasks are exactly the margin apart."""
    first = 1 / (1 + 2.718281828459045**-1)
    assert first == pytest.approx(0.73, abs=0.005)


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"merge": "none"}, {"margin": 0.0}])
def test_top_1_or_margin_0_merges_nothing(changes, routed):
    weight_BT, best_B = routed(**changes)
    assert weight_BT.equal(F.one_hot(best_B, 3).float())


def test_equal_scores_do_not_merge_at_margin_0(lab):
    dar = lab.method("dar", lab.feed(lab.clip()), margin=0.0)
    dar.image_TD = dar.text_TD = IMAGE_TD[[0, 0]]
    _, weight_BK = dar.route(Texts(torch.zeros(4, 3), lambda: ITEMS), "image")
    assert weight_BK.equal(torch.tensor([[1.0, 0.0]]).expand(4, 2))


# -- whole runs


@pytest.fixture(scope="module")
def runs(lab):
    """Order of tasks, sharp or wide margin -> a trained run; shared, never changed."""
    done = {}

    def get(order, **changes):
        key = order, tuple(changes.items())
        if key not in done:
            done[key] = lab.train("dar", tuple(lab.pairs[i] for i in order), **changes)
        return done[key]

    return get


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow, id="default"),
        pytest.param({"margin": 2.0, "top_k": 3}, id="merged"),
    ],
)
def test_the_order_of_tasks_leaves_no_bit(changes, runs, lab, captioned):
    one, two = runs((0, 1, 2), **changes), runs((2, 1, 0), **changes)
    for data in (*lab.pairs, captioned):
        first, second = (lab.embed(r.method, r.feed, data) for r in (one, two))
        assert first[0].equal(second[0])
        assert first[1].equal(second[1])
    assert one.method.image_TD.equal(two.method.image_TD.flip(0))


def test_with_one_task_it_is_lora_ft(runs, lab):
    one, plain = runs((0,)), lab.train("lora-ft", lab.pairs[:1])
    assert one.losses == plain.losses
    a, b = one.method.adapters[0].state_dict(), plain.method.adapter.state_dict()
    assert a.keys() == b.keys()
    assert all(v.equal(b[k]) for k, v in a.items())
    for data in lab.pairs:
        x, y = (lab.embed(r.method, r.feed, data) for r in (one, plain))
        assert_close(x, y, rtol=0, atol=1e-6)  # through merged weights here, beside them there


def _merged(lab, bank, weights):
    """The pretrained backbone with W + sum of w scale B A, in float64, then float32."""
    clip = lab.clip()
    with torch.no_grad():
        for name, site in clip.sites(bank[0].targets).items():
            whole = site.weight.double()
            for w, a in zip(weights, bank, strict=True):
                key = a.names[name]
                whole = whole + float(w) * a.scale * a.B[key].double() @ a.A[key].double()
            site.weight.copy_(whole)
    return torch.no_grad()(clip.image)


def test_merging_is_a_merge_of_weights_per_item(lab, captioned):
    """Two tasks, every item with weights of its own, against a model merged by hand."""
    run = lab.train("dar", lab.pairs[:2], margin=2.0)
    g = torch.Generator().manual_seed(0)
    for adapter in run.method.adapters:  # a few steps leave B too small to tell merges apart
        for b in adapter.B.values():
            b.data += torch.randn(b.shape, generator=g) / 20
    for data in (captioned, lab.pairs[0]):
        got = lab.embed(run.method, run.feed, data)
        z = run.feed.frozen.images(data.pixels, data.pixel_key)
        score_BT = (z @ run.method.image_TD.T + z @ run.method.text_TD.T) / 2
        weight_BT = (score_BT / 0.05).softmax(dim=1)
        assert float(weight_BT.max()) < 0.999, "nothing is merged: the test proves nothing"
        for i in range(4):
            merged = _merged(lab, list(run.method.adapters), weight_BT[i])
            one = run.feed.images(data, torch.tensor([i]))
            want = merged(one.pixels_B3HW)[0]
            assert_close(got[0][i], want, rtol=0, atol=2e-5)
            single = _merged(lab, list(run.method.adapters), (1.0, 0.0))
            assert not torch.allclose(single(one.pixels_B3HW)[0], want, atol=1e-3)


def test_a_sure_item_goes_through_one_adapter(runs, lab):
    """Up to rounding, whether its weights were merged or not."""
    run = runs((0, 1), margin=0.0)
    data = lab.pairs[0]
    got, _ = lab.embed(run.method, run.feed, data)
    images = run.feed.images(data, torch.arange(len(data)))
    index_BK, _ = run.method.route(images, "image")
    for t, adapter in enumerate(run.method.adapters):
        mine = (index_BK[:, 0] == t).nonzero()[:, 0]
        if len(mine):
            with torch.no_grad(), run.method.clip.adapted(adapter.deltas(), adapter.targets):
                alone = run.method.clip.image(images.pixels_B3HW[mine])
            assert_close(got[mine], alone, rtol=0, atol=1e-6)
            with torch.no_grad():
                assert_close(run.method.encode_image(images[mine]), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_a_stage_encodes_only_what_it_routes_anew(kind, lab, captioned, monkeypatch, tmp_path):
    """The same set again costs nothing; a wider margin, only the items that are merged now."""
    sets = lab.pairs[:2] if kind == "pairs" else lab.labelled
    run = lab.train("dar", sets, margin=0.0)
    monkeypatch.setattr(run.feed.frozen.store, "_root", tmp_path)  # with no rows of other tests
    data = captioned if kind == "pairs" else lab.labelled[0]
    scope = () if kind == "pairs" else (data,)
    which = EvalSet("x", "X", data, None, scope, 0, (None,) * len(scope))
    images = run.feed.images(data, torch.arange(len(data)))
    seen = {"image": 0, "text": 0}
    for tower in seen:
        real = getattr(OpenClip, f"_{tower}_tower")

        def count(own, x, *rest, real=real, tower=tower):
            seen[tower] += len(x)
            return real(own, x, *rest)

        monkeypatch.setattr(OpenClip, f"_{tower}_tower", count)
    images.frozen()
    evaluate(run.method, run.feed, which, 2, again=False)
    first = dict(seen)
    assert first["image"] >= len(data)
    evaluate(run.method, run.feed, which, 3, again=False)
    assert seen == first
    run.method.config = replace(run.method.config, margin=0.05)
    _, weight_BK = run.method.route(images, "image")
    merged = int((weight_BK[:, 0] < 1).sum())
    evaluate(run.method, run.feed, which, 3, again=False)
    assert seen["image"] == first["image"] + merged


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["labelled"]))
def test_prototypes_are_means_of_all_frozen_features(kind, lab, captioned):
    """In both kinds, over several batches of unequal size; images with more captions weigh more."""
    sets = (captioned, lab.pairs[0]) if kind == "pairs" else lab.labelled
    run = lab.train("dar", sets)
    assert run.method.image_TD.shape == run.method.text_TD.shape == (2, 128)
    for t, data in enumerate(sets):
        image = run.feed.frozen.images(data.pixels, data.pixel_key)
        if kind == "pairs":
            text = run.feed.frozen.texts(data.tokens_ML, data.text_key)
        else:
            prompts = run.feed.classes((data,), first_prompt_only=True).prompts.frozen()
            text = prompts  # every class once, whatever the number of its images
        for rows, got in ((image, run.method.image_TD[t]), (text, run.method.text_TD[t])):
            want = F.normalize(rows.double().mean(dim=0), dim=0).float()
            assert_close(got, want, rtol=0, atol=1e-5)
            assert float(got.norm()) == pytest.approx(1, abs=1e-5)


def test_every_item_notes_its_route(runs, lab, captioned):
    run = runs((0, 1, 2))
    for data in (*lab.pairs, captioned):
        rows = evaluate(run.method, run.feed, EvalSet("x", "X", data, None), 3).rows
        for direction, n in (("image", len(data)), ("text", len(data.tokens_ML))):
            mine = [r for r in rows if (r["metric"], r["direction"]) == ("route", direction)]
            assert sum(r["hits"] for r in mine) == n
            assert {r["n_queries"] for r in mine} == {n}
            assert {r["k"] for r in mine} <= {0, 1, 2}
            z = (
                run.feed.frozen.images(data.pixels, data.pixel_key)
                if direction == "image"
                else run.feed.frozen.texts(data.tokens_ML, data.text_key)
            )
            best = (z @ run.method.image_TD.T + z @ run.method.text_TD.T).argmax(dim=1)
            assert {r["k"]: r["hits"] for r in mine} == {
                t: int((best == t).sum()) for t in best.unique().tolist()
            }


@pytest.mark.parametrize(
    ("key", "values"), [("expert", [0]), ("route", [-1]), ("route", [2**15]), ("route", [0.5])]
)
def test_a_log_that_no_record_could_hold_is_refused_at_once(key, values, runs, lab, monkeypatch):
    run = runs((0, 1))
    real = run.method.encode_image

    def encode_image(images):
        images.log(key, torch.tensor(values))
        return real(images)

    monkeypatch.setattr(run.method, "encode_image", encode_image)
    with pytest.raises(BenchError, match="'route', integers"):
        evaluate(run.method, run.feed, EvalSet("x", "X", lab.pairs[0], None), 2)


def test_the_backbone_is_never_trained(runs, lab):
    run, start = runs((0, 1, 2)), lab.clip().state_dict()
    assert all(v.equal(start[k]) for k, v in run.method.clip.state_dict().items())
    assert len(run.method.adapters) == 3


@pytest.mark.parametrize(
    "hp",
    [
        "routing=pairs", "merge=mean", "merge_scale=0", "density=0", "weight_bins=1",
        "density=0.4", "weight_bins=8", "prototype_momentum=0.5", "reuse_threshold=2", "top_k=0",
        "temperature=0", "temperature=nan", "margin=-0.1", "margin=nan", "rank=0", "dropout=1.0",
        "dropout=-0.1", "targets=",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["dar", "lora-ft"])
def test_settings_that_mean_nothing_are_refused(name, hp, lab):
    """When the config is made or, at the latest, before the first step; never as a traceback."""
    key = hp.partition("=")[0]
    if name == "lora-ft" and key not in ("rank", "dropout", "targets"):
        pytest.skip("no such setting")

    def start():
        config = find_method(name, [hp]).config
        feed = lab.feed(lab.clip())
        method = lab.method(name, feed, **{key: getattr(config, key)})
        method.before_task(lab.task(feed, lab.pairs[0], 0, 1))

    with pytest.raises(BenchError):
        start()


def test_variants_change_what_they_say():
    base = find_method("dar", []).config
    assert isinstance(base, DARConfig)
    assert (base.rank, base.alpha, base.dropout, base.top_k) == (16, 32.0, 0.1, 2)
    assert (base.margin, base.routing) == (0.05, "sample")
    r8 = find_method("dar.r8", []).config
    assert r8 == replace(base, rank=8, alpha=16.0, dropout=0.0)
    assert find_method("dar.merge-none", []).config == replace(base, merge="none")


# -- routings that need more than the item, and merges that are not linear


def _items(rows, **told):
    return Texts(torch.zeros(len(rows), 3), lambda: rows, Context(**told))


@pytest.fixture
def dar(lab):
    def make(**changes):
        method = lab.method("dar", lab.feed(lab.clip()), **changes)
        method.image_TD, method.text_TD = IMAGE_TD, TEXT_TD
        method.owner_T = torch.tensor([0, 2, 1, 1])
        method.adapters.extend([torch.nn.Identity() for _ in range(3)])
        return method

    return make


def test_oracle_routing_takes_the_adapter_of_the_task(dar):
    method = dar(routing="oracle")
    for task, owner in enumerate((0, 2, 1, 1)):
        index_BK, weight_BK = method.route(_items(ITEMS, task=task), "image")
        assert index_BK.tolist() == [[owner]] * 4
        assert weight_BK.tolist() == [[1.0]] * 4
    # Of a task that is not learned nothing is known: as without an oracle.
    unlearned = method.route(_items(ITEMS, task=-1), "image")
    plain = dar().route(_items(ITEMS), "image")
    assert all(a.equal(b) for a, b in zip(unlearned, plain, strict=True))
    with pytest.raises(BenchError, match="task id"):
        method.route(_items(ITEMS), "image")


def test_random_routing_is_the_items_own(dar):
    g = torch.Generator().manual_seed(0)
    many = F.normalize(torch.randn(3000, 3, generator=g), dim=1)
    index_BK, weight_BK = dar(routing="random").route(_items(many), "image")
    shares = index_BK[:, 0].bincount(minlength=3) / len(many)
    assert_close(shares, torch.full((3,), 1 / 3), rtol=0, atol=0.04)
    assert weight_BK.eq(1).all()
    order = torch.randperm(len(many), generator=g)
    again, _ = dar(routing="random").route(_items(many[order]), "text")
    assert again.equal(index_BK[order]), "an item's draw depends on nothing but the item"
    other = dar(routing="random")
    other.tools = replace(other.tools, generator=lambda *_: torch.Generator().manual_seed(77))
    assert not other.route(_items(many), "image")[0].equal(index_BK), "seeds draw otherwise"


def test_pair_routing_averages_both_of_a_pair(dar):
    partner = ITEMS.flip(0)
    method = dar(routing="pair", merge="none")
    for modality, own_TD, other_TD in (
        ("image", IMAGE_TD, TEXT_TD), ("text", TEXT_TD, IMAGE_TD),
    ):  # fmt: skip
        index_BK, _ = method.route(_items(ITEMS, partner=lambda: partner), modality)
        want = (ITEMS.double() @ own_TD.double().T + partner.double() @ other_TD.double().T) / 2
        for got, score in zip(index_BK[:, 0].tolist(), want, strict=True):
            assert float(score[got]) == pytest.approx(float(score.max()), abs=1e-6)
    # Both of a pair meet the same scores, hence the same adapter: that is the leak.
    one = method.route(_items(ITEMS, partner=lambda: partner), "image")[0]
    two = method.route(_items(partner, partner=lambda: ITEMS), "text")[0]
    assert one.equal(two)
    alone = method.route(_items(ITEMS, partner=lambda: None), "text")
    assert alone[0].equal(dar(routing="modality", merge="none").route(_items(ITEMS), "text")[0])
    with pytest.raises(BenchError, match="test pairing"):
        method.route(_items(ITEMS), "image")


def test_partners_are_those_of_the_test_set(lab, captioned):
    feed = lab.feed(lab.clip())
    images = feed.frozen.images(captioned.pixels, captioned.pixel_key)
    texts = feed.frozen.texts(captioned.tokens_ML, captioned.text_key)
    rows = torch.tensor([3, 0, 7])
    for row, got in zip(rows.tolist(), feed.captions_of(captioned, rows), strict=True):
        assert_close(got, texts[captioned.owner_M == row].mean(dim=0))
    captions = torch.tensor([5, 0, 9])
    assert feed.image_of(captioned, captions).equal(images[captioned.owner_M[captions]])


def test_a_setting_that_would_change_nothing_is_refused():
    for hp in (
        ["margin=0", "temperature=0.2"], ["margin=0", "merge=core-tsv"], ["margin=0", "top_k=3"],
        ["merge=none", "margin=0.1"], ["routing=random", "merge=ta"], ["top_k=1", "merge=uniform"],
        ["merge=uniform", "temperature=0.2"], ["weight_bins=8"], ["merge_scale=2", "top_k=1"],
        ["merge=core-tsv", "weight_bins=2", "top_k=4"],
    ):  # fmt: skip
        with pytest.raises(BenchError):
            find_method("dar", hp)
    for hp in (["margin=0"], ["merge=core-tsv", "weight_bins=8"], ["merge=ta", "merge_scale=0.5"]):
        assert find_method("dar", hp).overrides


BADGES = {"route-oracle": {"task id"}, "route-pair": {"test pairing"}, "route-random": set()}


@pytest.mark.parametrize("variant", BADGES)
def test_what_a_routing_is_told_is_shown(variant, lab):
    found = find_method(f"dar.{variant}", [])
    assert found.uses == BADGES[variant]
    assert lab.method(f"dar.{variant}", lab.feed(lab.clip())).uses == BADGES[variant]
    assert find_method("dar", []).uses == set()


@pytest.mark.slow
def test_every_routing_scores_both_kinds_of_sets(lab, captioned):
    """With all that evaluation tells; held-out and unlearned sets too."""
    for routing in get_args(Routing):
        run = lab.train("dar", lab.pairs[:2], routing=routing)
        pairs = EvalSet("x", "X", captioned, None), EvalSet("y", "Y", lab.pairs[1], 1)
        labelled = EvalSet("z", "Z", lab.labelled[0], None, (lab.labelled[0],), 0, (None,))
        for which in (*pairs, labelled):
            for step in (1, 2):
                rows = evaluate(run.method, run.feed, which, step, run.method.uses).rows
                assert all(0 <= r["value"] <= 1 for r in rows)
        if routing == "oracle":
            rows = evaluate(run.method, run.feed, pairs[1], 2, run.method.uses).rows
            assert {r["k"] for r in rows if r["metric"] == "route"} == {1}


RULES = [name for name, rule in MERGES.items() if not rule.linear]


@pytest.fixture(scope="module")
def banks(lab):
    """Order of tasks -> a run whose adapters differ enough to tell merges apart; trained once."""
    done = {}

    def get(order, rule, **changes):
        if order not in done:
            run = done[order] = lab.train("dar", tuple(lab.pairs[i] for i in order))
            for t, adapter in zip(order, run.method.adapters, strict=True):
                g = torch.Generator().manual_seed(t)
                for b in adapter.B.values():
                    b.data += torch.randn(b.shape, generator=g) / 20
        run = done[order]
        base = find_method("dar", []).config
        assert isinstance(base, DARConfig)
        c = replace(base, merge=rule, **changes)
        old, new = run.method.adapters, Bank(c.merge, c.merge_scale, c.density, c.weight_bins)
        new.extend(old)
        new.seed_T, run.method.adapters, run.method.config = old.seed_T, new, c
        run.method.eval()
        return run

    return get


@pytest.mark.parametrize(
    "rule",
    lanes(RULES, ["core-dare-ties", "core-iso-c"]),
)
def test_a_merge_that_is_not_linear_is_one_of_weights(rule, banks, lab, captioned):
    """Every item against a model whose weights were merged for it alone."""
    run = banks((0, 1), rule, margin=2.0, weight_bins=4)
    images = run.feed.images(captioned, torch.arange(len(captioned)))
    with torch.no_grad():
        got = run.method.encode_image(images)
    index_BK, weight_BK = run.method.route(images, "image")
    bank = run.method.adapters
    tried = set()
    for i in range(len(captioned)):
        parts = (weight_BK[i] * 4).round()
        if parts.min() == 0 or tuple(parts.tolist()) in tried:
            continue
        tried.add(tuple(parts.tolist()))
        used = sorted(zip(index_BK[i].tolist(), parts.tolist(), strict=True),
                      key=lambda pair: bank[pair[0]].digest())  # fmt: skip
        weight_K = torch.tensor([p for _, p in used]) / 4
        seeds = [int(bank.seed_T[t]) for t, _ in used] if MERGES[rule].sparse else None
        updates = site_updates([bank[t] for t, _ in used], seeds)
        clip = lab.clip()
        with torch.no_grad():
            for name, site in clip.sites(bank[0].targets).items():
                merged = merge(MERGES[rule], updates[name], weight_K)
                site.weight.add_(merged(torch.eye(site.weight.shape[1])).T)
            want = clip.image(images.pixels_B3HW[i : i + 1])[0]
        assert_close(got[i], want, rtol=0, atol=2e-5)
    assert tried


def test_a_weight_that_rounds_to_one_merges_nothing(banks, lab, captioned):
    """TIES or an isotropic merge of a single adapter is not that adapter."""
    changes = {"margin": 2.0, "temperature": 1e-4, "weight_bins": 4}
    run = banks((0, 1), "core-iso-c", **changes)
    got = lab.embed(run.method, run.feed, captioned)
    plain = banks((0, 1), "none")
    for one, other in zip(got, lab.embed(plain.method, plain.feed, captioned), strict=True):
        assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_such_a_merge_does_not_depend_on_the_order_of_tasks(rule, banks, lab, captioned):
    one, two = (
        lab.embed(run.method, run.feed, captioned)
        for order in ((0, 1, 2), (2, 1, 0))
        for run in [banks(order, rule, margin=2.0, top_k=3, weight_bins=4)]
    )
    assert one[0].equal(two[0])
    assert one[1].equal(two[1])


# -- reuse


def test_a_task_that_looks_like_an_old_one_goes_on_with_its_adapter(lab):
    sets = (lab.pairs[0], lab.pairs[1], lab.pairs[0])
    run = lab.train("dar", sets, reuse_threshold=0.999)
    plain = lab.train("dar", sets)
    assert len(run.method.adapters) == 2
    assert len(plain.method.adapters) == 3
    assert run.method.owner_T.tolist() == [0, 1, 0]
    assert run.method.image_TD.shape == (2, lab.clip().dim)
    first = len(run.losses) // 3
    assert run.losses[: 2 * first] == plain.losses[: 2 * first]
    assert sum(run.losses[2 * first :]) < sum(plain.losses[2 * first :]), "it goes on, not anew"
    for table in ("image_TD", "text_TD"):
        assert_close(getattr(run.method, table), getattr(plain.method, table)[:2])
    assert run.method.training_key() is None
    assert plain.method.training_key() is not None


def test_the_momentum_keeps_a_share_of_the_old_prototype(lab):
    changes = {"reuse_threshold": -1.0, "prototype_momentum": 0.25}
    run = lab.train("dar", lab.pairs[:2], **changes)
    both = lab.train("dar", lab.pairs[:2]).method
    assert len(run.method.adapters) == 1
    for table in ("image_TD", "text_TD"):
        old, new = getattr(both, table)
        want = F.normalize(0.25 * old + 0.75 * new, dim=0)
        assert_close(getattr(run.method, table)[0], want)
