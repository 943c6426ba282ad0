"""The map in one function is the formula in many: values, gradients, and the same draws."""

from typing import Any

import pytest
import torch
from lanes import lanes
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from benchmark.backbones.load import load
from benchmark.backbones.sites import MAPS
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.low_rank import add_low_rank, dropout, low_rank, mapped, mask

B, L, IN, OUT, R = 3, 5, 6, 4, 2


def _draw(*shape, grad=True, seed=0):
    g = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=g, dtype=torch.float64).requires_grad_(grad)


def _parts(gated, bias=True) -> Any:
    x, a, b = _draw(B, L, IN), _draw(R, IN), _draw(OUT, R)
    weight = _draw(OUT, IN, grad=False, seed=1)
    return x, a, b, _draw(R) if gated else None, weight, _draw(OUT, grad=False) if bias else None


@pytest.mark.parametrize("bias", lanes([True, False], [True]))
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_the_gradients_are_those_of_finite_differences(drop, gated, bias):
    x, a, b, gate, weight, offset = _parts(gated, bias)

    def whole(x, a, b, gate):
        torch.manual_seed(7)  # the same mask in every evaluation
        return mapped(x, weight, offset, (a, b), 1.7, gate, drop)

    assert gradcheck(whole, (x, a, b, gate))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_it_equals_automatic_differentiation_of_the_formula_with_the_same_draws(drop, gated, dtype):
    found: list[tuple[Tensor, ...]] = []
    for fused in (True, False):
        parts: Any = [
            None if t is None else t.detach().to(dtype).requires_grad_(t.requires_grad)
            for t in _parts(gated)
        ]
        x, a, b, gate, weight, bias = parts
        torch.manual_seed(7)
        if fused:
            y = mapped(x, weight, bias, (a, b), 1.7, gate, drop)
        else:
            low = F.linear(dropout(x, drop), a) * 1.7
            y = F.linear(x, weight, bias) + F.linear(low if gate is None else low * gate, b)
        y.sin().sum().backward()
        draws = torch.get_rng_state()
        found.append((y.detach(), *(t.grad for t in (x, a, b, gate) if t is not None), draws))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for one, other in zip(*found, strict=True):
        assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_what_is_not_asked_for_has_no_gradient():
    x, a, b, _, weight, bias = _parts(gated=False)
    mapped(x.detach(), weight, bias, (a, b)).sum().backward()
    assert x.grad is None
    assert_close(a.grad, (b.sum(dim=0)[:, None] * x.sum(dim=(0, 1))[None]).detach())
    assert weight.grad is None


def test_differentiated_twice_it_refuses():
    x, a, b, _, weight, bias = _parts(gated=False)
    (g,) = torch.autograd.grad(mapped(x, weight, bias, (a, b)).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_in_bf16_it_is_the_formula_in_bf16():
    x, a, b, weight, bias = (t.detach().float() for t in _parts(gated=False) if t is not None)
    for t in (x, a, b):
        t.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = mapped(x, weight, bias, (a, b), 0.5)
        wanted = F.linear(x, weight, bias) + F.linear(F.linear(x, a) * 0.5, b)
    assert y.dtype == wanted.dtype == torch.bfloat16
    assert_close(y, wanted, rtol=0.05, atol=0.1)
    got = torch.autograd.grad(y.float().sum(), (x, a, b))
    assert {g.dtype for g in got} == {torch.float32}
    for one, other in zip(got, torch.autograd.grad(wanted.float().sum(), (x, a, b)), strict=True):
        assert_close(one, other, rtol=0.05, atol=0.3)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_a_mask_drops_its_share(p):
    kept = mask((400, 500), p, torch.device("cpu"))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(float(kept.mean()) - (1 - p)) < 4 * (p * (1 - p) / 200_000) ** 0.5 + 1e-5


@pytest.mark.parametrize("rows", [1, 3, 16, 40])
@torch.no_grad()
def test_in_place_a_row_has_the_same_bits_in_every_company(rows):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 1, 128, generator=g), torch.randn(40, 1, 512, generator=g)
    a, b = torch.randn(8, 128, generator=g), torch.randn(512, 8, generator=g)
    whole = add_low_rank(y.clone(), x, a, b, 1.5)
    assert_close(whole, y + low_rank(x, a, b, 1.5))
    piece = y[:rows].clone()
    assert add_low_rank(piece, x[:rows], a, b, 1.5) is piece
    assert piece.equal(whole[:rows])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trained_weight", [True, False])
def test_an_adapter_at_every_map_learns_as_by_plain_differentiation(trained_weight, training):
    """Through both towers, against deltas that offer nothing but the formula."""
    clip = load("tiny-s", "bundled").double()
    for p in clip.parameters():
        p.requires_grad_(trained_weight)
    adapter = LoRA(clip, MAPS, 4, 8.0, 0.0, torch.Generator().manual_seed(0)).double()
    adapter.train(training)
    for p in adapter.B.values():
        torch.nn.init.normal_(p, std=0.05)
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)).double()
    tokens = clip.tokenize(["a red circle", "two small blue squares"])
    plain = {n: (lambda x, d=d: d(x)) for n, d in adapter.deltas().items()}
    found = []
    for deltas in (adapter.deltas(), plain):
        clip.zero_grad()
        adapter.zero_grad()
        with clip.adapted(deltas, MAPS):
            rows = clip.image(pixels), clip.text(tokens)
        torch.stack([(r * torch.linspace(-1, 1, 128)).sum() for r in rows]).sum().backward()
        learned = [*adapter.parameters(), *(clip.weights() if trained_weight else [])]
        found.append([*rows, *(p.grad for p in learned)])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)
