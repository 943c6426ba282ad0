"""The training loop and the batches that feed it."""

import math
import weakref
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from lanes import lanes

from benchmark.common.seeds import derive
from benchmark.data.batches import PairLoader, draw_pairs, join, make_loader
from benchmark.data.device import resident
from benchmark.data.sampler import cut
from benchmark.errors import BenchError
from benchmark.protocol.types import ParamGroup
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit, learning_rate

# -- schedule


def test_learning_rate_rises_and_falls():
    rate = [learning_rate(s, 10, 0.2) for s in range(10)]
    assert rate[:2] == [0.5, 1.0]
    assert rate[2] == 1.0
    assert rate[6] == pytest.approx(0.5)
    assert rate[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert all(a > b > 0 for a, b in pairwise(rate[2:]))


@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (1, 1.0), (3, 1.0), (7, 0.0), (1, 0.1)])
def test_learning_rate_of_short_tasks(total, warmup):
    rate = [learning_rate(s, total, warmup) for s in range(total)]
    assert all(0 < r <= 1 for r in rate)
    assert max(rate) == 1
    if warmup == 1.0:
        assert rate == [(s + 1) / total for s in range(total)]


def test_the_optimiser_gets_the_schedule_and_the_overrides(lab):
    feed = lab.feed(lab.clip())
    method = lab.method("ft", feed, lr=0.02, weight_decay=0.3, decay="all")
    whole = method.trainable()[0].params
    groups = [replace(method.trainable()[0], params=whole[:3], lr_scale=0.1),
              replace(method.trainable()[0], params=whole[3:])]  # fmt: skip
    method.trainable = lambda: groups
    task = lab.task(feed, lab.pairs[0], 0, 1)
    fit, seen = Fit(method, task, replace(lab.recipe, epochs=2), (0,)), []
    optimizer = fit.optimizer
    assert optimizer is not None
    fit.run(lambda p, *_: seen.append([g["lr"] for g in optimizer.param_groups]))
    want = [0.02 * learning_rate(s, 6, 0.1) for s in range(6)]
    assert [s[1] for s in seen] == pytest.approx(want, rel=1e-12)
    assert [s[0] for s in seen] == pytest.approx([0.1 * w for w in want], rel=1e-12)
    assert all(g["weight_decay"] == 0.3 for g in optimizer.param_groups)


@pytest.mark.parametrize("asked", [None, "matrices", "all"])
@pytest.mark.parametrize("of_suite", ["matrices", "all"])
def test_gains_and_biases_do_not_decay(asked, of_suite, lab):
    """As CLIP's authors and open_clip train: what has fewer than two dimensions is exempt."""
    feed = lab.feed(lab.clip())
    method = lab.method("ft", feed, decay=asked)
    task = lab.task(feed, lab.pairs[0], 0, 1)
    fit = Fit(method, task, replace(lab.recipe, weight_decay=0.3, decay=of_suite), (0,))
    assert fit.optimizer is not None
    decay = {id(p): g["weight_decay"] for g in fit.optimizer.param_groups for p in g["params"]}
    named = dict(method.clip.named_parameters())
    named.pop("logit_scale")
    assert decay.keys() == {id(p) for p in named.values()}
    spared = {name for name, p in named.items() if decay[id(p)] == 0.0}
    gains = {n for n in named if n.endswith("bias") or ".ln_" in f".{n}" or "class_embed" in n}
    assert spared == (set() if (asked or of_suite) == "all" else gains)
    assert {decay[id(p)] for n, p in named.items() if n not in spared} == {0.3}


@pytest.mark.parametrize("own", [None, 0.5])
def test_added_parameters_have_a_rate_of_their_own(own, lab):
    feed = lab.feed(lab.clip())
    method = lab.method("lora-ft", feed, lr=own)
    task = lab.task(feed, lab.pairs[0], 0, 1)
    method.before_task(task)
    added, old = list(method.adapter.parameters()), list(method.clip.weights())
    mixed = ParamGroup([old[0], added[0], old[1]], 0.1, weight_decay=0.7, betas=(0.5, 0.6))
    method.trainable = lambda: [ParamGroup(added[1:]), mixed]
    fit = Fit(method, task, lab.recipe, (0,))
    assert fit.optimizer is not None
    pretrained, new = (lab.recipe.lr, lab.recipe.lr_added) if own is None else (own, own)
    got = {
        id(p): (peak, g["weight_decay"], g["betas"])
        for g, peak in zip(fit.optimizer.param_groups, fit.peaks, strict=True)
        for p in g["params"]
    }
    plain = lab.recipe.weight_decay, (0.9, 0.999)
    assert got.pop(id(added[0])) == (pytest.approx(new * 0.1), 0.7, (0.5, 0.6))
    assert got.pop(id(old[0])) == got.pop(id(old[1])) == (pretrained * 0.1, 0.7, (0.5, 0.6))
    assert set(got.values()) == {(new, *plain)}
    assert {id(p) for p in added[1:]} == set(got)


def test_reference_pairs_are_drawn_by_the_seed_of_the_step(lab, captioned):
    feed, drawn = lab.feed(lab.clip()), []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        batch = draw_pairs(feed, captioned, 40)
        drawn.append((batch.images.pixels_B3HW, batch.texts.tokens_ML))
        assert batch.paired
        assert batch.target_B.equal(torch.arange(40))
        table = feed.frozen.images(captioned.pixels, captioned.pixel_key)
        rows = _rows(table, batch.images.frozen())
        assert len(set(rows)) > 6
        for row, text in zip(rows, batch.texts.tokens_ML, strict=True):
            mine = captioned.tokens_ML[captioned.first_N[row] : captioned.first_N[row + 1]]
            assert bool((mine == text).all(dim=1).any()), "a caption of another image"
    assert all(a.equal(b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert not drawn[0][0].equal(drawn[1][0])


# -- the loop


def _fit(lab, name, data, seed=0, resume=None, **changes):
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed, seed, **changes)
    task = lab.task(feed, data, 0, 1, seed)
    method.before_task(task)
    if resume is not None:
        resume(method)
    return Fit(method, task, replace(lab.recipe, epochs=2, grad_clip=1.0), (seed, "data"))


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", ["pairs", pytest.param("labelled", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=pytest.mark.slow) for n in ("ft", "lora-ft")), "dar"]
)
def test_a_resumed_fit_repeats_the_uninterrupted_one(name, kind, lab, tmp_path):
    """Stopped inside the first epoch and again at the border of two."""
    data = lab.sets(kind)[0]
    losses, whole = [], _fit(lab, name, data)
    whole.run(lambda _p, loss, _n: losses.append(loss))
    assert len(losses) == 6
    assert len(whole.progress.losses) == 2

    pristine, path = Pristine.of(lab.clip()), tmp_path / "step.safetensors"
    seen, fit = [], _fit(lab, name, data)
    for stop in (2, 3, 6):

        def on_step(progress, loss, images, stop=stop):
            seen.append(loss)
            if progress.step == stop:
                raise Stop

        with pytest.raises(Stop):
            fit.run(on_step)
        state, same = checkpoint.method_state(fit.method, pristine)
        moments, progress = checkpoint.fit_state(fit)
        checkpoint.write(path, {**state, **moments}, {"same": same, "progress": progress})
        tensors, about = checkpoint.read(path)
        own = {k: v for k, v in tensors.items() if not k.startswith(checkpoint.MOMENTS)}

        def resume(method, own=own, same=about["same"]):
            checkpoint.restore(method, own, same, pristine)

        fit = _fit(lab, name, data, resume=resume)
        checkpoint.restore_fit(fit, tensors, about["progress"])
        assert fit.progress.step == stop

    assert seen == losses
    assert asdict(fit.progress) == asdict(whole.progress)
    old, new = whole.method.state_dict(), fit.method.state_dict()
    assert old.keys() == new.keys()
    assert all(v.equal(new[k]) for k, v in old.items())


def _cramped(monkeypatch, kind, most):
    """Both towers run out of memory on more than `most` items with gradients."""

    def cramped(whole):
        def tower(self, x, *rest):
            if len(x) > most and torch.is_grad_enabled():
                raise torch.OutOfMemoryError(f"no room for {len(x)}")
            return whole(self, x, *rest)

        return tower

    for name in ("_image_tower", "_text_tower"):
        monkeypatch.setattr(kind, name, cramped(getattr(kind, name)))


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["labelled"]))
@pytest.mark.parametrize("name", ["ft", "dar"])
def test_out_of_memory_cuts_the_batch_and_keeps_all_negatives(name, kind, lab, monkeypatch):
    """The loss and the gradients are those of the whole batch, adapters included."""
    data, changes = lab.sets(kind)[0], {} if name == "ft" else {"dropout": 0.0}
    fits = [_fit(lab, name, data, **changes) for _ in range(2)]
    batch = next(iter(fits[0].loader.epoch(0)))
    for fit in fits:
        fit._only_trainable()
        if name == "dar":  # where B is zero, A has no gradient
            g = torch.Generator().manual_seed(0)
            for b in fit.method.adapters[0].B.values():
                b.data = torch.randn(b.shape, generator=g) / 50
    whole, cut = fits
    terms = whole._gradients(batch)
    _cramped(monkeypatch, type(lab.clip()), min(len(batch.images), len(batch.texts)) // 3)
    assert cut._gradients(batch) == pytest.approx(terms, rel=1e-5)
    assert (whole.progress.chunks, cut.progress.chunks > 2) == (1, True)
    largest = max(float(p.grad.abs().max()) for p in whole.params)
    for p, q in zip(whole.params, cut.params, strict=True):
        assert float(p.grad.abs().max()) > 0
        assert float((p.grad - q.grad).abs().max()) <= 1e-4 * largest


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["pairs"]))
def test_images_on_the_device_are_given_up_before_a_batch_is_cut(kind, lab, monkeypatch):
    """No number changes, to the last bit; without images there the batch is cut, as ever."""
    data, ends = lab.sets(kind)[0], []
    for free, short in ((2**40, 0), (2**40, 1), (2**40, 2), (0, 1)):
        monkeypatch.setattr(resident, "free_bytes", lambda device, free=free: free)
        said: list[str] = []
        seen: list[tuple[int, int, int]] = []
        method, feed = (made := _fit(lab, "ft", data)).method, made.task.loader.feed
        fit = Fit(method, made.task, replace(lab.recipe, steps=3), (0,), said.append)
        loss = method.loss

        def once(batch, fit=fit, loss=loss, seen=seen, short=short, feed=feed):
            terms = loss(batch)
            seen.append((fit.progress.step, feed.ahead.resident.nbytes, fit.method.clip.chunks))
            if 1 <= len(seen) - 1 <= short:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB")
            return terms

        method.loss = once
        fit.run(lambda *_: None)
        there = data.pixels.nbytes if free else 0
        first = [(0, there, 1), (1, there, 1)]
        again = [(1, 0, 1 if free else 2)] if short else []
        cut = [(1, 0, 2)] if short > 1 else []
        last = (2, 0 if short else there, (cut or again or first)[-1][2])
        assert seen == [*first, *again, *cut, last]
        assert len(said) == bool(short and free)
        ends.append([p.detach().clone() for p in fit.params])
    assert all(a.equal(b) for a, b in zip(ends[0], ends[1], strict=True))


def test_a_sweep_is_paired_where_every_image_has_one_text(lab, captioned):
    feed = lab.feed(lab.clip())
    for data, single in ((lab.pairs[1], True), (captioned, False)):
        batches = list(make_loader(feed, data, (0,), 8).sweep())
        assert {b.paired for b in batches} == {single}
        assert all(len(b.images) == len(b.texts) for b in batches if b.paired)
        method = lab.method("ft", feed)
        assert all(t.isfinite() for b in batches for t in method.loss(b).values())


def test_nothing_of_a_failed_attempt_is_in_the_way_of_the_next(lab):
    """Out of memory in backward(): the graph of that attempt is gone when the next one starts."""
    fit = _fit(lab, "ft", lab.pairs[0])
    fit._only_trainable()
    batch, real = next(iter(fit.loader.epoch(0))), fit.method.loss
    graphs: list[weakref.ref[torch.Tensor]] = []

    class Full(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise torch.OutOfMemoryError("full")

    def loss(batch):
        assert all(graph() is None for graph in graphs)
        (term,) = real(batch).values()
        graphs.append(weakref.ref(term))
        return {"match": Full.apply(term) if len(graphs) == 1 else term}

    fit.method.loss = loss
    fit._gradients(batch)
    assert len(graphs) == fit.progress.chunks == 2


def test_where_one_example_is_too_much_the_run_ends_with_a_sentence(lab, monkeypatch):
    fit = _fit(lab, "ft", lab.pairs[0])
    _cramped(monkeypatch, type(lab.clip()), 0)
    with pytest.raises(BenchError, match=r"memory .*no room for 1.*--batch-size") as error:
        fit.run(lambda *_: None)
    assert error.value.code == 3


def test_a_cut_batch_draws_and_learns_as_any_other(lab, monkeypatch):
    """With dropout and two runs: the second pass repeats the first one's draws."""
    _cramped(monkeypatch, type(lab.clip()), 4)
    losses = []
    for _ in range(2):
        fit = _fit(lab, "lora-ft", lab.pairs[0], dropout=0.5)
        seen: list[float] = []
        fit.run(lambda _p, loss, _n, seen=seen: seen.append(loss))
        losses.append(seen)
    assert losses[0] == losses[1]
    assert fit.progress.chunks >= 2


def test_a_step_does_not_depend_on_the_state_of_the_global_generator(lab):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        fit = _fit(lab, "lora-ft", lab.pairs[0], dropout=0.5)
        fit.run(lambda *_: torch.rand(7))
        states.append(fit.method.state_dict())
    assert all(v.equal(states[1][k]) for k, v in states[0].items())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(bad, lab):
    fit = _fit(lab, "ft", lab.pairs[0])
    plain = fit.method.loss

    def loss(batch):
        terms = plain(batch)
        return {**terms, "extra": terms["match"] * (bad if fit.progress.step == 1 else 0)}

    fit.method.loss = loss
    states = []
    with pytest.raises(BenchError, match=r"extra = (nan|inf) at step 2 of 6"):
        fit.run(lambda *_: states.append([p.detach().clone() for p in fit.params]))
    assert fit.progress.step == 1
    assert all(p.equal(q) for p, q in zip(fit.params, states[-1], strict=True))


def test_terms_are_summed_logged_and_averaged_per_epoch(lab):
    fit = _fit(lab, "ft", lab.pairs[0])
    plain, seen = fit.method.loss, []

    def loss(batch):
        terms = {"a": plain(batch)["match"], "b": torch.tensor(0.25, requires_grad=True) * 2}
        seen.append(terms["a"].item())
        return terms

    fit.method.loss = loss
    got = []
    fit.run(lambda _p, value, images: got.append((value, images)))
    assert [v for v, _ in got] == pytest.approx([s + 0.5 for s in seen])
    assert sum(n for _, n in got) == 2 * 14
    for epoch, means in enumerate(fit.progress.losses):
        assert means["b"] == pytest.approx(0.5)
        assert means["a"] == pytest.approx(sum(seen[3 * epoch : 3 * epoch + 3]) / 3)


def test_gradients_are_clipped_to_the_recipe(lab):
    norms = []
    for clip_at in (0.0, 1e-3):
        fit = _fit(lab, "ft", lab.pairs[0])
        fit.recipe = replace(fit.recipe, grad_clip=clip_at)
        fit.method.after_step = lambda step, total, f=fit: norms.append(
            float(torch.stack([p.grad.norm() for p in f.params if p.grad is not None]).norm())
        )
        fit.progress.total = 1
        fit.run(lambda *_: None)
    assert norms[0] > 1e-2
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)
    assert len(norms) == 2  # a budget of one step is one step


def test_hooks_run_in_the_promised_mode(lab):
    fit = _fit(lab, "ft", lab.pairs[0])
    seen: list[tuple[object, object, bool]] = []
    plain = fit.method.loss

    def loss(batch):
        seen.append(("loss", fit.method.training, torch.is_grad_enabled()))
        return plain(batch)

    fit.method.eval()
    fit.method.loss = loss
    fit.method.after_step = lambda step, total: seen.append((step, total, torch.is_grad_enabled()))
    fit.run(lambda *_: None)
    assert seen[::2] == [("loss", True, True)] * 6
    assert seen[1::2] == [(s, 6, False) for s in range(1, 7)]


def test_frozen_parameters_get_no_gradient(lab):
    fit = _fit(lab, "lora-ft", lab.pairs[0])
    seen = []
    fit.run(
        lambda *_: seen.append({n for n, p in fit.method.named_parameters() if p.grad is not None})
    )
    names = {name for name, _ in fit.method.named_parameters()}
    assert all(s == {n for n in names if not n.startswith("clip.")} for s in seen)
    for name, p in fit.method.named_parameters():
        assert p.requires_grad == (not name.startswith("clip.")), name
        assert p.grad is None, name  # given back when the task ends


# -- batches


def test_batches_drop_nothing_and_are_balanced():
    for n in (1, 7, 8, 9, 20, 63):
        for size in (1, 4, 8, 64):
            parts = cut(torch.arange(n).flip(0), size)
            assert torch.cat(parts).equal(torch.arange(n).flip(0))
            sizes = [len(p) for p in parts]
            assert max(sizes) <= size
            assert max(sizes) - min(sizes) <= 1
            assert len(parts) == math.ceil(n / size)


def test_derived_seeds_are_stable_and_differ():
    """Fixed forever: a change would silently make every record unrepeatable."""
    assert derive(0, "order", 1) == 125578804223736978
    seeds = [derive(0, "a", 1), derive(0, "a1"), derive("0", "a", 1), derive(0, "a", 2)]
    assert len(set(seeds)) == 4
    assert all(0 <= s < 2**63 for s in seeds)


def _rows(data, images):
    """Which images of a set these are, by their frozen features."""
    table = {r.numpy().tobytes(): i for i, r in enumerate(data)}
    return [table[r.numpy().tobytes()] for r in images]


@pytest.fixture
def features(lab):
    feed = lab.feed(lab.clip())
    return feed, lambda d: feed.frozen.images(d.pixels, d.pixel_key)


def _captions(loader, index, start=0):
    return [t for b in loader.epoch(index, start) for t in map(tuple, b.texts.tokens_ML.tolist())]


def test_an_epoch_has_every_image_once_with_one_of_its_captions(lab, captioned, features):
    feed, frozen = features
    loader = make_loader(feed, captioned, (0, "x"), 5)
    orders = []
    drawn: Counter[tuple[int, int]] = Counter()
    table = frozen(captioned)
    for epoch in range(8):
        order = []
        for batch in loader.epoch(epoch):
            rows = _rows(table, batch.images.frozen())
            order += rows
            assert batch.paired
            assert batch.target_B.equal(torch.arange(len(rows)))
            assert len(batch.texts) == len(batch.images) == len(rows)
            for row, text, frozen_text in zip(
                rows, batch.texts.tokens_ML, batch.texts.frozen(), strict=True
            ):
                mine = range(int(captioned.first_N[row]), int(captioned.first_N[row + 1]))
                place = [j for j in mine if captioned.tokens_ML[j].equal(text)]
                assert place, "a caption of another image"
                drawn[row, place[0]] += 1
                known = feed.frozen.texts(captioned.tokens_ML, captioned.text_key)[place[0]]
                assert known.equal(frozen_text)
        assert sorted(order) == list(range(13))
        orders.append(tuple(order))
    assert len(set(orders)) == 8
    assert len(loader) == 3
    several = [r for r in range(13) if captioned.first_N[r + 1] - captioned.first_N[r] > 2]
    assert all(sum(1 for row, _ in drawn if row == r) > 1 for r in several), "captions never vary"


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_a_loader_is_a_function_of_seed_and_epoch(kind, lab):
    feed, data = lab.feed(lab.clip()), lab.sets(kind)[0]
    loader = make_loader(feed, data, (0, "x"), 4)
    torch.manual_seed(0)
    first = [(b.images.pixels_B3HW, b.texts.tokens_ML, b.target_B) for b in loader.epoch(3)]
    torch.manual_seed(1)
    again = make_loader(feed, data, (0, "x"), 4)
    for start in range(len(first) + 1):
        rest = [
            (b.images.pixels_B3HW, b.texts.tokens_ML, b.target_B) for b in again.epoch(3, start)
        ]
        assert len(rest) == len(first) - start
        for x, y in zip(rest, first[start:], strict=True):
            assert all(a.equal(b) for a, b in zip(x, y, strict=True))
    other = next(make_loader(feed, data, (1, "x"), 4).epoch(3)).images.pixels_B3HW
    assert not other.equal(first[0][0])


def test_a_sweep_has_all_captions_in_order(lab, captioned, features):
    feed, frozen = features
    loader = make_loader(feed, captioned, (0, "x"), 5)
    seen = list(loader.sweep())
    assert torch.cat([b.texts.tokens_ML for b in seen]).equal(captioned.tokens_ML)
    assert torch.cat([b.images.frozen() for b in seen]).equal(frozen(captioned))
    known = feed.frozen.texts(captioned.tokens_ML, captioned.text_key)
    assert torch.cat([b.texts.frozen() for b in seen]).equal(known)
    at = 0
    for batch in seen:
        for target in batch.target_B:
            first = captioned.tokens_ML[captioned.first_N[at]]
            assert batch.texts.tokens_ML[target].equal(first)
            at += 1
    assert at == 13


def test_labelled_batches_hold_all_classes(lab, features):
    feed, frozen = features
    data = lab.labelled[0]
    loader, seen = make_loader(feed, data, (0, "x"), 8), []
    for batch in loader.epoch(0):
        assert not batch.paired
        assert batch.texts.tokens_ML.equal(data.prompts_CPL[:, 0])
        rows = _rows(frozen(data), batch.images.frozen())
        assert batch.target_B.equal(data.label_N[rows])
        seen += rows
    assert sorted(seen) == list(range(14))
    swept = list(loader.sweep())
    assert torch.cat([b.images.frozen() for b in swept]).equal(frozen(data))
    assert torch.cat([b.target_B for b in swept]).equal(data.label_N)
    with torch.no_grad():
        known = feed.clip.text(data.prompts_CPL[:, 0])
    for b in swept:
        assert b.texts.tokens_ML.equal(data.prompts_CPL[:, 0])
        torch.testing.assert_close(b.texts.frozen(), known, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["labelled"]))
def test_joined_loaders_do_not_depend_on_their_order(kind, lab, features):
    feed, frozen = features
    parts = [lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.sets(kind)[:2])]
    one, two = join(parts), join(parts[::-1])
    assert len(one) == 6
    table = torch.cat([frozen(d) for d in lab.sets(kind)[:2]])
    rows, mixed = [], 0
    for a, b in zip(one.epoch(1), two.epoch(1), strict=True):
        assert a.images.pixels_B3HW.equal(b.images.pixels_B3HW)
        assert a.texts.tokens_ML.equal(b.texts.tokens_ML)
        assert a.target_B.equal(b.target_B)
        assert a.images.frozen().equal(b.images.frozen())
        mine = _rows(table, a.images.frozen())
        mixed += 0 < sum(r < 14 for r in mine) < len(mine)
        rows += mine
        # pixels, frozen features and texts are rows of the same items
        again = lab.clip().image(a.images.pixels_B3HW)
        torch.testing.assert_close(again, a.images.frozen(), rtol=0, atol=1e-5)
        text = lab.clip().text(a.texts.tokens_ML)
        torch.testing.assert_close(text, a.texts.frozen(), rtol=0, atol=1e-5)
        if kind == "labelled":
            union = torch.cat([d.prompts_CPL[:, 0] for d in _by_seed(parts)])
            assert a.texts.tokens_ML.equal(union)
    assert sorted(rows) == list(range(28))
    assert mixed > len(one) / 2  # a small batch may be of one set by chance
    assert sum(len(b.images) for b in one.sweep()) == 28


def _by_seed(parts):
    return [p.sets[0] for p in sorted(parts, key=lambda p: repr(p.seed))]


def test_pairs_and_labels_have_no_common_batch(lab):
    feed = lab.feed(lab.clip())
    mixed = [lab.task(feed, d, 0, 2).loader for d in (lab.pairs[0], lab.labelled[0])]
    with pytest.raises(BenchError, match="one kind"):
        join(mixed)
    assert isinstance(join(mixed[:1]), PairLoader)


@pytest.mark.parametrize("steps", lanes([1, 3, 4, 7], [1, 4]))
def test_a_budget_of_steps_is_kept_whatever_the_epoch(lab, steps):
    """14 images in batches of 5 are 3 steps an epoch."""
    fit = _fit(lab, "ft", lab.pairs[0])
    recipe = replace(fit.recipe, steps=steps, epochs=9)
    fit = Fit(fit.method, fit.task, recipe, fit.seed)
    seen = []
    fit.run(lambda progress, loss, _n: seen.append((progress.step, loss)))
    assert [step for step, _ in seen] == list(range(1, steps + 1))
    means = [m["match"] for m in fit.progress.losses]
    values = [loss for _, loss in seen]
    assert means == pytest.approx([np.mean(values[i : i + 3]) for i in range(0, steps, 3)])


@pytest.mark.parametrize(("budget", "steps"), [({"epochs": 9, "steps": 3}, 6), ({"epochs": 2}, 12)])
def test_the_upper_bound_has_the_budgets_of_all_its_tasks(lab, budget, steps):
    """The two tasks together are 6 batches an epoch."""
    feed = lab.feed(lab.clip())
    method = lab.method("joint", feed)
    tasks = [lab.task(feed, data, i, 2) for i, data in enumerate(lab.pairs[:2])]
    totals = []
    for task in tasks:
        method.before_task(task)
        recipe = replace(lab.recipe, **budget)
        totals.append(Fit(method, task, recipe, (0, "data")).progress.total)
    assert totals == [0, steps]
