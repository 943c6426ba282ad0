"""EWC: the Fisher information by hand, and the algebra of its quadratics."""

import math
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from lanes import lanes
from torch import nn
from torch.testing import assert_close

from benchmark.api import matching
from benchmark.errors import BenchError
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from methods.ewc import EWC, EWCConfig


def _flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def _by_hand(lab, clip, data, most=None):
    """Mean over batches of squared gradients, in float64, from the definition of the loss."""
    feed = lab.feed(lab.clip())
    loader = lab.task(feed, data, 0, 1).loader
    clip = clip.double()
    squares = []
    for batch in islice(loader.epoch(0), most):
        for p in clip.parameters():
            p.requires_grad_(True).grad = None
        image = clip.image_tower(clip.embed_image(batch.images.pixels_B3HW.double()))
        tokens = batch.texts.tokens_ML
        text = clip.text_tower(clip.embed_text(tokens), tokens.argmax(dim=1))
        image, text = (x / (x * x).sum(dim=1, keepdim=True).sqrt() for x in (image, text))
        logits = math.exp(clip.logit_scale.item()) * image @ text.T
        log_rows = logits - logits.exp().sum(dim=1, keepdim=True).log()
        target = batch.target_B.tolist()
        loss = -sum(log_rows[i, t] for i, t in enumerate(target)) / len(target)
        if batch.paired:
            log_columns = logits - logits.exp().sum(dim=0, keepdim=True).log()
            loss = (loss - sum(log_columns[i, t] for i, t in enumerate(target)) / len(target)) / 2
        loss.backward()
        squares.append(_flat(p.grad**2 for p in clip.weights()))
    return torch.stack(squares).mean(dim=0)


def _close(got, want, rtol=1e-3):
    """Relative to the largest entry and in norm: tiny entries are rounding of float32."""
    assert got.dtype == torch.float32
    got = got.double()
    assert float((got - want).norm()) <= rtol * float(want.norm())
    assert float((got - want).abs().max()) <= rtol * float(want.max())


@pytest.mark.parametrize("kind", lanes(["pairs", "labelled"], ["pairs"]))
def test_fisher_by_hand(kind, lab):
    data = lab.sets(kind)[0]
    run = lab.train("ewc", (data,), fisher_norm="none")
    want = _by_hand(lab, run.method.clip, data)
    _close(run.method.fisher_N, want)
    root = lab.train("ewc", (data,)).method.fisher_N  # the default
    _close(root, want / want.mean().sqrt())
    assert float((want > 0).double().mean()) > 0.3


def test_fisher_of_the_first_batches_alone(lab):
    feed = lab.feed(lab.clip())
    first = lab.method("ewc", feed, fisher_batches=1, fisher_norm="none")
    got = first._fisher(lab.task(feed, lab.pairs[0], 0, 1))
    _close(got, _by_hand(lab, lab.clip(), lab.pairs[0], most=1))
    every = lab.method("ewc", feed, fisher_batches=99, fisher_norm="none")
    most = every._fisher(lab.task(feed, lab.pairs[0], 0, 1))
    assert float((most - got).norm()) > 0.1 * float(most.norm())


@pytest.mark.parametrize("times", [0.01, 7.0])
def test_the_penalty_keeps_its_share_of_a_loss_of_any_scale(times, lab, monkeypatch):
    """Batches of another size and models of another width scale the gradient: strength stays."""
    feed = lab.feed(lab.clip())

    def fisher():
        return lab.method("ewc", feed)._fisher(lab.task(feed, lab.pairs[0], 0, 1))

    plain = fisher()
    monkeypatch.setattr("methods.ewc.matching", lambda f: times * matching(f))
    _close(fisher(), times * plain.double())


def test_a_token_that_no_caption_has_is_free(lab):
    feed = lab.feed(lab.clip())
    method = lab.method("ewc", feed)
    fisher_N = method._fisher(lab.task(feed, lab.pairs[0], 0, 1))
    table, start = method.clip.token_embedding.weight, 0
    for p in method.clip.weights():
        if p is table:
            break
        start += p.numel()
    rows = fisher_N[start:][: table.numel()].view_as(table).sum(dim=1)
    batches = lab.task(feed, lab.pairs[0], 0, 1).loader.epoch(0)
    used = torch.cat([b.texts.tokens_ML.flatten() for b in batches]).unique()
    used = used[used > 0]  # 0 is the padding after the end of a text
    assert bool((rows[used] > 0).all())
    rows[used] = 0
    assert float(rows.abs().sum()) == 0


@pytest.mark.parametrize("norm", lanes(["max", "mean"], ["mean"]))
def test_a_normalised_fisher_is_the_same_up_to_its_scale(norm, lab):
    feed = lab.feed(lab.clip())
    plain, got = (
        lab.method("ewc", feed, fisher_norm=n)._fisher(lab.task(feed, lab.pairs[0], 0, 1))
        for n in ("none", norm)
    )
    assert float(got.max() if norm == "max" else got.mean()) == pytest.approx(1, rel=1e-5)
    assert_close(got / got.max(), plain / plain.max(), rtol=1e-5, atol=0)


def test_the_pass_for_the_fisher_leaves_no_gradient_and_no_change(lab):
    feed = lab.feed(lab.clip())
    method = lab.method("ewc", feed)
    task = lab.task(feed, lab.pairs[0], 0, 1)
    before = {k: v.clone() for k, v in method.clip.state_dict().items()}
    method.eval()
    with torch.no_grad():
        method.after_task(task)
        assert not torch.is_grad_enabled()
    assert all(p.grad is None for p in method.parameters())
    assert all(v.equal(before[k]) for k, v in method.clip.state_dict().items())
    assert not method.fisher_N.requires_grad


# -- the penalty


class Few(nn.Module):
    """Stands for a backbone: ten weights in two tensors."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))

    def weights(self):
        return [self.a, self.b]

    def move(self, to_N):
        with torch.no_grad():
            self.a.copy_(to_N[:6].view(2, 3))
            self.b.copy_(to_N[6:])


def _draw(seed, tasks=3):
    g = torch.Generator().manual_seed(seed)
    places = torch.randn(tasks, 10, generator=g)
    fisher = torch.rand(tasks, 10, generator=g) ** 8  # over many orders of magnitude
    fisher[:, 0] = 0  # a weight that no task needs
    fisher[0, 1] = fisher[1, 1] = 0  # and one that the last one alone does
    return places, fisher, torch.randn(10, generator=g)


def _remembering(places, fisher, **changes):
    clip: Any = Few()
    no_tools: Any = None
    method = EWC(clip, EWCConfig(**changes), no_tools)
    for place_N, fisher_N in zip(places, fisher, strict=True):
        clip.move(place_N)
        method._remember(fisher_N.clone())
    return method


def _penalty(method, at_N):
    method.clip.move(at_N)
    method.zero_grad()
    value = method._penalty()
    value.backward()
    return value.item(), _flat(p.grad for p in method.clip.weights())


def _sum_of_quadratics(places, fisher, at_N, strength):
    value, gradient = 0.0, torch.zeros(10, dtype=torch.float64)
    for place_N, fisher_N in zip(places.double(), fisher.double(), strict=True):
        change_N = at_N.double() - place_N
        value += strength / 2 * float((fisher_N * change_N**2).sum())
        gradient += strength * fisher_N * change_N
    return value, gradient


@pytest.mark.parametrize("seed", range(5))
def test_separate_is_the_sum_over_tasks(seed):
    places, fisher, at_N = _draw(seed)
    got = _penalty(_remembering(places, fisher, mode="separate", strength=3.0), at_N)
    want = _sum_of_quadratics(places, fisher, at_N, 3.0)
    assert got[0] == pytest.approx(want[0], rel=1e-5)
    assert_close(got[1].double(), want[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 0.7, 0.0])
def test_online_is_one_quadratic_around_the_last_weights(gamma):
    places, fisher, at_N = _draw(0)
    got = _penalty(_remembering(places, fisher, gamma=gamma, strength=3.0), at_N)
    decayed = sum(gamma ** (2 - t) * fisher[t].double() for t in range(3))
    want = _sum_of_quadratics(places[2:], decayed[None], at_N, 3.0)
    assert got[0] == pytest.approx(want[0], rel=1e-5)
    assert_close(got[1].double(), want[1], rtol=1e-5, atol=1e-6)


def test_where_online_equals_separate():
    """After one task, and while the weights do not move; in no other case."""
    places, fisher, at_N = _draw(1)
    cases = {"one task": (places[:1], fisher[:1]), "one place": (places[[1, 1, 1]], fisher)}
    for case, args in cases.items():
        online, separate = (
            _penalty(_remembering(*args, mode=m), at_N) for m in ("online", "separate")
        )
        assert online[0] == pytest.approx(separate[0], rel=1e-6), case
        assert_close(online[1], separate[1], rtol=1e-6, atol=1e-6)
    online, separate = (
        _penalty(_remembering(places, fisher, mode=m), at_N) for m in ("online", "separate")
    )
    assert not torch.allclose(online[1], separate[1], rtol=0.1)


def test_at_the_remembered_weights_the_penalty_and_its_pull_are_zero():
    places, fisher, _ = _draw(2)
    value, gradient = _penalty(_remembering(places, fisher), places[2])
    assert value == 0
    assert float(gradient.abs().max()) == 0


def test_the_penalty_holds_what_it_says_it_holds(lab):
    """After a second task, the F-weighted distance from the first is a fraction of FT's."""
    start, distance = lab.train("ewc", lab.pairs[:1]), []
    for strength in (0.0, 1e6):
        method = deepcopy(start.method)
        method.config = replace(method.config, strength=strength)
        task = lab.task(lab.feed(method.clip), lab.pairs[1], 1, 2)
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        with torch.no_grad():
            change_N = _flat(method.clip.weights()) - method.anchor_N
        distance.append(float((method.fisher_N * change_N**2).sum()))
    assert distance[1] < 0.5 * distance[0]


def test_the_pretrained_model_as_a_task_before_the_first(lab):
    feed = lab.feed(lab.clip())
    method = lab.method("ewc", feed, anchor_pretrained=True, strength=1e6, fisher_norm="none")
    task = lab.task(feed, lab.pairs[0], 0, 1)
    method.before_task(task)
    assert method.anchor_N.equal(_flat(lab.clip().weights()))
    _close(method.fisher_N, _by_hand(lab, lab.clip(), lab.pairs[0]))
    terms, real = [], method.loss

    def loss(batch):
        found = real(batch)
        terms.append(found["ewc"].item())
        return found

    method.loss = loss
    Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
    assert terms[0] == 0
    assert terms[-1] > 0


@pytest.mark.parametrize(
    ("hp", "words"),
    [
        (["strength=-1"], "strength >= 0"),
        (["gamma=1.1"], r"gamma in \[0, 1\]"),
        (["gamma=-0.1"], r"gamma in \[0, 1\]"),
        (["fisher_batches=0"], "fisher_batches >= 1"),
        (["mode=latest"], "online, separate"),
        (["fisher_norm=sum"], "none, root, max, mean"),
        (["mode=separate", "gamma=0.9"], "gamma = 1"),
        (["lr=-1"], "lr"),
    ],
)
def test_settings_that_mean_nothing_are_refused(hp, words):
    with pytest.raises(BenchError, match=words):
        find_method("ewc", hp)
