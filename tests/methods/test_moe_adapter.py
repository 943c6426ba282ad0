"""MoE-Adapter's mixtures by hand, what is frozen, and who is routed where."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.sites import PARALLEL
from benchmark.errors import BenchError
from benchmark.protocol.badges import UNSEEN
from benchmark.protocol.method import Frozen, no_grad_after_task
from benchmark.protocol.types import Context, Texts
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from methods.moe_adapter import Mixture, MoEAdapterConfig

SMALL = {"experts": 5, "hidden": 8, "router_steps": 40, "lr": 0.01}


def _noise(module, seed=0, size=0.3):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(size * torch.randn(p.shape, generator=g))


# -- the place beside the MLP


def _by_hand(clip, x_BLW, tower, deltas):
    """Blocks added up as the formula has them."""
    blocks = (clip.visual.transformer if tower == "image" else clip.transformer).resblocks
    for i, block in enumerate(blocks):
        x_BLW = x_BLW + block.attn(block.ln_1(x_BLW), tower == "text")
        x_BLW = x_BLW + block.mlp(block.ln_2(x_BLW)) + deltas[f"{tower}.{i}.{PARALLEL}"](x_BLW)
    return x_BLW


@pytest.fixture
def placed(clip, lab):
    """A backbone in float64 with a delta of its own in every block."""
    clip = clip.double()
    weights = [torch.nn.Parameter(torch.tensor(0.1 + 0.05 * i)) for i in range(7)]
    names = list(clip.places((PARALLEL,)))
    deltas = {
        n: lambda x, w=w: w * x.roll(1, -1).tanh() for n, w in zip(names, weights, strict=True)
    }
    g = torch.Generator().manual_seed(0)
    pixels = torch.randn(5, 3, 48, 48, generator=g, dtype=torch.float64)
    return clip, deltas, weights, pixels, lab.pairs[0].tokens_ML[:5]


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_block_adds_the_delta_of_the_residual_stream(chunks, placed):
    """With gradients, cut in pieces too, and without, where the sum is made in place."""
    clip, deltas, weights, pixels, tokens = placed
    clip.chunks = chunks
    x_BLW, y_MLW = clip.embed_image(pixels), clip.embed_text(tokens)
    end_M = clip.end_of_text(tokens)
    image = clip.visual.ln_post(_by_hand(clip, x_BLW, "image", deltas)[:, 0]) @ clip.visual.proj
    text_MLW = _by_hand(clip, y_MLW, "text", deltas)
    text = clip.ln_final(text_MLW[torch.arange(5), end_M]) @ clip.text_projection
    want = torch.autograd.grad((image.cumsum(1).sum() + text.cumsum(1).sum()), weights)
    with clip.adapted(deltas, (PARALLEL,)):
        got = clip.image_tower(x_BLW), clip.text_tower(y_MLW, end_M)
        with torch.no_grad():
            plain = clip.image_tower(x_BLW), clip.text_tower(y_MLW, end_M)
    # In backward, where the second pass of a cut batch is made, the deltas are gone.
    grads = torch.autograd.grad(sum(x.cumsum(1).sum() for x in got), weights)
    for x, y, z in zip(got, plain, (image, text), strict=True):
        assert_close(x, z, rtol=0, atol=1e-10)
        assert_close(y, z, rtol=0, atol=1e-10)
    for a, b in zip(grads, want, strict=True):
        assert float(b.abs()) > 1e-3
        assert_close(a, b, rtol=1e-8, atol=1e-10)
    assert all(place.delta is None for place in clip.places((PARALLEL,)).values())


def test_what_merges_weights_does_not_meet_it(clip, lab):
    with pytest.raises(BenchError, match=r"mlp\.c_proj, got 'mlp\.parallel'"):
        clip.sites(("attn.q", PARALLEL))
    with pytest.raises(BenchError, match=r"got 'mlp\.parallel'"):
        lab.train("lora-ft", lab.pairs[:1], targets=(PARALLEL,))
    both = clip.places((PARALLEL, "mlp.c_fc"))
    assert {n for n in both if not n.endswith(PARALLEL)} == set(clip.sites(("mlp.c_fc",)))
    assert len(both) == 14
    assert not hasattr(both[f"text.0.{PARALLEL}"], "weight")


def test_a_delta_that_adds_itself_is_asked_to(clip):
    """Without gradients, as at every site."""
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))

    class Delta:
        def __call__(self, x):
            return 0.3 * x.roll(1, -1)

        def add_to(self, x, y):
            asked.append(x.shape)
            return y.add_(self(x))

    asked: list[torch.Size] = []
    with clip.adapted({f"image.1.{PARALLEL}": Delta()}, (PARALLEL,)):
        taken = clip.image(pixels)
        with torch.no_grad():
            assert_close(clip.image(pixels), taken, rtol=0, atol=1e-6)
    assert len(asked) == 1


# -- a mixture


def _mixture(seed=0, train=False, **changes):
    config = replace(MoEAdapterConfig(experts=6, hidden=8, dropout=0.0), **changes)
    mixture = Mixture(16, config, torch.Generator().manual_seed(seed))
    mixture.add()
    mixture.add()
    _noise(mixture, seed)
    return mixture.train(train)


def _expected(mixture, x_BLW, logit_BE, top_k):
    """Item by item, expert by expert, in float64."""
    out = torch.zeros_like(x_BLW, dtype=torch.float64)
    for b, x in enumerate(x_BLW.double()):
        worth = [-float(logit) for logit in logit_BE[b]]
        best = sorted(range(len(mixture.experts)), key=worth.__getitem__)[:top_k]
        gate = torch.stack([logit_BE[b, e] for e in best]).exp()
        for e, g in zip(best, gate / gate.sum(), strict=True):
            expert = {k: v.detach().double() for k, v in mixture.experts[e].named_parameters()}
            hidden = torch.relu(x @ expert["down_RW"].T + expert["down_R"])
            out[b] += g * 0.1 * (hidden @ expert["up_WR"].T + expert["up_W"])
    return out


@pytest.mark.parametrize("top_k", [1, 2, 6])
@pytest.mark.parametrize("task", [0, 1])
@torch.no_grad()
def test_a_mixture_is_its_formula(top_k, task):
    mixture = _mixture(top_k=top_k)
    x = torch.randn(9, 3, 16, generator=torch.Generator().manual_seed(1))
    logit_BE = x[:, 0].double() @ mixture.routers[task].double()
    assert_close(
        mixture(x, task), _expected(mixture, x, logit_BE, top_k).float(), rtol=1e-4, atol=1e-5
    )
    index_BK, weight_BK = mixture.gates(x[:, 0], task)
    assert index_BK.shape == weight_BK.shape == (9, top_k)
    assert_close(weight_BK.sum(dim=1), torch.ones(9))
    assert (weight_BK.diff(dim=1) <= 0).all()
    assert mixture.chosen == []


@torch.no_grad()
def test_noise_acts_in_training_alone():
    mixture = _mixture(train=True)
    x = torch.randn(9, 3, 16, generator=torch.Generator().manual_seed(1))
    first = x[:, 0].double()
    torch.manual_seed(3)
    got = mixture(x, 1)
    torch.manual_seed(3)
    deviation = (1 + (first @ mixture.noises[1].double()).exp()).log() + 0.01
    clean = first @ mixture.routers[1].double()
    noisy = clean + torch.randn(9, 6, dtype=torch.float64) * deviation
    assert_close(got, _expected(mixture, x, noisy, 2).float(), rtol=1e-4, atol=1e-5)
    chosen = noisy.topk(2).indices
    assert not chosen.equal(clean.topk(2).indices)
    (count,) = mixture.chosen
    assert count.tolist() == [int((chosen == e).sum()) for e in range(6)]
    quiet = mixture.eval()(x, 1)
    mixture.noises[1].fill_(50.0)
    assert mixture(x, 1).equal(quiet)
    before = torch.get_rng_state()
    mixture(x, 1)
    assert before.equal(torch.get_rng_state())


@torch.no_grad()
def test_dropout_is_on_the_hidden_units():
    mixture = _mixture(train=True, dropout=0.5, experts=1, top_k=1, freeze=1)  # its gate is 1
    (expert,) = mixture.experts
    expert.up_WR.copy_(torch.eye(16)[:, :8])
    expert.up_W.zero_()
    x = torch.randn(50, 3, 16, generator=torch.Generator().manual_seed(1))
    hidden = torch.relu(x @ expert.down_RW.T + expert.down_R)
    ratio = (mixture(x, 0)[..., :8] / 0.1)[hidden > 0.01] / hidden[hidden > 0.01]
    assert_close(ratio, torch.where(ratio > 1, 2.0, 0.0), rtol=1e-4, atol=1e-4)
    assert 0.4 < float((ratio > 1).float().mean()) < 0.6


def test_parameters_at_the_papers_size():
    """22 experts in 12 + 12 blocks of ViT-B/16 and routers of 11 tasks: 51.1 million."""
    total = 0
    for width in (768, 512):
        mixture = Mixture(width, MoEAdapterConfig(), torch.Generator())
        for _ in range(11):
            mixture.add()
        total += 12 * sum(p.numel() for p in mixture.parameters())
    assert total == 51_059_712


# -- whole runs


@pytest.fixture(scope="module")
def runs(lab):
    """(kind, changes) -> a run over two tasks; shared, never changed."""
    done = {}

    def get(kind="pairs", **changes):
        key = kind, tuple(changes.items())
        if key not in done:
            settings = {**SMALL, **changes}
            if changes.get("routing") == "oracle":
                del settings["router_steps"]
            with torch.enable_grad():
                done[key] = lab.train("moe-adapter", lab.sets(kind)[:2], **settings)
        return done[key]

    return get


def _images(run, data, task=None):
    return run.feed.images(data, torch.arange(len(data)), Context(task=task))


def _texts(run, data, task=None):
    rows = torch.arange(len(data.tokens_ML))
    return run.feed.texts(data.tokens_ML, data.text_key, rows, Context(task=task))


@torch.no_grad()
def test_new_experts_change_no_bit(lab):
    feed = lab.feed(lab.clip())
    method = lab.method("moe-adapter", feed, **SMALL)
    method.before_task(lab.task(feed, lab.pairs[0], 0, 1))
    method.eval()
    images = feed.images(lab.pairs[0], torch.arange(6))
    texts = feed.texts(lab.pairs[0].tokens_ML, lab.pairs[0].text_key, torch.arange(6))
    assert method._encode(images, 0).equal(feed.clip.image(images.pixels_B3HW))
    assert method._encode(texts, 0).equal(feed.clip.text(texts.tokens_ML))


def test_the_loss_is_smoothed_cross_entropy(lab):
    """With new experts, which add nothing: on the frozen features."""
    for data in (lab.labelled[0], lab.pairs[0]):
        feed = lab.feed(lab.clip())
        method = lab.method("moe-adapter", feed, **SMALL)
        task = lab.task(feed, data, 0, 1)
        method.before_task(task)
        batch = next(iter(task.loader.epoch(0)))
        logits = feed.clip.scale * batch.images.frozen() @ batch.texts.frozen().T
        terms = []
        for rows, target in ((logits, batch.target_B), (logits.T, batch.target_B.argsort())):
            log = rows.log_softmax(dim=1)
            if len(target) == len(log):
                own = log.gather(1, target[:, None])[:, 0]
                terms.append(-(0.8 * own + 0.2 * log.mean(dim=1)).mean())
            if not batch.paired:
                break
        want = sum(terms) / len(terms)
        assert_close(method.loss(batch)["match"], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_two_most_used_experts_are_frozen_bit_for_bit(chunks, lab, monkeypatch):
    """Counted here, at the gates and before `backward`; decay would move what is only not used."""
    feed = lab.feed(lab.clip())
    method = lab.method("moe-adapter", feed, **SMALL, weight_decay=0.5)
    used: dict[Mixture, list[int]] = {}
    real = Mixture.gates
    counting = [False]

    def gates(self, x_BW, task):
        index_BK, weight_BK = real(self, x_BW, task)
        if counting[0]:
            used.setdefault(self, []).extend(index_BK.flatten().tolist())
        return index_BK, weight_BK

    features = method.features

    def counted(batch):
        counting[0] = True
        out = features(batch)
        counting[0] = False
        return out

    monkeypatch.setattr(Mixture, "gates", gates)
    monkeypatch.setattr(method, "features", counted)
    mixtures, before = list(method.mixtures.values()), {}
    kept: dict[Mixture, set[int]] = {}
    for index, data in enumerate(lab.pairs[:2]):
        task = lab.task(feed, data, index, 2)
        method.before_task(task)
        assert all(int(m.count_E.sum()) == 0 for m in mixtures)
        used.clear()
        fit = Fit(method, task, lab.recipe, (0, index))
        fit.progress.chunks = chunks
        mine = {id(p) for p in fit.params}
        for m, experts in kept.items():
            for e, expert in enumerate(m.experts):
                assert all((id(p) in mine) == (e not in experts) for p in expert.parameters())
        before = {n: p.detach().clone() for n, p in method.named_parameters()}
        fit.run(lambda *_: None)
        no_grad_after_task(method, task)
        after = dict(method.named_parameters())
        for key, m in method.mixtures.items():
            count = [used[m].count(e) for e in range(5)]
            assert m.count_E.tolist() == count
            assert sum(count) == 2 * 14  # choices, items
            order = [e for _, e in sorted((-n, e) for e, n in enumerate(count))]
            for e in kept.get(m, set()):
                for name in ("down_RW", "down_R", "up_WR", "up_W"):
                    n = f"mixtures.{key}.experts.{e}.{name}"
                    assert after[n].equal(before[n])
            kept[m] = kept.get(m, set()) | set(order[:2])
            assert {e for e in range(5) if m.frozen_E[e]} == kept[m]
    moved = [n for n, p in after.items() if not p.equal(before[n])]
    assert any(".experts." in n for n in moved)
    assert not any("routers.0" in n or "noises.0" in n or "coders" in n for n in moved)


@pytest.mark.slow
def test_with_nothing_to_freeze_all_go_on(runs):
    run = runs(freeze=0)
    assert not any(m.frozen_E.any() for m in run.method.mixtures.values())
    assert run.trainable[0] == run.trainable[1]
    frozen = runs()
    experts = sum(
        m.experts[0].down_RW.numel() * 2 + 8 + 128 for m in frozen.method.mixtures.values()
    )
    assert frozen.trainable == [run.trainable[0], run.trainable[0] - 2 * experts]


def test_all_texts_of_a_task_have_the_same_gates(lab, monkeypatch):
    """Whatever the routers are; images do not."""
    feed, seen, real = lab.feed(lab.clip()), [], Mixture.gates
    method = lab.method("moe-adapter", feed, **SMALL)
    method.before_task(lab.task(feed, lab.pairs[0], 0, 1))
    _noise(method.mixtures)
    method.eval()

    def gates(self, x_BW, task):
        seen.append(real(self, x_BW, task))
        return seen[-1]

    monkeypatch.setattr(Mixture, "gates", gates)
    data = lab.pairs[0]
    with torch.no_grad():
        method._encode(feed.texts(data.tokens_ML, data.text_key, torch.arange(14)), 0)
        assert len(seen) == 3
        for index_BK, weight_BK in seen:
            assert len(index_BK.unique(dim=0)) == 1
            assert_close(weight_BK, weight_BK[:1].expand_as(weight_BK), rtol=0, atol=1e-4)
        seen.clear()
        method._encode(feed.images(data, torch.arange(14)), 0)
    assert any(len(index_BK.unique(dim=0)) > 1 for index_BK, _ in seen)


@torch.no_grad()
def test_each_item_by_its_own_route(runs, lab):
    """Routes from the errors, and each row from a batch of its route alone."""
    run = runs(router_quantile=0.6)
    mixed = set()
    for data in lab.pairs:
        for items, name in ((_images(run, data), "image"), (_texts(run, data), "text")):
            coders = run.method.router.coders[name]
            error_BT = coders.errors(items.frozen())
            best_B = error_BT.argmin(dim=1)
            fits_B = error_BT.min(dim=1).values <= coders.limit_T[best_B]
            want_B = torch.where(fits_B, best_B, -1)
            assert run.method.router.route(items).equal(want_B)
            encode = run.method.encode_image if name == "image" else run.method.encode_text
            got = encode(items)
            for route in want_B.unique().tolist():
                rows = (want_B == route).nonzero()[:, 0]
                want = run.method._encode(items[rows], route)
                assert_close(got[rows], want, rtol=0, atol=1e-6)
                if route < 0:
                    assert got[rows].equal(items.frozen()[rows])
            mixed |= {(name, route) for route in want_B.tolist()}
    assert mixed == {(n, r) for n in ("image", "text") for r in (-1, 0, 1)}


@pytest.fixture
def nothing_fits(runs):
    run = runs("labelled")
    kept = {name: coders.limit_T for name, coders in run.method.router.coders.items()}
    for coders in run.method.router.coders.values():
        coders.limit_T = torch.full_like(coders.limit_T, -1.0)
    yield run
    for name, coders in run.method.router.coders.items():
        coders.limit_T = kept[name]


@torch.no_grad()
def test_unseen_items_have_the_plain_backbone(nothing_fits, lab):
    run = nothing_fits
    assert (
        run.method._encode(_images(run, lab.labelled[0]), 0)
        .ne(_images(run, lab.labelled[0]).frozen())
        .any()
    )
    plain = Frozen(run.feed.clip.scale)
    for data in lab.pairs:
        assert run.method.encode_image(_images(run, data)).equal(_images(run, data).frozen())
        assert run.method.encode_text(_texts(run, data)).equal(_texts(run, data).frozen())
    for scope in ((lab.labelled[0],), lab.labelled):
        classes = run.feed.classes(scope)
        images = _images(run, lab.labelled[0])
        got, want = (e.classifier(classes)(images) for e in (run.method, plain))
        assert got.equal(want)
        which = EvalSet("x", "X", lab.labelled[0], 0, scope, 0, (0, 1)[: len(scope)])
        mine = evaluate(run.method, run.feed, which, 2)
        assert mine.rows[0] == evaluate(plain, run.feed, which).rows[0]
        routes = [r for r in mine.rows if r["metric"] == "route"]
        assert [(r["direction"], r["k"], r["hits"]) for r in routes] == [("image", UNSEEN, 14)]


@torch.no_grad()
def test_an_image_meets_the_class_texts_of_its_route(runs, lab):
    run = runs("labelled")
    classes = run.feed.classes(lab.labelled)
    score = run.method.classifier(classes)
    routes = set()
    for data in lab.labelled:
        images = _images(run, data)
        route_B, got = run.method.router.route(images), score(images)
        for route in route_B.unique().tolist():
            text_CD = run.method._encode(classes.prompts, route)
            sums = torch.zeros(len(classes), 128).index_add(0, classes.owner_M, text_CD)
            image_BD = run.method._encode(images[(route_B == route).nonzero()[:, 0]], route)
            want = run.feed.clip.scale * image_BD @ F.normalize(sums, dim=1).T
            assert_close(got[route_B == route], want, rtol=0, atol=1e-4)
        routes |= set(route_B.tolist())
    assert {0, 1} <= routes


def test_routes_are_counted(runs, lab):
    run = runs()
    rows = evaluate(run.method, run.feed, EvalSet("x", "X", lab.pairs[2], None), 2).rows
    for direction, items in (
        ("image", _images(run, lab.pairs[2])),
        ("text", _texts(run, lab.pairs[2])),
    ):
        route_B = run.method.router.route(items)
        counts = {UNSEEN if r < 0 else r: route_B.tolist().count(r) for r in route_B.tolist()}
        mine = [r for r in rows if (r["metric"], r["direction"]) == ("route", direction)]
        assert {r["k"]: r["hits"] for r in mine} == counts


# -- variants


def test_badges():
    for tag, badges in {
        "": set(),
        ".route-batch": {"test batch"},
        ".route-oracle": {"task id"},
    }.items():
        assert find_method(f"moe-adapter{tag}", []).uses == badges


@pytest.mark.slow
@torch.no_grad()
def test_batch_routing_takes_a_batch_for_one_task(runs, lab):
    run = runs(routing="batch")
    alone = runs()
    for data, want in ((lab.pairs[0], 0), (lab.pairs[1], 1)):
        for items in (_images(run, data), _texts(run, data)):
            assert run.method.router.route(items).tolist() == [want] * len(items)
        images = _images(run, data)
        assert run.method.encode_image(images).equal(run.method._encode(images, want))
        assert run.method._encode(images, want).equal(alone.method._encode(images, want))
    two = torch.tensor([0, 1])
    data = lab.pairs[0]
    each = [run.method.router.route(run.feed.images(data, two[i : i + 1])) for i in range(2)]
    assert torch.cat(each).equal(alone.method.router.route(run.feed.images(data, two)))


@torch.no_grad()
def test_oracle_routing_reads_the_task_and_has_no_router(runs, lab):
    run = runs(routing="oracle")
    data = lab.pairs[1]
    for task in (0, 1):
        images, texts = _images(run, data, task), _texts(run, data, task)
        # From the store, in pieces of one length, and directly.
        for got, want in (
            (run.method.encode_image(images), run.method._encode(images, task)),
            (run.method.encode_text(texts), run.method._encode(texts, task)),
        ):
            assert_close(got, want, rtol=0, atol=1e-6)
    held_out = _images(run, data, -1)
    assert run.method.encode_image(held_out).equal(held_out.frozen())
    assert not any("coders" in name for name in run.method.state_dict())
    with pytest.raises(BenchError, match="task id"):
        run.method.encode_image(_images(runs(), data))
    default = runs().method.state_dict()
    assert all(v.equal(default[k]) for k, v in run.method.state_dict().items())


BAD = [
    ({"routing": "pair"}, "sample, batch, oracle"),
    ({"experts": 0, "top_k": 1}, "experts of at least 1"),
    ({"top_k": 23}, "top_k in"),
    ({"top_k": 0}, "top_k in"),
    ({"hidden": 0}, "hidden"),
    ({"scale": 0.0}, "scale"),
    ({"dropout": 1.0}, "dropout"),
    ({"freeze": -1}, "freeze"),
    ({"freeze": 23}, "freeze"),
    ({"label_smoothing": 1.0}, "label_smoothing"),
    ({"router_steps": 0}, "router_steps"),
    ({"router_quantile": 0.0}, "router_quantile"),
    ({"router_quantile": 1.1}, "router_quantile"),
    ({"routing": "oracle", "router_steps": 10}, "router_steps=10"),
    ({"routing": "oracle", "router_quantile": 0.5}, "router_quantile=0.5"),
    ({"lr": -1.0}, "lr"),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=lambda x: str(x)[:30])
def test_settings_that_mean_nothing_are_refused(changes, words):
    with pytest.raises(BenchError, match=words):
        replace(MoEAdapterConfig(), **changes)


# -- precision


def test_bf16_keeps_weights_and_rows_in_fp32(lab):
    feed = lab.feed(lab.clip())
    feed.clip.precision = "bf16"
    method = lab.method("moe-adapter", feed, **SMALL)
    task = lab.task(feed, lab.pairs[0], 0, 1)
    method.before_task(task)
    fit = Fit(method, task, lab.recipe, (0,))
    fit.run(lambda *_: None)
    no_grad_after_task(method, task)
    assert {p.dtype for p in method.parameters()} == {torch.float32}
    with torch.no_grad():
        rows = method._encode(feed.images(lab.pairs[0], torch.arange(4)), 0)
        text = method._encode(Texts(lab.pairs[0].tokens_ML[:4], lambda: rows), 0)
    for x in (rows, text):
        assert x.dtype == torch.float32
        assert_close(x.norm(dim=1), torch.ones(4), rtol=0, atol=1e-5)
