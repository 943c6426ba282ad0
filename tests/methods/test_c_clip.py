"""C-CLIP: its loss by hand, what is trained, and what a task leaves behind."""

import math
from typing import Any

import pytest
import torch
from lanes import lanes
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.known import describe
from benchmark.backbones.open_clip import build
from benchmark.errors import BenchError
from benchmark.protocol.method import no_grad_after_task
from benchmark.protocol.types import Batch, Images, Texts
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from methods.c_clip import CCLIP, CCLIPConfig

SMALL = {"projector_width": 32}


def _start(lab, index=0, **changes):
    """A method after before_task, and the task."""
    feed = lab.feed(lab.clip())
    method = lab.method("c-clip", feed, **SMALL | changes)
    task = lab.task(feed, lab.pairs[index], 0, 2)
    method.before_task(task)
    return method, task


# -- the loss


def _projected(projector, x):
    """Linear, BatchNorm with the batch's own mean and variance, ReLU, Linear; in float64."""
    first, norm, _, second = projector
    h = x @ first.weight.double().T + first.bias.double()
    h = (h - h.mean(dim=0)) / (h.var(dim=0, unbiased=False) + norm.eps).sqrt()
    h = h * norm.weight.double() + norm.bias.double()
    return h.clamp(min=0) @ second.weight.double().T + second.bias.double()


def _consolidation(new, old, scale):
    """Mean over both directions and all rows of -log softmax at the row's own item."""
    new, old = (x / (x * x).sum(dim=1, keepdim=True).sqrt() for x in (new, old))
    total = 0.0
    for rows, others in ((new, old), (old, new)):
        for i, row in enumerate(rows):
            logits = [scale * (row * other).sum() for other in others]
            log_total = torch.stack([x.exp() for x in logits]).sum().log()
            total = total + (log_total - logits[i]) / len(rows) / 2
    return total


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("concat", ["batch", "feature"])
def test_consolidation_by_hand(concat, paired, lab, monkeypatch):
    method, _ = _start(lab, ckc_concat=concat)
    g = torch.Generator().manual_seed(0)
    texts = 6 if paired else 4
    target = torch.arange(6) if paired else torch.tensor([3, 0, 0, 1, 2, 3])
    new, old = (
        [torch.randn(n, 128, generator=g) * (1 + 4 * (n == texts)) for n in (6, texts)]
        for _ in range(2)
    )
    old = [n + 0.5 * o for n, o in zip(new, old, strict=True)]
    for p in method.projector.parameters():  # also the norm's, which start at 1 and 0
        p.data += torch.randn(p.shape, generator=g) / 10
    monkeypatch.setattr(method, "_old", lambda _: old)
    method.clip.logit_scale.data.fill_(math.log(6.0))
    batch = Batch(Images(new[0], lambda: old[0]), Texts(new[1], lambda: old[1]), target, paired)

    leaves = [x.clone().requires_grad_(True) for x in new]
    got = method._consolidation(batch, *leaves)
    got.backward()

    exact = [x.double().requires_grad_(True) for x in new]
    parts = [_projected(method.projector, x) for x in exact], [x.double() for x in old]
    if concat == "batch":
        rows, others = (torch.cat(x) for x in parts)
    else:
        rows, others = (torch.cat([image, text[target]], dim=1) for image, text in parts)
    want = _consolidation(rows, others, 6.0)
    want.backward()
    assert float(got.detach()) == pytest.approx(float(want.detach()), rel=1e-5)
    for ours, theirs in zip(leaves, exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        largest = float(theirs.grad.abs().max())
        assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-5 * largest)


def test_the_old_features_are_the_teachers(lab):
    """Of length 1 from the cache where lengths do not matter, else as the towers give them."""
    found = {}
    for concat in ("batch", "feature"):
        method, task = _start(lab, ckc_concat=concat)
        found[concat] = method._old(next(iter(task.loader.epoch(0))))
    for unit_rows, raw in zip(found["batch"], found["feature"], strict=True):
        assert_close(unit_rows.norm(dim=1), torch.ones(len(raw)))
        assert float((raw.norm(dim=1) - 1).abs().min()) > 0.1
        assert_close(F.normalize(raw, dim=1), unit_rows, rtol=0, atol=1e-5)


def test_loss_and_gradient_reach_all_that_is_trained(lab):
    method, task = _start(lab, dropout=0.0)
    for b in method.adapter.B.values():  # while B is zero, A has no gradient
        b.data.normal_(generator=torch.Generator().manual_seed(0)).div_(50)
    fit = Fit(method, task, lab.recipe, (0,))
    fit._only_trainable()
    batch = next(iter(task.loader.epoch(0)))
    fit._gradients(batch)
    terms = method.loss(batch)
    assert list(terms) == ["match", "ckc"]
    flat = [n for n, p in method.named_parameters() if p.requires_grad and not p.grad.any()]
    # The norm takes the mean of each hidden unit away, and with it that layer's bias.
    assert set(flat) <= {"projector.0.bias"}


def test_a_batch_of_one_is_refused(lab):
    method, task = _start(lab)
    batch = next(iter(task.loader.epoch(0)))
    one = Batch(
        batch.images[torch.tensor([0])], batch.texts[torch.tensor([0])], torch.zeros(1), True
    )
    with pytest.raises(BenchError, match=r"two images and two texts .*--batch-size"):
        method.loss(one)


# -- what is trained


def test_all_outside_the_blocks_but_the_patches_and_the_scale(lab):
    method, _ = _start(lab)
    names = {id(p): n for n, p in method.named_parameters()}
    got = {names[id(p)] for group in method.trainable() for p in group.params}
    own = {n for n in got if n.startswith("clip.")}
    assert own == {f"clip.{n}" for n in ("visual.class_embedding", "visual.positional_embedding",
                   "visual.proj", "visual.ln_pre.weight", "visual.ln_pre.bias",
                   "visual.ln_post.weight", "visual.ln_post.bias", "positional_embedding",
                   "text_projection", "token_embedding.weight", "ln_final.weight",
                   "ln_final.bias")}  # fmt: skip
    assert {n.partition(".")[0] for n in got - own} == {"adapter", "projector"}
    assert len(got - own) == len(list(method.adapter.parameters())) + 6


def test_number_of_trained_scalars_is_the_papers(lab, monkeypatch):
    """29,096,961 with the similarity scale, which the paper trains and we do not."""
    unused: Any = torch.empty  # for a tokenizer, as no text is read
    no_tools: Any = None
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)  # none to move
    with torch.device("meta"):
        clip = build(describe("ViT-B-16-quickgelu"), unused)
    method = CCLIP(clip, CCLIPConfig(), no_tools)
    task = lab.task(lab.feed(lab.clip()), lab.pairs[0], 0, 1)
    method.before_task(task)
    count = sum(p.numel() for group in method.trainable() for p in group.params)
    assert method.projector is not None
    projector = sum(p.numel() for p in method.projector.parameters())
    assert projector == 512 * 2048 + 2048 + 2 * 2048 + 2048 * 512 + 512
    assert count - projector == 29_096_961 - 1


# -- integration


@pytest.fixture(scope="module")
def moved(lab):
    """Config -> the model before a task, unmerged and trained, and after the task."""

    def train(**changes):
        method, task = _start(lab, **changes)
        start = {k: v.clone() for k, v in method.clip.state_dict().items()}
        Fit(method, task, lab.recipe, (0,)).run(lambda *_: None)
        g = torch.Generator().manual_seed(0)
        for b in method.adapter.B.values():  # a few steps leave B too small to tell merges apart
            b.data += torch.randn(b.shape, generator=g) / 20
        method.eval()
        trained = {k: v.clone() for k, v in method.clip.state_dict().items()}
        change = {
            name: method.adapter.scale * method.adapter.B[k].double() @ method.adapter.A[k].double()
            for name, k in method.adapter.names.items()
        }
        pixels = next(iter(task.loader.epoch(0))).images.pixels_B3HW
        tokens = lab.pairs[0].tokens_ML[:8]
        with torch.no_grad(), method.clip.adapted(method.adapter.deltas(), method.adapter.targets):
            unmerged = method.clip.image(pixels), method.clip.text(tokens)
        no_grad_after_task(method, task)
        with torch.no_grad():
            merged = method.clip.image(pixels), method.clip.text(tokens)
        return start, trained, change, method, unmerged, merged

    return train


def _site_key(name):
    tower, block, rest = name.split(".", 2)
    return f"{'visual.' if tower == 'image' else ''}transformer.resblocks.{block}.{rest}.weight"


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("share", lanes([0.5, 0.3], [0.3]))
def test_a_share_of_the_change_is_kept(share, both, moved):
    start, trained, change, method, *_ = moved(integration_alpha=share, integrate_non_lora=both)
    deltas = {_site_key(name): delta for name, delta in change.items()}
    changed = 0
    for name, got in method.clip.state_dict().items():
        want = trained[name] - start[name]
        want = start[name].double() + (share if both else 1.0) * want.double()
        if name in deltas:
            assert trained[name].equal(start[name])
            want += share * deltas[name]
            changed += 1
        assert_close(got.double(), want, rtol=0, atol=1e-6)
    assert changed == len(deltas) == 3 * 7


def test_whole_integration_is_the_adapted_model(moved):
    start, trained, _, method, unmerged, merged = moved(integration_alpha=1.0)
    for one, two in zip(unmerged, merged, strict=True):
        assert_close(one, two, rtol=0, atol=1e-5)
    table = "token_embedding.weight"
    assert method.clip.state_dict()[table].equal(trained[table])
    assert not trained[table].equal(start[table])


def test_integration_of_nothing_leaves_every_bit(lab):
    run = lab.train("c-clip", lab.pairs[:2], integration_alpha=0.0, **SMALL)
    start = lab.clip().state_dict()
    assert all(v.equal(start[k]) for k, v in run.method.clip.state_dict().items())
    assert min(run.moved) > 0


def test_every_task_has_new_adapters_and_a_new_projector(lab):
    first, second = _start(lab)[0], _start(lab, 1)[0]
    assert not first.projector[0].weight.equal(second.projector[0].weight)
    key = next(iter(first.adapter.A))
    assert not first.adapter.A[key].equal(second.adapter.A[key])
    assert _start(lab)[0].projector[0].weight.equal(first.projector[0].weight)
    assert float(first.projector[0].weight.detach().abs().max()) <= 128**-0.5
    assert float(first.projector[3].bias.detach().abs().max()) <= 32**-0.5


@pytest.mark.parametrize(
    ("hp", "words"),
    [
        (["rank=0"], "rank >= 1"),
        (["dropout=1"], "dropout"),
        (["targets="], "target"),
        (["projector_width=0"], "projector_width >= 1"),
        (["ckc_concat=both"], "batch, feature"),
        (["integration_alpha=1.1"], r"integration_alpha in \[0, 1\]"),
        (["integration_alpha=-0.1"], r"integration_alpha in \[0, 1\]"),
        (["integration_alpha=1", "integrate_non_lora=false"], "integrate_non_lora"),
        (["lr=-1"], "lr"),
    ],
)
def test_settings_that_mean_nothing_are_refused(hp, words):
    with pytest.raises(BenchError, match=words):
        find_method("c-clip", hp)
