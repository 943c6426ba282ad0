"""Adapters: a weighted sum of outputs is the merged weight, per item."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from benchmark.backbones.sites import PROJECTIONS
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging.mixed import weighted_deltas

ALL = ("attn.q", "attn.k", "attn.v", *PROJECTIONS)
EACH = torch.arange(3).expand(4, 3)  # index_BK: every item uses all three adapters
FIRST = torch.zeros(4, 1, dtype=torch.int64)


def _adapter(clip, seed, rank=4, alpha=6.0, targets=PROJECTIONS, dropout=0.0):
    g = torch.Generator().manual_seed(seed)
    adapter = LoRA(clip, targets, rank, alpha, dropout, g)
    with torch.no_grad():
        for b in adapter.B.values():
            b.copy_(torch.randn(b.shape, generator=g) / 20)
    return adapter.eval()


@pytest.fixture
def three(clip):
    """Scales differ: each adapter keeps its own."""
    return [_adapter(clip, 1), _adapter(clip, 2, alpha=8.0), _adapter(clip, 3, alpha=3.0)]


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


@torch.no_grad()
def test_a_weighted_sum_is_the_merged_weight_in_float64(clip, three, pixels):
    clip.double()
    bank = [a.double() for a in three]
    weight_K, x = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), pixels.double()
    deltas = weighted_deltas(bank, EACH, weight_K.expand(4, 3))
    with clip.adapted(deltas, PROJECTIONS):
        got = clip.image_tower(clip.embed_image(x))
    for name, site in clip.sites(PROJECTIONS).items():
        for w, a in zip(weight_K, bank, strict=True):
            site.weight.add_(w * a.scale * a.B[a.names[name]] @ a.A[a.names[name]])
    assert_close(clip.image_tower(clip.embed_image(x)), got, rtol=0, atol=1e-10)


@torch.no_grad()
def test_weights_act_per_item_as_in_a_loop(clip, three):
    """On one site: the sum over adapters of weight times delta, item by item."""
    g = torch.Generator().manual_seed(5)
    weight_BK = torch.rand(4, 3, generator=g)
    for name, delta in weighted_deltas(three, EACH, weight_BK).items():
        in_dim = three[0].A[three[0].names[name]].shape[1]
        x = torch.randn(4, 7, in_dim, generator=g)
        loop = sum(weight_BK[:, k, None, None] * a.deltas()[name](x) for k, a in enumerate(three))
        assert_close(delta(x), loop, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_one_hot_weight_is_that_adapter(clip, three, pixels):
    for k, adapter in enumerate(three):
        alone = _image(clip, adapter.deltas(), pixels)
        one = torch.ones(4, 1)
        assert _image(clip, weighted_deltas([adapter], FIRST, one), pixels).equal(alone)
        hot = torch.zeros(4, 3)
        hot[:, k] = 1
        assert_close(
            _image(clip, weighted_deltas(three, EACH, hot), pixels), alone, rtol=0, atol=1e-6
        )
    rows = torch.eye(3)[[0, 1, 2, 0]]
    index_B1 = torch.tensor([[0], [1], [2], [0]])
    mixed = _image(clip, weighted_deltas(three, EACH, rows), pixels)
    short = _image(clip, weighted_deltas(three, index_B1, torch.ones(4, 1)), pixels)
    for i, k in enumerate(index_B1[:, 0].tolist()):
        alone = _image(clip, three[k].deltas(), pixels[i : i + 1])
        assert_close(mixed[i : i + 1], alone, rtol=0, atol=1e-6)
        assert_close(short[i : i + 1], alone, rtol=0, atol=1e-6)


@torch.no_grad()
def test_neither_the_bank_nor_its_order_matters(clip, three, pixels):
    g = torch.Generator().manual_seed(5)
    index_BK = torch.tensor([[0, 1], [2, 0], [1, 2], [2, 1]])
    weight_BK = torch.rand(4, 2, generator=g)
    got = _image(clip, weighted_deltas(three, index_BK, weight_BK), pixels)
    turned = _image(clip, weighted_deltas(three[::-1], 2 - index_BK, weight_BK), pixels)
    more = _image(clip, weighted_deltas([*three, three[0]], index_BK, weight_BK), pixels)
    assert_close(turned, got, rtol=0, atol=1e-6)
    assert_close(more, got, rtol=0, atol=1e-6)


@torch.no_grad()
def test_sorting_by_route_changes_the_cost_alone(clip, three, pixels):
    index_BK = torch.tensor([[2, 0], [1, 0], [2, 1], [0, 1]])
    weight_BK = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.3, 0.7]])
    order = by_route(index_BK, weight_BK)
    assert order.tolist() == [3, 1, 0, 2], "the mixed one first, then by adapter, stable"
    got = _image(clip, weighted_deltas(three, index_BK, weight_BK), pixels)
    sorted_ = _image(clip, weighted_deltas(three, index_BK[order], weight_BK[order]), pixels[order])
    assert_close(sorted_, got[order], rtol=0, atol=1e-6)


def _one_by_one(clip, bank, index_BK, weight_BK, pixels):
    """Item by item, the weighted sum of the single adapters' deltas, in their own code."""
    rows = []
    for i, (index_K, weight_K) in enumerate(zip(index_BK, weight_BK, strict=True)):
        each = [bank[t].deltas() for t in index_K.tolist()]

        def mix(x, name, each=each, weight_K=weight_K):
            return sum(w * d[name](x) for w, d in zip(weight_K, each, strict=True))

        rows.append(_image(clip, {n: partial(mix, name=n) for n in each[0]}, pixels[i : i + 1]))
    return torch.cat(rows)


@torch.no_grad()
@pytest.mark.parametrize("width", [1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_batch_is_its_items_however_it_is_sorted(width, clip, three):
    """By route, in runs of neighbours; as it comes, through the stacked factors of all."""
    g = torch.Generator().manual_seed(width)
    pixels = torch.randn(48, 3, 48, 48, generator=g)
    index_BK = torch.stack([torch.randperm(3, generator=g)[:width] for _ in range(48)])
    weight_BK = torch.rand(48, width, generator=g)
    weight_BK[::2, 1:] = 0
    weight_BK[5, 0] = 0
    want = _one_by_one(clip, three, index_BK, weight_BK, pixels)
    order = by_route(index_BK, weight_BK)
    assert order.sort().values.equal(torch.arange(48))
    for rows in (torch.arange(48), order):
        got = _image(clip, weighted_deltas(three, index_BK[rows], weight_BK[rows]), pixels[rows])
        assert_close(got, want[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        ([[1, 0], [1, 0], [1, 1], [2, 1], [0, 1]], [(0, 2), (2, 4), (4, 5)]),
        ([[1, 0], [0, 1]] * 3, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]),
        ([[1, 1, 0], [1, 0, 1], [0, 1, 1]] * 3 + [[0, 1, 0]] * 2, [(0, 9), (9, 11)]),
    ],
)
def test_neighbours_share_a_product_and_small_runs_do_not_have_one(rows, runs):
    weight_BT = torch.tensor(rows).repeat_interleave(WORTH, dim=0) / 2
    assert _runs(weight_BT) == [(WORTH * i, WORTH * j) for i, j in runs]
    assert _runs(weight_BT[::WORTH]) == [(0, len(rows))]


@torch.no_grad()
def test_a_mixed_batch_in_bf16_is_near_the_one_in_fp32(clip, three, pixels):
    """Autocast chooses the dtype of products, but leaves alone those that write in place."""
    index_BK = torch.tensor([[0, 1], [0, 1], [2, 1], [2, 1]])
    for weight_BK in (torch.tensor([[3.0, 2.0]]).expand(4, 2), 3 * torch.eye(2)[[0, 0, 0, 0]]):
        want = _image(clip, weighted_deltas(three, index_BK, weight_BK), pixels)
        plain = clip.image(pixels)
        clip.precision = "bf16"
        got = _image(clip, weighted_deltas(three, index_BK, weight_BK), pixels)
        clip.precision = "fp32"
        assert not got.equal(want)
        assert float((got - want).norm(dim=1).max()) < 0.1 * float((plain - want).norm(dim=1).min())


@torch.no_grad()
def test_one_adapter_at_half_weight_is_not_the_adapter(clip, three, pixels):
    """The short cut of a single adapter holds for weight one alone."""
    half = _image(clip, weighted_deltas(three[:1], FIRST, torch.full((4, 1), 0.5)), pixels)
    assert not torch.allclose(half, _image(clip, three[0].deltas(), pixels), atol=1e-4)
    zero = _image(clip, weighted_deltas(three[:1], FIRST, torch.zeros(4, 1)), pixels)
    assert zero.equal(clip.image(pixels))


def test_deltas_of_a_batch_refuse_a_piece_of_it(clip, three, pixels):
    """A piece of one item would broadcast to the whole batch without a word."""
    weight_BK = torch.full((4, 3), 1 / 3)
    for piece in (pixels[:1], pixels[:2]):
        with pytest.raises(ValueError, match="deltas of 4 items"):
            _image(clip, weighted_deltas(three, EACH, weight_BK), piece)


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


def test_a_weighted_sum_drops_nothing_in_training(clip, pixels):
    """As documented; a single adapter of weight one is no exception."""
    adapter = _adapter(clip, 1, dropout=0.5)
    calm = _image(clip, adapter.deltas(), pixels)
    adapter.train()
    assert_close(_image(clip, weighted_deltas([adapter], FIRST, torch.ones(4, 1)), pixels), calm)
