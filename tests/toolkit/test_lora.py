"""Adapters: what they change, what learns, and that outputs are merged weights."""

import pytest
import torch
from torch.testing import assert_close

from benchmark.backbones.sites import PROJECTIONS
from benchmark.toolkit.lora import LoRA

ALL = ("attn.q", "attn.k", "attn.v", *PROJECTIONS)


def _adapter(clip, seed, rank=4, alpha=6.0, targets=PROJECTIONS, dropout=0.0):
    g = torch.Generator().manual_seed(seed)
    adapter = LoRA(clip, targets, rank, alpha, dropout, g)
    with torch.no_grad():
        for b in adapter.B.values():
            b.copy_(torch.randn(b.shape, generator=g) / 20)
    return adapter.eval()


@pytest.fixture
def pixels():
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _image(clip, deltas, pixels, targets=PROJECTIONS):
    with clip.adapted(deltas, targets):
        return clip.image(pixels)


def test_a_new_adapter_changes_no_bit_and_all_of_it_learns(clip, pixels, lab):
    adapter = LoRA(clip, ALL, 4, 8.0, 0.0, torch.Generator().manual_seed(0))
    tokens = lab.pairs[0].tokens_ML[:3]
    with torch.no_grad():
        plain = clip.image(pixels), clip.text(tokens)
    with clip.adapted(adapter.deltas(), ALL):
        adapted = clip.image(pixels), clip.text(tokens)
    for x, y in zip(adapted, plain, strict=True):
        assert x.equal(y)
    sum(x.cumsum(dim=1).sum() for x in adapted).backward()
    assert len(adapter.B) == 6 * 7
    assert all(float(b.grad.abs().sum()) > 0 for b in adapter.B.values())
    assert all(float(a.grad.abs().sum()) == 0 for a in adapter.A.values())  # B is still zero


def test_every_factor_learns_once_b_is_not_zero(clip, pixels, lab):
    adapter = _adapter(clip, 0, targets=ALL)
    with clip.adapted(adapter.deltas(), ALL):
        x = clip.image(pixels).cumsum(dim=1).sum()
        y = clip.text(lab.pairs[0].tokens_ML[:3]).cumsum(dim=1).sum()
        (x + y).backward()
    for name, p in adapter.named_parameters():
        assert float(p.grad.abs().sum()) > 0, name


def test_shapes_start_and_seed(clip):
    g = torch.Generator().manual_seed(0)
    adapter = LoRA(clip, ("mlp.c_fc",), 4, 8.0, 0.0, g)
    again = LoRA(clip, ("mlp.c_fc",), 4, 8.0, 0.0, torch.Generator().manual_seed(0))
    other = LoRA(clip, ("mlp.c_fc",), 4, 8.0, 0.0, g)
    assert adapter.scale == 2.0
    for key, a in adapter.A.items():
        assert a.shape == (4, 128)
        assert adapter.B[key].shape == (512, 4)
        assert float(a.detach().abs().max()) <= 128**-0.5
        assert float(a.detach().std()) > 0.04
        assert a.equal(again.A[key])
        assert not a.equal(other.A[key])
    assert not set(dict(adapter.named_parameters())) & set(dict(clip.named_parameters()))


@torch.no_grad()
def test_one_adapter_is_the_merged_weight(clip, pixels):
    adapter = _adapter(clip, 1, targets=ALL).double()
    clip.double()
    x = pixels.double()
    got = _image(clip, adapter.deltas(), x, ALL)
    for name, site in clip.sites(ALL).items():
        key = adapter.names[name]
        site.weight.add_(adapter.scale * adapter.B[key] @ adapter.A[key])
    assert_close(clip.image(x), got, rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only(clip, pixels):
    adapter = _adapter(clip, 1, dropout=0.5)
    calm = _image(clip, adapter.deltas(), pixels)
    assert _image(clip, adapter.deltas(), pixels).equal(calm)
    adapter.train()
    torch.manual_seed(0)
    one, two = (_image(clip, adapter.deltas(), pixels) for _ in range(2))
    assert not one.equal(two)
    torch.manual_seed(0)
    assert _image(clip, adapter.deltas(), pixels).equal(one)
