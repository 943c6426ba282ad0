"""Mod-X and DKR against their formulas, row by row in float64, and the old model's features."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.errors import BenchError
from benchmark.protocol.types import Batch, Features, Images, Texts
from benchmark.run.registry import find_method
from benchmark.toolkit.distillation import (
    directions,
    divergence,
    is_right,
    snapshot,
    teacher_features,
)

SCALE = 7.0


class Scaled(nn.Module):
    """Stands for a backbone that knows its scale alone."""

    def __init__(self):
        super().__init__()
        self.scale = torch.tensor(SCALE)


def _rows(n, g, near=None, noise=1.0):
    x = torch.randn(n, 6, generator=g, dtype=torch.float64)
    return F.normalize(x if near is None else near + noise * x, dim=1)


def _draw(seed, paired=True):
    """Old and new unit rows; in about half of the rows either model is right."""
    g = torch.Generator().manual_seed(seed)
    texts, target = 8, torch.randperm(8, generator=g)
    if not paired:
        texts, target = 5, torch.tensor([0, 2, 2, 1, 0, 3, 3, 3])
    found = []
    for _ in range(2):
        text = _rows(texts, g)
        found += [_rows(8, g, text[target], 0.7), text]
    return *found, target


def _by_rows(old, new, target, row_loss):
    """Mean over directions of the sum over rows of row_loss(old row, new row, right place)."""
    pairs = [(old, new, target.tolist())]
    if len(set(target.tolist())) == old.shape[1] == old.shape[0]:
        back = [target.tolist().index(j) for j in range(len(target))]
        pairs.append((old.T, new.T, back))
    sums = [sum(row_loss(o[i], n[i], right[i]) for i in range(len(o))) for o, n, right in pairs]
    return sum(sums) / len(sums)


def _softmax(row):
    exps = [torch.exp(x) for x in row]
    total = sum(exps)
    return [e / total for e in exps]


def _kl(target, row):
    log_total = sum((torch.exp(x) for x in row), torch.zeros(())).log()
    return sum(
        q * (math.log(q) - (x - log_total)) for q, x in zip(target, row, strict=True) if q > 0
    )


def _highest(row):
    return int(row.argmax())


def _mod_x_row(temperature=1.0, drop=False):
    """The published replacement: where the old model errs, its row is the new one."""

    def loss(old, new, right):
        kept = new.detach() if _highest(old) != right else old
        here = [j for j in range(len(old)) if not (drop and j == right)]
        target = _softmax([kept[j] / temperature for j in here])
        return _kl([float(q) for q in target], [new[j] / temperature for j in here])

    return loss


def _dkr_row(scale, mix=0.0, rpk="onehot"):
    def loss(old, new, right):
        one = [float(j == right) for j in range(len(new))]
        own = [float(p) for p in _softmax([scale * x.detach() for x in new])]
        if _highest(old) == right:
            target = [float(p) for p in _softmax([scale * x for x in old])]
        elif _highest(new) == right:
            target = [(1 - mix) * p + mix * o for p, o in zip(own, one, strict=True)]
        else:
            target = one if rpk == "onehot" else own
        return _kl(target, [scale * x for x in new])

    return loss


def _method_loss(name, rows, target, monkeypatch, **changes):
    """The method's own loss on given features: the value of the term, and gradients."""
    old_image, old_text, image, text = (x.float() for x in rows)
    image.requires_grad_(True)
    text.requires_grad_(True)
    found = find_method(name, [])
    clip: Any = Scaled()
    no_tools: Any = None
    method = found.cls(clip, type(found.config)(**changes), no_tools)
    paired = len(text) == len(image)
    batch = Batch(
        Images(torch.zeros(len(image), 1), lambda: old_image),
        Texts(torch.zeros(len(text), 1), lambda: old_text),
        target,
        paired,
    )
    new = Features(image, text, method.clip.scale, target, paired)
    monkeypatch.setattr(method, "features", lambda _: new)
    terms = method.loss(batch)
    assert list(terms) == ["match", "distill"]
    terms["distill"].backward()
    return terms["distill"].detach(), image.grad, text.grad


def _reference(rows, target, weight, row_loss, parts=1):
    old_image, old_text, image, text = (x.clone() for x in rows)
    image.requires_grad_(True)
    text.requires_grad_(True)
    value = weight / parts * _by_rows(old_image @ old_text.T, image @ text.T, target, row_loss)
    value.backward()
    return value.detach(), image.grad, text.grad


def _compare(got, want):
    scale = float(max(w.abs().max() for w in want))
    for g, w in zip(got, want, strict=True):
        assert_close(g.double(), w, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"alpha": 3.0, "distill_temperature": 0.1},
        {"reduction": "batchmean"},
        {"reduction": "mean", "distill_temperature": 0.2},
        {"drop_diagonal": True},
        {"drop_diagonal": True, "reduction": "mean"},
    ],
)
def test_mod_x_is_the_published_formula(changes, paired, monkeypatch):
    for seed in range(3):
        *rows, target = _draw(seed, paired)
        row_loss = _mod_x_row(
            changes.get("distill_temperature", 1.0), changes.get("drop_diagonal", False)
        )
        candidates = len(rows[1]) - changes.get("drop_diagonal", False)
        parts = {"batchmean": 8, "mean": 8 * candidates}.get(changes.get("reduction"), 1)
        want = _reference(rows, target, changes.get("alpha", 20.0), row_loss, parts)
        _compare(_method_loss("mod-x", rows, target, monkeypatch, **changes), want)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strength": 2.5, "distill_temperature": 0.5},
        {"rpk": "none"},
        {"rnk_mix": 0.3},
        {"rnk_mix": 1.0, "rpk": "none"},
    ],
)
def test_dkr_is_its_three_cases(changes, paired, monkeypatch):
    for seed in range(3):
        *rows, target = _draw(seed, paired)
        t = changes.get("distill_temperature")
        row_loss = _dkr_row(
            SCALE if t is None else 1 / t, changes.get("rnk_mix", 0.0), changes.get("rpk", "onehot")
        )
        want = _reference(rows, target, changes.get("strength", 1.0), row_loss, 8)
        _compare(_method_loss("dkr", rows, target, monkeypatch, **changes), want)


def test_the_draws_hold_all_cases():
    """Without old errors, or without rows in which both err, the tests above would prove less."""
    for paired in (True, False):
        cases = set()
        for seed in range(3):
            old_image, old_text, image, text, target = _draw(seed, paired)
            old, new = is_right(old_image @ old_text.T, target), is_right(image @ text.T, target)
            cases |= set(zip(old.tolist(), new.tolist(), strict=True))
        assert len(cases) == 4


def test_dkr_without_both_wrong_is_mod_x_with_a_mean(monkeypatch):
    for seed in range(3):
        *rows, target = _draw(seed)
        ours = {"strength": 20.0, "rpk": "none", "distill_temperature": 1.0}
        theirs = {"alpha": 20.0, "reduction": "batchmean"}
        one = _method_loss("dkr", rows, target, monkeypatch, **ours)
        two = _method_loss("mod-x", rows, target, monkeypatch, **theirs)
        _compare(one, [x.double() for x in two])


@pytest.mark.parametrize("name", ["mod-x", "dkr"])
def test_a_model_that_has_not_moved_is_not_pulled(name, monkeypatch):
    """Where the old model is right; DKR has the matching loss's pull where both are wrong."""
    *rows, target = _draw(0)
    changes = {} if name == "mod-x" else {"rpk": "none"}
    value, *gradients = _method_loss(name, rows[:2] * 2, target, monkeypatch, **changes)
    assert abs(float(value)) < 1e-5
    assert all(float(g.abs().max()) < 1e-5 for g in gradients)


def test_a_row_of_an_old_error_has_no_gradient_at_all(monkeypatch):
    """Not even by rounding: with alpha 20 and many steps it would drift."""
    old_image, _, image, text, target = _draw(1)
    old_text = old_image.roll(1, dims=0)[target.argsort()]  # every image fits its neighbour's
    assert not is_right(old_image @ old_text.T, target).any()
    assert not is_right(old_text @ old_image.T, target.argsort()).any()
    rows = (old_image, old_text, image, text)
    value, *gradients = _method_loss("mod-x", rows, target, monkeypatch, alpha=1e6)
    assert float(value) == 0
    assert all(float(g.abs().max()) == 0 for g in gradients)


def test_a_batch_of_one(monkeypatch):
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for name in ("mod-x", "dkr"):
        changes = {"drop_diagonal": True} if name == "mod-x" else {}
        value, *_ = _method_loss(name, (one,) * 4, torch.tensor([0]), monkeypatch, **changes)
        assert float(value) == 0


# -- the toolkit


def test_directions_follow_the_targets():
    image, text, *_, target = _draw(0)
    rows = directions(Features(image, text, torch.tensor(1.0), target, True))
    assert len(rows) == 2
    (by_image, to_text), (by_text, to_image) = rows
    assert by_image.T.equal(by_text)
    assert to_text.equal(target)
    assert to_image[target].equal(torch.arange(8))
    assert len(directions(Features(image, text, torch.tensor(1.0), target, False))) == 1


def test_divergence_of_zeros_and_of_equals():
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    hot = F.one_hot(torch.tensor([4, 0, 2]), 5).float()
    ce = F.cross_entropy(logits, hot.argmax(dim=1), reduction="none")
    assert_close(divergence(logits, hot), ce)
    assert_close(divergence(logits, logits.softmax(dim=1)), torch.zeros(3), rtol=0, atol=1e-6)
    divergence(logits, hot).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_a_snapshot_is_apart(lab):
    """From training, from adapters that are attached to the model, and from gradients."""
    clip = lab.clip()
    tokens = lab.pairs[0].tokens_ML[:3]
    with torch.no_grad():
        before = clip.text(tokens)
    copy = snapshot(clip)
    deltas = {name: torch.clone for name in clip.sites(("attn.out_proj",))}
    with clip.adapted(deltas, ("attn.out_proj",)), torch.no_grad():
        assert copy.text(tokens).equal(before)
        assert not torch.allclose(clip.text(tokens), before, atol=1e-3)
    with torch.no_grad():
        for p in clip.parameters():
            p.add_(1)
    assert copy.text(tokens).equal(before)
    assert not any(p.requires_grad for p in copy.parameters())
    assert not copy.training


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_features_of_the_untouched_backbone_are_those_of_its_copy(kind, lab):
    clip = lab.clip()
    feed = lab.feed(clip)
    batch = next(iter(lab.task(feed, lab.sets(kind)[0], 0, 1).loader.epoch(0)))
    new = lab.method("ft", feed).features(batch)
    cached, passed = (teacher_features(teacher, batch, new) for teacher in (None, snapshot(clip)))
    for old in (cached, passed):
        assert not old.image_BD.requires_grad
        assert not old.text_MD.requires_grad
        assert_close(old.image_BD, new.image_BD.detach(), rtol=0, atol=1e-5)
        assert_close(old.text_MD, new.text_MD.detach(), rtol=0, atol=1e-5)
        assert old.target_B is new.target_B


@pytest.mark.parametrize(
    ("name", "hp", "words"),
    [
        ("mod-x", "alpha=-1", "alpha >= 0"),
        ("mod-x", "distill_temperature=0", "distill_temperature > 0"),
        ("mod-x", "reduction=max", "sum, batchmean, mean"),
        ("mod-x", "lr=-1", "lr"),
        ("dkr", "strength=-1", "strength >= 0"),
        ("dkr", "distill_temperature=0", "distill_temperature > 0"),
        ("dkr", "rnk_mix=1.5", r"rnk_mix in \[0, 1\]"),
        ("dkr", "rnk_mix=-0.5", r"rnk_mix in \[0, 1\]"),
        ("dkr", "rpk=both", "onehot, none"),
        ("dkr", "lr=-1", "lr"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, hp, words):
    with pytest.raises(BenchError, match=words):
        find_method(name, [hp])
