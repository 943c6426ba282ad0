"""CoDyRA and plain LoRA: thresholds, pruning, merging and the loss, each from its formula."""

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lanes import lanes
from torch import nn
from torch.testing import assert_close

from benchmark.api import MAPS, Features, Gated, Pruning, matching, symmetric_cross_entropy
from benchmark.backbones.known import describe
from benchmark.backbones.open_clip import build
from benchmark.errors import BenchError
from benchmark.protocol.method import no_grad_after_task
from benchmark.run.registry import find_method
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit
from benchmark.toolkit.gated import null_ranks
from methods.lora import PlainConfig, PlainLoRA

KAPPA = 0.25  # exact in binary, so that values at a threshold are at it
PAPER = Pruning(0.005, 0.5)


# -- the proximal step


@pytest.mark.parametrize(
    ("value", "exact", "released"),
    [
        (0.0, 0.0, 0.0),
        (0.125, 0.0, 0.0),  # below kappa
        (0.25, 0.0, 0.25),  # at kappa: neither above it nor below
        (0.375, 0.125, 0.0),  # between kappa and 2 kappa
        (0.5, 0.25, 0.25),  # at 2 kappa: kappa is left, which is not below kappa
        (0.625, 0.375, 0.375),
        (3.0, 2.75, 2.75),
    ],
)
def test_the_proximal_step_at_and_around_its_thresholds(value, exact, released):
    wanted: dict[Literal["exact", "released"], float] = {"exact": exact, "released": released}
    for rule, want in wanted.items():
        got = Pruning(1.0, 0.5, rule).shrink(torch.tensor([[value, -value]]), KAPPA)
        assert got.tolist() == [[want, -want]], rule


@pytest.mark.parametrize("rule", ["exact", "released"])
def test_a_threshold_of_zero_moves_no_gate(rule):
    gate = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    gate[0, 0] = 0.0
    assert Pruning(1.0, 0.5, rule).shrink(gate, 0.0).equal(gate)


def _as_coded(total, dense, kappa_max):
    """Thresholds of the proximal steps after steps 1 to `total`, counted in a loop; 0: none."""
    start = dense * total
    every = int((total - start) // 50)
    levels, index, found = np.linspace(0, kappa_max, 50), 0, []
    for t in range(total):
        if every > 0 and t >= start and t % every == 0:
            index += 1
        found.append(float(levels[min(index, 49)]) if t > start else 0.0)
    return found


def _thresholds(total, dense, kappa_max):
    pruning = Pruning(kappa_max, dense)
    return [pruning.threshold(step, total) for step in range(1, total + 1)]


@pytest.mark.parametrize("dense", [0.0, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("total", [500, 501, 517, 612, 1000, 2260])
def test_thresholds_are_as_coded(total, dense):
    got, want = _thresholds(total, dense, 0.005), _as_coded(total, dense, 0.005)
    assert got == pytest.approx(want, rel=1e-12, abs=0)
    assert max(got) == 0.005


def test_sums_of_thresholds():
    """What a gate loses in 500 steps: 0.65 in the setting of X-TAIL, 0.385 in that of MTIL."""
    assert sum(_thresholds(500, 0.5, 0.005)) == pytest.approx(6369 * 0.005 / 49)
    assert sum(_thresholds(500, 0.7, 0.005)) == pytest.approx(0.385, abs=0.005)


@pytest.mark.parametrize("dense", [0.0, 0.5, 0.7])
def test_a_short_run_ends_at_the_largest_threshold(dense):
    """Where the code divides by too few steps, the rise is the same in fewer levels."""
    for total in range(1, 170):
        got = _thresholds(total, dense, 1.0)
        start = dense * total
        assert [kappa > 0 for kappa in got] == [t > start for t in range(total)], total
        assert got == sorted(got)
        if total - start < 50 and got[-1]:
            assert got[-1] == 1.0
            risen = [kappa for kappa in got if kappa]
            assert len(set(risen)) == len(risen)
    assert max(_as_coded(99, 0.5, 1.0)) == 0.0


def test_at_fifty_steps_both_ways_to_count_agree():
    """One step more or less changes no threshold by more than a level."""
    longer, shorter = _thresholds(50, 0.0, 1.0), _thresholds(49, 0.0, 1.0)
    assert longer == pytest.approx(_as_coded(50, 0.0, 1.0))
    assert longer[:49] == pytest.approx(shorter)


@pytest.mark.parametrize(
    ("dense", "rule", "want"),
    [(0.5, "exact", 8.25), (0.5, "released", 8.2), (0.7, "exact", 11.2), (0.7, "released", 11.2)],
)
def test_ranks_that_are_kept_with_nothing_learned(dense, rule, want):
    """A gate of either rule survives iff it is larger than a constant, so the mean is known."""
    kappas = _as_coded(500, dense, 0.005)
    least = sum(kappas) + (kappas[-1] if rule == "released" else 0.0)
    share = math.erfc(least / math.sqrt(2))
    ranks = null_ranks(16, 500, Pruning(0.005, dense, rule), modules=2000).double()
    assert ranks.shape == (2000,)
    error = math.sqrt(16 * share * (1 - share) / 2000)
    assert float(ranks.mean()) == pytest.approx(16 * share, abs=3 * error)
    assert float(ranks.mean()) == pytest.approx(want, abs=0.1)
    assert float(ranks.std()) == pytest.approx(math.sqrt(16 * share * (1 - share)), rel=0.1)


def test_the_null_of_no_pruning_keeps_all():
    assert null_ranks(4, 60, Pruning(0.0, 0.5), modules=3).tolist() == [4, 4, 4]
    assert null_ranks(4, 60, Pruning(9.0, 0.5), modules=3).tolist() == [0, 0, 0]


# -- the update


def _gated(clip, seed=0, rank=4, targets=MAPS):
    """An update with a B that is not zero, and two gates of every map that are."""
    g = torch.Generator().manual_seed(seed)
    update = Gated(clip, targets, rank, PAPER, g)
    with torch.no_grad():
        for b in update.B.values():
            b.copy_(torch.randn(b.shape, generator=g) / 20)
        update.gate[:, ::2] = 0.0
    return update


@torch.no_grad()
def _both(clip, lab):
    pixels = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    return clip.image(pixels), clip.text(lab.pairs[0].tokens_ML[:4])


def test_number_of_scalars_is_the_papers(lab, monkeypatch):
    """4.4 million on ViT-B/16 at rank 16, and one gate for each rank of 144 maps."""
    unused: Any = torch.empty  # for a tokenizer, as no text is read
    no_tools: Any = None
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)  # none to move
    with torch.device("meta"):
        clip = build(describe("ViT-B-16-quickgelu"), unused)
    update = Gated(clip, MAPS, 16, PAPER, torch.Generator())
    assert len(update.names) == 144
    assert sum(p.numel() for p in [*update.A.values(), *update.B.values()]) == 4_423_680
    assert update.gate.numel() == 2_304
    plain = PlainLoRA(clip, PlainConfig(), no_tools)
    plain.before_task(lab.task(lab.feed(lab.clip()), lab.pairs[0], 0, 1))
    assert sum(p.numel() for group in plain.trainable() for p in group.params) == 4_423_680


def test_how_an_update_begins(lab):
    clip = lab.clip()
    update = Gated(clip, MAPS, 16, PAPER, torch.Generator().manual_seed(0))
    assert len(update.names) == 6 * 7
    for a in update.A.values():
        bound = a.shape[1] ** -0.5
        assert 0.95 * bound < float(a.detach().abs().max()) <= bound
        assert float(a.detach().mean().abs()) < bound / 10
    assert not any(b.any() for b in update.B.values())
    gate = update.gate.detach()
    assert abs(float(gate.mean())) < 3 / math.sqrt(gate.numel())
    assert float(gate.std()) == pytest.approx(1, abs=3 / math.sqrt(2 * gate.numel()))
    plain = _both(clip, lab)
    with clip.adapted(update.deltas(), MAPS):
        assert all(x.equal(y) for x, y in zip(_both(clip, lab), plain, strict=True))


def test_all_of_it_learns(lab):
    clip = lab.clip()
    update = _gated(clip)
    with torch.no_grad():
        update.gate.fill_(0.5)
    with clip.adapted(update.deltas(), MAPS):
        image = clip.image(torch.randn(3, 3, 48, 48)).cumsum(dim=1).sum()
        (image + clip.text(lab.pairs[0].tokens_ML[:4]).cumsum(dim=1).sum()).backward()
    assert bool((update.gate.grad != 0).all())
    for p in update.parameters():
        assert float(p.grad.abs().sum()) > 0


@pytest.mark.parametrize("targets", [MAPS, *[(target,) for target in MAPS]])
def test_merged_equals_live(targets, lab):
    """For each kind of map alone, in both towers, and for all of them."""
    clip = lab.clip()
    update, plain = _gated(clip, targets=targets), _both(clip, lab)
    start = {name: site.weight.detach().double() for name, site in clip.sites(MAPS).items()}
    with clip.adapted(update.deltas(), targets):
        live = _both(clip, lab)
    kept, merged = update.kept(), update.merge(clip)
    assert list(kept) == list(merged) == list(update.names)
    assert all(x.equal(y) for name in kept for x, y in zip(kept[name], merged[name], strict=True))
    for x, y, z in zip(_both(clip, lab), live, plain, strict=True):
        assert_close(x, y, rtol=0, atol=2e-6)
        assert float((x - z).detach().abs().max()) > 1e-4
    changed = 0
    for row, (name, key) in enumerate(update.names.items()):
        change = torch.zeros_like(start[name])
        for i, w in enumerate(update.gate[row].double()):
            outer = torch.outer(update.B[key][:, i].double(), update.A[key][i].double())
            change += w * outer
        got = clip.sites(MAPS)[name].weight.detach().double() - start.pop(name)
        assert_close(got, change.detach(), rtol=0, atol=1e-6)
        # Rows of A and columns of B with a zero gate are in no part of it.
        assert int(torch.linalg.matrix_rank(change, atol=1e-6)) == 2
        changed += 1
    assert changed == 7 * len(targets)
    sites = clip.sites(MAPS)
    assert all(sites[name].weight.double().equal(weight) for name, weight in start.items())


def test_pruned_gates_change_no_bit(lab):
    clip = lab.clip()
    update = _gated(clip)
    with torch.no_grad():
        update.gate.zero_()
        update.gate[:, 0] = -0.0
    update.merge(clip)
    state, start = clip.state_dict(), lab.clip().state_dict()
    assert all(v.equal(start[k]) for k, v in state.items())
    assert all(not k.numel() and not v.numel() for k, v in update.kept().values())
    update.prune(1, 10)
    report = update.report()
    assert (report["parameters_kept"], set(report["ranks"].values())) == (0, {0})


def test_a_report_counts_what_is_kept(lab):
    clip = lab.clip()
    update = _gated(clip)
    with torch.no_grad():
        update.gate[0] = torch.tensor([0.0, 0.0, 1e-30, 0.0])
    update.prune(1, 500)  # in the dense part: no gate shrinks
    report = update.report()
    assert report["rank"] == 4
    assert report["ranks"].pop("image.0.attn.q") == 1
    assert set(report["ranks"].values()) == {2}
    assert {"image.3.mlp.c_fc", "text.2.attn.out_proj"} <= report["ranks"].keys()
    sizes = {name: sum(site.weight.shape) for name, site in clip.sites(MAPS).items()}
    assert report["parameters"] == 4 * sum(sizes.values())
    assert report["parameters_kept"] == 2 * sum(sizes.values()) - sizes["image.0.attn.q"]
    assert report["null"]["mean"] == pytest.approx(8.25 / 4, abs=0.05)


# -- the loss


def _exact(features, others):
    """Rows and columns in float64, with the multi-hot targets of the columns written out."""
    image, text = features.image_BD.double(), features.text_MD.double()
    scale, target = float(features.scale), features.target_B.tolist()
    logits = [[scale * float(x @ y) for y in text] for x in image]
    i2t = t2i = 0.0
    for row, own in zip(logits, target, strict=True):
        i2t += math.log(sum(map(math.exp, row))) - row[own]
    for m in range(len(text)):
        column = [row[m] for row in logits]
        total = math.log(sum(map(math.exp, column)))
        hot = [float(own == m) for own in target]
        t2i += sum(h * (total - x) for h, x in zip(hot, column, strict=True))
    return {"i2t": i2t / len(image), "t2i": t2i / (len(text) + others)}


def _features(texts, target, paired):
    g = torch.Generator().manual_seed(1)
    image, text = (
        nn.functional.normalize(torch.randn(n, 8, generator=g), dim=1) for n in (6, texts)
    )
    return Features(image, text, torch.tensor(7.0), torch.tensor(target), paired)


@pytest.mark.parametrize("others", [0, 9])
@pytest.mark.parametrize("target", [[3, 0, 0, 1, 1, 1], [2, 2, 2, 2, 2, 2], [0, 1, 2, 3, 0, 1]])
def test_loss_over_classes(target, others):
    features = _features(4, target, paired=False)
    got = {k: float(v) for k, v in symmetric_cross_entropy(features, others).items()}
    assert got == pytest.approx(_exact(features, others), rel=1e-5)


def test_loss_over_pairs_is_twice_clips():
    features = _features(6, [5, 3, 0, 1, 2, 4], paired=True)
    got = symmetric_cross_entropy(features)
    assert {k: float(v) for k, v in got.items()} == pytest.approx(_exact(features, 0), rel=1e-5)
    assert_close(sum(got.values()), 2 * matching(features))


# -- the methods


def _begin(lab, name, data, index=0, **changes):
    feed = lab.feed(lab.clip())
    method = lab.method(name, feed, **changes)
    task = lab.task(feed, data, index, 2)
    method.before_task(task)
    return method, task


def _same(one, two):
    one, two = one.clip.state_dict(), two.clip.state_dict()
    return all(v.equal(two[k]) for k, v in one.items())


@pytest.mark.parametrize("name", ["codyra", "lora"])
def test_how_it_is_trained(name, lab):
    method, task = _begin(lab, name, lab.labelled[0])
    fit = Fit(method, task, lab.recipe, (0,))
    assert fit.optimizer is not None
    (group,) = fit.optimizer.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.9999), 0.0)
    assert fit.peaks == [lab.recipe.lr_added]
    terms = method.loss(next(iter(task.loader.epoch(0))))
    assert list(terms) == ["i2t", "t2i"]
    sum(terms.values()).backward()
    factors = method.update if name == "codyra" else method.adapter
    assert all(float(b.grad.abs().sum()) > 0 for b in factors.B.values())
    assert all(p.grad is None or not p.grad.any() for p in factors.A.values())  # B is still zero
    decayed, task = _begin(lab, name, lab.labelled[0], weight_decay=0.25)
    fit = Fit(decayed, task, lab.recipe, (0,))
    assert fit.optimizer is not None
    (group,) = fit.optimizer.param_groups
    assert group["weight_decay"] == 0.25


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["labelled"]))
def test_without_a_threshold_no_gate_is_pruned(kind, lab, monkeypatch):
    """Equal, bit for bit, to training that never calls the proximal step."""
    run = lab.train("codyra", lab.sets(kind)[:1], kappa_max=0.0, rank=4)
    report = run.method.report()
    assert set(report["ranks"].values()) == {4}
    assert report["parameters_kept"] == report["parameters"]
    assert report["null"] == {"mean": 4.0, "std": 0.0}
    monkeypatch.setattr(Gated, "prune", lambda *_: None)
    assert _same(run.method, lab.train("codyra", lab.sets(kind)[:1], rank=4).method)


def test_a_threshold_above_all_gates_learns_nothing(lab):
    run = lab.train("codyra", lab.labelled, kappa_max=99.0, rank=4)
    start = lab.clip().state_dict()
    assert all(v.equal(start[k]) for k, v in run.method.clip.state_dict().items())
    assert set(run.method.report()["ranks"].values()) == {0}
    assert min(run.moved) > 0


@pytest.mark.parametrize("prox", lanes(["exact", "released"], ["exact"]))
def test_gates_shrink_after_the_dense_part_alone(prox, lab, monkeypatch):
    """As an independent count and an independent rule say, step by step."""
    seen = []
    method, task = _begin(lab, "codyra", lab.labelled[0], kappa_max=0.2, dense=0.4, prox=prox)
    recipe = replace(lab.recipe, epochs=4)
    fit = Fit(method, task, recipe, (0,))
    real = method.after_step

    def watch(step, total):
        before = method.update.gate.detach().double()
        real(step, total)
        seen.append((before, method.update.gate.detach().double()))

    monkeypatch.setattr(method, "after_step", watch)
    fit.run(lambda *_: None)
    total = fit.progress.total
    assert total == len(seen) == 12
    kappas = [0.0] * 5 + [0.2 * math.ceil(49 * k / 7) / 49 for k in range(1, 8)]
    for (before, after), kappa in zip(seen, kappas, strict=True):
        size = (before.abs() - kappa).clamp(min=0)
        if prox == "released":
            size[size < kappa] = 0
        assert_close(after, before.sign() * size, rtol=0, atol=1e-6)
    zeros = [int((after == 0).sum()) for _, after in seen]
    assert zeros[:5] == [0] * 5
    assert 0 < zeros[-1] < seen[0][0].numel()


PRUNED = {"kappa_max": 0.5, "dense": 0.0}  # a good half of the gates, in three steps


@pytest.mark.parametrize(("name", "changes"), [("codyra", PRUNED), ("lora", {})])
@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["pairs"]))
def test_a_task_is_merged_whole(name, changes, kind, lab):
    """The merged model is the trained one, with all that pruning left."""
    method, task = _begin(lab, name, lab.sets(kind)[0], **changes)
    Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
    method.eval()
    update = method.update if name == "codyra" else method.adapter
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for b in update.B.values():  # few steps leave B too small to tell merges apart
            b += torch.randn(b.shape, generator=g) / 20
        with method.clip.adapted(update.deltas(), update.targets):
            live = _both(method.clip, lab)
    plain = _both(method.clip, lab)
    no_grad_after_task(method, task)
    for x, y, z in zip(_both(method.clip, lab), live, plain, strict=True):
        assert_close(x, y, rtol=0, atol=2e-6)
        assert float((x - z).abs().max()) > 1e-3
    if changes:
        report = method.report()
        assert 0.2 < report["parameters_kept"] / report["parameters"] < 0.6


@pytest.mark.parametrize("name", lanes(["codyra", "lora"], ["codyra"]))
def test_nothing_but_the_model_is_kept_between_tasks(name, lab):
    run = lab.train(name, lab.labelled)
    own = {k.removeprefix("clip.") for k in run.method.state_dict()}
    assert own == set(run.method.clip.state_dict())
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    assert checkpoint.extra_bytes(state) == 0
    kinds = ("in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight")
    assert all(k.endswith(kinds) for k in state)
    assert len(state) == 4 * 7


@pytest.mark.parametrize(("name", "part"), [("codyra", "update"), ("lora", "adapter")])
def test_every_task_has_an_update_of_its_own(name, part, lab):
    first, again, other = (
        _begin(lab, name, lab.labelled[i], index)[0].get_submodule(part).state_dict()
        for i, index in ((0, 0), (0, 1), (1, 1))
    )
    assert all(v.equal(again[k]) for k, v in first.items())  # whatever the place in the order
    assert not any(v.equal(other[k]) for k, v in first.items() if ".B" not in k and k[0] != "B")


def test_plain_lora_has_no_scale(lab):
    method, _ = _begin(lab, "lora", lab.labelled[0])
    assert method.adapter.scale == 1.0
    assert method.adapter.dropout == 0.0
    assert set(method.adapter.names) == set(method.clip.sites(MAPS))


def test_all_classes_so_far_share_in_the_mean_as_released(lab):
    """In the second task, the text term is smaller by the share of the current classes."""
    found = {}
    for rows in ("current", "seen"):
        method, task = _begin(lab, "codyra", lab.labelled[0], text_rows=rows)
        first = method.loss(next(iter(task.loader.epoch(0))))
        task = lab.task(lab.feed(method.clip), lab.labelled[1], 1, 2)
        method.before_task(task)
        second = method.loss(next(iter(task.loader.epoch(0))))
        found[rows] = [{k: float(v.detach()) for k, v in x.items()} for x in (first, second)]
    (one, two), (released_one, released_two) = found["current"], found["seen"]
    old, new = (len(data.names) for data in lab.labelled)
    assert one == released_one
    assert two["i2t"] == released_two["i2t"]
    assert released_two["t2i"] == pytest.approx(two["t2i"] * new / (old + new), rel=1e-6)


def test_captions_have_no_classes_to_count():
    for name in ("codyra", "codyra.released", "codyra-rail-dual"):
        found = find_method(name, [])
        assert ("pairs" in found.cls.refused(found.config)) == (name != "codyra")
    found = find_method("codyra.released", [])
    assert "counts classes" in found.cls.refused(found.config)["pairs"]


@pytest.mark.parametrize(
    ("name", "hp", "words"),
    [
        ("codyra", "prox=soft", "exact, released"),
        ("codyra", "kappa_max=-0.1", "kappa_max of at least 0"),
        ("codyra", "dense=1", r"dense in \[0, 1\)"),
        ("codyra", "dense=-0.1", r"dense in \[0, 1\)"),
        ("codyra", "rank=0", "rank >= 1"),
        ("codyra", "targets=", "target"),
        ("codyra", "text_rows=all", "current, seen"),
        ("codyra", "weight_decay=-1", "weight_decay"),
        ("lora", "alpha=0", "alpha > 0"),
        ("lora", "dropout=1", "dropout"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, hp, words):
    with pytest.raises(BenchError, match=words):
        find_method(name, [hp])


def test_a_refusal_names_settings_that_the_method_has():
    """CoDyRA has no alpha and no dropout."""
    with pytest.raises(BenchError) as refused:
        find_method("codyra", ["rank=0"])
    assert "alpha" not in str(refused.value)
    assert "dropout" not in str(refused.value)
