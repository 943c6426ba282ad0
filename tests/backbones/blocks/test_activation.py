"""QuickGELU is its formula, in value and all derivatives."""

import open_clip
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from benchmark.backbones.blocks.activation import QuickGELU
from benchmark.backbones.load import load


def _x(*shape, dtype=torch.float64):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    return x.to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_formula(dtype):
    tolerance = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    x = _x(50, 7, dtype=dtype)
    exact = x.detach().double().requires_grad_()
    wanted = exact * torch.sigmoid(1.702 * exact)
    y = QuickGELU()(x)
    assert y.dtype == dtype
    assert_close(y.double(), wanted, rtol=tolerance, atol=tolerance)
    assert QuickGELU()(x.detach()).equal(y)
    y.sum().backward()
    wanted.sum().backward()
    assert_close(x.grad.double(), exact.grad, rtol=tolerance, atol=tolerance)


def test_it_can_be_differentiated_once_and_twice_and_mapped_over():
    assert gradcheck(QuickGELU(), (_x(5, 3),))
    assert gradgradcheck(QuickGELU(), (_x(5, 3),))
    x = _x(6, 4).detach()
    single = torch.func.grad(lambda v: QuickGELU()(v).square().sum())
    rows = torch.stack([single(row) for row in x])
    assert_close(torch.func.vmap(single)(x), rows)


def test_far_out_it_is_the_identity_or_nothing():
    x = torch.tensor([-1e30, -200.0, 0.0, 200.0, 1e30], requires_grad=True)
    y = QuickGELU()(x)
    y.sum().backward()
    assert_close(y, torch.tensor([0.0, 0.0, 0.0, 200.0, 1e30]))
    assert_close(x.grad, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


def test_the_input_stays_as_it_was():
    for grad in (True, False):
        x = _x(4).requires_grad_(grad)
        before = x.detach().clone()
        QuickGELU()(x)
        assert x.equal(before)


def test_a_model_has_it_where_open_clip_has_its_own():
    clip = load("tiny-s", "bundled")
    own = [m for m in clip.modules() if isinstance(m, open_clip.transformer.QuickGELU)]
    assert own == []
    assert sum(isinstance(m, QuickGELU) for m in clip.modules()) == 7
