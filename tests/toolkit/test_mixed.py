"""Mixed batches: a weighted sum of outputs is the merged weight, per item."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from benchmark.backbones.sites import PROJECTIONS
from benchmark.toolkit.lora import LoRA
from benchmark.toolkit.merging import mixed
from benchmark.toolkit.merging.mixed import Neighbours, mixed_deltas, stack, weighted_deltas

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


def _by_route(index_BK, weight_BK):
    """Items of one set of adapters beside each other."""
    rows = zip(index_BK.tolist(), weight_BK.tolist(), strict=True)
    used = [sorted(t for t, w in zip(*row, strict=True) if w > 0) for row in rows]
    return torch.tensor(sorted(range(len(used)), key=lambda i: used[i]))


@torch.no_grad()
def test_sorting_by_route_changes_the_cost_alone(clip, three, pixels):
    index_BK = torch.tensor([[2, 0], [1, 0], [2, 1], [0, 1]])
    weight_BK = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.3, 0.7]])
    order = _by_route(index_BK, weight_BK)
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
    order = _by_route(index_BK, weight_BK)
    assert order.sort().values.equal(torch.arange(48))
    for rows in (torch.arange(48), order):
        got = _image(clip, weighted_deltas(three, index_BK[rows], weight_BK[rows]), pixels[rows])
        assert_close(got, want[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("call", [0, 2**60])
@torch.no_grad()
def test_runs_have_products_of_their_own_or_share_them(call, clip, three, monkeypatch):
    """Whichever is cheaper; both are the sum of each item's deltas."""
    monkeypatch.setattr(mixed, "CALL", call)
    seen: list[int] = []
    real = Neighbours.low

    def low(self, down, x):
        seen.append(len(x))
        return real(self, down, x)

    monkeypatch.setattr(Neighbours, "low", low)
    index_BK = torch.tensor([[0, 1], [0, 1], [2, 1], [2, 0], [2, 0], [1, 0]])
    weight_BK = torch.tensor([[0.7, 0.3]] * 3 + [[1.0, 0.0]] * 3)
    x = torch.randn(6, 5, 128, generator=torch.Generator().manual_seed(0))
    for name, delta in weighted_deltas(three, index_BK, weight_BK).items():
        inputs = three[0].A[three[0].names[name]].shape[1]
        x = torch.randn(6, 5, inputs, generator=torch.Generator().manual_seed(0))
        each = torch.stack([a.deltas()[name](x) for a in three])
        picked = [each[index_BK[:, k], torch.arange(6)] for k in (0, 1)]
        weight_B211 = weight_BK[:, :, None, None]
        want = weight_B211[:, 0] * picked[0] + weight_B211[:, 1] * picked[1]
        seen.clear()
        y = torch.ones_like(want)
        assert_close(delta.add_to(x, y), want + 1, rtol=1e-4, atol=1e-5)
        assert_close(delta(x), want, rtol=1e-4, atol=1e-5)
        assert seen == ([2, 1, 2, 1] * 2 if call == 0 else [6, 6])


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 4, 30])
def test_a_row_of_a_single_run_has_the_same_bits_in_any_number(tokens, clip, three):
    """One token or many: the tail of a tower has one an item."""
    g = torch.Generator().manual_seed(0)
    weight_BK = torch.rand(40, 2, generator=g)
    index_BK = torch.tensor([[0, 2]]).expand(40, 2)
    for name in ("image.0.mlp.c_fc", "text.1.mlp.c_proj", "image.2.attn.out_proj"):
        outputs = len(three[0].B[three[0].names[name]])
        x = torch.randn(40, tokens, three[0].A[three[0].names[name]].shape[1], generator=g)
        y = torch.randn(40, tokens, outputs, generator=g)
        every = weighted_deltas(three, index_BK, weight_BK)[name].add_to(x, y.clone())
        for rows in (slice(0, 1), slice(39, 40), slice(3, 6), slice(5, 30)):
            some = weighted_deltas(three, index_BK[rows], weight_BK[rows])[name]
            assert some.add_to(x[rows], y[rows].clone()).equal(every[rows])


def test_gradients_flow_into_the_factors_of_what_an_item_uses(clip, three, pixels):
    index_BK, weight_BK = torch.tensor([[0, 1]] * 4), torch.tensor([[0.5, 0.5]] * 2 + [[1, 0]] * 2)
    with clip.adapted(weighted_deltas(three, index_BK, weight_BK), PROJECTIONS):
        clip.image(pixels).cumsum(dim=1).sum().backward()
    for used, adapter in zip((True, True, False), three, strict=True):
        grads = [adapter.A[k].grad for n, k in adapter.names.items() if n.startswith("image")]
        assert all((g is not None and bool(g.abs().sum() > 0)) == used for g in grads)


def test_an_update_of_equal_weights_needs_no_column(clip, three):
    run = Neighbours(3, 4, lambda name: stack(three[:1], name), three[0].scale)
    x = torch.randn(3, 6, 128, generator=torch.Generator().manual_seed(0))
    for name, delta in mixed_deltas(three[0], [run]).items():
        if name.endswith(("c_fc", "out_proj")):
            want = three[0].deltas()[name](x)
            assert_close(delta(x), want, rtol=1e-5, atol=1e-6)
            with torch.no_grad():
                got = delta.add_to(x, torch.zeros_like(want))
            assert_close(got, want, rtol=1e-5, atol=1e-6)


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


def test_a_weighted_sum_drops_nothing_in_training(clip, pixels):
    """As documented; a single adapter of weight one is no exception."""
    adapter = _adapter(clip, 1, dropout=0.5)
    calm = _image(clip, adapter.deltas(), pixels)
    adapter.train()
    assert_close(_image(clip, weighted_deltas([adapter], FIRST, torch.ones(4, 1)), pixels), calm)
