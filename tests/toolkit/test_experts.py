"""Experts side by side against their formula, item by item in float64."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from benchmark.toolkit.experts import mix_experts

WIDTH, HIDDEN = 6, 4


def _drawn(count, batch, length, top_k, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=g, dtype=dtype).requires_grad_()

    shapes = ((HIDDEN, WIDTH), (HIDDEN,), (WIDTH, HIDDEN), (WIDTH,))
    experts = [tuple(draw(*shape) for shape in shapes) for _ in range(count)]
    # The last expert is taken by nobody.
    index = torch.stack([torch.randperm(count - 1, generator=g)[:top_k] for _ in range(batch)])
    return draw(batch, length, WIDTH), index, draw(batch, top_k), experts


def _formula(x_BLW, index_BK, gate_BK, experts):
    rows = []
    for x, index, gate in zip(x_BLW, index_BK.tolist(), gate_BK, strict=True):
        row = torch.zeros_like(x)
        for e, g in zip(index, gate, strict=True):
            down, b, up, c = experts[e]
            row = row + g * ((x @ down.T + b).clamp(min=0) @ up.T + c)
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize(("count", "batch", "length", "top_k"), [
    (5, 7, 3, 2), (2, 1, 1, 1), (4, 3, 20, 3), (9, 2, 1, 2),
])  # fmt: skip
def test_values_and_gradients_are_the_formulas(count, batch, length, top_k):
    x, index, gate, experts = _drawn(count, batch, length, top_k)
    inputs = [x, gate, *(p for maps in experts for p in maps)]
    found = []
    for way in (mix_experts, _formula):
        y = way(x, index, gate, experts)
        found.append([y, *torch.autograd.grad(y.sin().sum(), inputs, allow_unused=True)])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_close(one, other, rtol=1e-10, atol=1e-10)
    taken = set(index.flatten().tolist())
    for e in range(count):
        grads = found[0][3 + 4 * e : 7 + 4 * e]
        assert all((grad is not None) == (e in taken) for grad in grads)
    with torch.no_grad():
        assert mix_experts(x, index, gate, experts).equal(found[0][0])


def test_gradients_with_dropped_units_are_those_of_the_same_mask():
    x, index, gate, experts = _drawn(4, 3, 2, 2)

    def mixed(x, gate, *params):
        torch.manual_seed(5)
        experts = [params[4 * e : 4 * e + 4] for e in range(4)]
        return mix_experts(x, index, gate, experts, drop=0.5)

    params = [p for maps in experts for p in maps]
    assert not mixed(x, gate, *params).equal(mix_experts(x, index, gate, experts))
    assert gradcheck(mixed, (x, gate, *params))


def test_a_frozen_expert_has_no_gradient_and_lets_the_items_through():
    x, index, gate, experts = _drawn(3, 4, 2, 2)
    want = torch.autograd.grad(mix_experts(x, index, gate, experts).sum(), x)[0]
    for p in experts[0]:
        p.requires_grad_(False)
    mix_experts(x, index, gate, experts).sum().backward()
    assert x.grad.equal(want)
    assert all(p.grad is None for p in experts[0])
    assert all(p.grad is not None for p in experts[1])


@torch.no_grad()
def test_bits_of_an_item_do_not_depend_on_its_neighbours():
    """By one token or more, alone at its experts or in company."""
    for length in (1, 2, 5, 17):
        x, index, gate, experts = _drawn(6, 40, length, 2, dtype=torch.float32)
        whole = mix_experts(x, index, gate, experts)
        for rows in (slice(0, 1), slice(39, 40), slice(3, 20)):
            assert mix_experts(x[rows], index[rows], gate[rows], experts).equal(whole[rows])


def test_under_autocast_products_are_in_its_precision_and_what_is_added_in_the_streams():
    x, index, gate, experts = _drawn(4, 6, 5, 2, dtype=torch.float32)
    want = mix_experts(x, index, gate, experts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = mix_experts(x, index, gate, experts)
    assert got.dtype == x.dtype
    assert not got.equal(want)
    assert_close(got, want, rtol=0.05, atol=0.2)
    got.sum().backward()
    assert {p.grad.dtype for p in (x, gate, *experts[int(index[0, 0])])} == {torch.float32}
