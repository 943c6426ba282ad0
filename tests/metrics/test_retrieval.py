"""Recall and accuracy against an independent count, on data full of ties."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.check.instruments.pretended import pretended
from benchmark.metrics import counting
from benchmark.metrics.accuracy import top1
from benchmark.metrics.products import Products, gamma, ieee
from benchmark.metrics.retrieval import first_positive_rank, hits, ranks_both_ways


def _naive(query, gallery, positives):
    """Sort the gallery by (-score, index) and walk down to the first positive."""
    ranks = []
    for q, mine in zip(query, positives, strict=True):
        score = np.array([np.float32(np.sum(q.astype(np.float64) * g)) for g in gallery])
        order = np.lexsort((np.arange(len(gallery)), -score))
        ranks.append(next(r for r, g in enumerate(order) if g in set(mine)))
    return ranks


def _padded(positives):
    out = torch.full((len(positives), max(map(len, positives))), -1)
    for i, mine in enumerate(positives):
        out[i, : len(mine)] = torch.tensor(mine)
    return out


def _unit_rows(rng, n, grid):
    """Rows on a coarse grid: their products are exact, so that ties are real ties."""
    x = rng.integers(-1, 2, (n, 4)).astype(np.float32) if grid else rng.normal(size=(n, 4))
    x[(x == 0).all(axis=1), 0] = 1
    return (x / 2 if grid else x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 12),
    most=st.integers(1, 5),
    chunk=st.integers(1, 40),
    grid=st.booleans(),
)
def test_ranks_agree_with_a_sort(seed, images, most, chunk, grid):
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(images), rng.integers(1, most + 1, images))
    image, text = _unit_rows(rng, images, grid), _unit_rows(rng, len(owner), grid)
    image[rng.integers(images)] = image[0]  # duplicated rows tie exactly
    text[rng.integers(len(owner), size=2)] = text[-1]
    t2i, i2t = [[o] for o in owner], [list(np.flatnonzero(owner == i)) for i in range(images)]
    for query, gallery, positives in ((text, image, t2i), (image, text, i2t)):
        args = torch.from_numpy(query), torch.from_numpy(gallery), _padded(positives)
        got = first_positive_rank(*args, chunk=chunk)
        want = _naive(query, gallery, positives)
        assert got.dtype == torch.int64
        assert got.tolist() == want
        for k in (1, 5, 10):
            assert hits(got, k) == sum(r < k for r in want)
    both = ranks_both_ways(
        torch.from_numpy(text), torch.from_numpy(image), torch.from_numpy(owner), chunk
    )
    assert both[0].tolist() == _naive(text, image, t2i)
    assert both[1].tolist() == _naive(image, text, i2t)


def test_equal_embeddings_give_no_free_hit():
    """A collapsed model scores like a list in the gallery's order, not 100 %."""
    x = torch.nn.functional.normalize(torch.ones(7, 5), dim=1)
    assert first_positive_rank(x, x, torch.arange(7)[:, None]).tolist() == list(range(7))


def test_of_tied_positives_the_first_counts():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    query = torch.tensor([[0.0, 1.0]])
    for positive, rank in (([3, 2], 1), ([2, 3], 1), ([3, -1], 2), ([0, 3], 2), ([0, -1], 3)):
        assert first_positive_rank(query, gallery, torch.tensor([positive])).tolist() == [rank]


def test_padding_is_no_positive():
    """-1 must not be read as the last or as the first item."""
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    got = first_positive_rank(gallery, gallery, torch.tensor([[2, -1], [-1, 0], [1, -1]]))
    assert got.tolist() == [1, 2, 1]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_broken_embedding_raises(bad, which):
    pair = [torch.eye(3), torch.eye(3)]
    pair[which] = pair[which].index_fill(0, torch.tensor([1]), bad)
    with pytest.raises(ValueError, match="query" if which == 0 else "gallery"):
        first_positive_rank(pair[0], pair[1], torch.arange(3)[:, None])


def test_a_query_without_positive_raises():
    with pytest.raises(ValueError, match="positive"):
        first_positive_rank(torch.eye(2), torch.eye(2), torch.tensor([[0], [-1]]))


def _defined(query_QD, gallery_GD, positive_QP):
    """The definition, all at once: float64 products rounded to float32, equal ones by index."""
    score_QG = (query_QD.double() @ gallery_GD.double().T).float()
    order_QG = score_QG.sort(dim=1, descending=True, stable=True).indices
    right_QGP = order_QG[:, :, None] == positive_QP[:, None, :]
    return right_QGP.any(dim=2).int().argmax(dim=1)


def _check(text_MD, image_ND, owner_M, chunks=(1, 7, 1024)):
    """Both ways at once and each way alone give the definition's ranks at any chunk."""
    images = len(image_ND)
    captions = [(owner_M == i).nonzero()[:, 0].tolist() for i in range(images)]
    of_image_NP = _padded(captions)
    want = (
        _defined(text_MD, image_ND, owner_M[:, None]),
        _defined(image_ND, text_MD, of_image_NP),
    )
    for chunk in chunks:
        t2i_M, i2t_N = ranks_both_ways(text_MD, image_ND, owner_M, chunk)
        assert torch.equal(t2i_M, want[0])
        assert torch.equal(i2t_N, want[1])
        assert torch.equal(first_positive_rank(text_MD, image_ND, owner_M[:, None], chunk), want[0])
        assert torch.equal(first_positive_rank(image_ND, text_MD, of_image_NP, chunk), want[1])


def _normal(rows, width, seed):
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=1)


def _owners(texts, images, seed):
    """Captions in no order, every image with at least one."""
    generator = torch.Generator().manual_seed(seed)
    more = torch.randint(images, (texts - images,), generator=generator)
    return torch.cat([torch.arange(images), more])[torch.randperm(texts, generator=generator)]


# Rows of texts and images: what a model may give, and what is hard for a float32 look.
def _exactly_equal(x):
    return x[:1].expand_as(x).contiguous()


def _few_kinds(x):
    return x[torch.arange(len(x)) % 3]


def _nearly_equal(x):
    return x[:1] + 1e-7 * x


def _one_cone(x):
    """All within a float32 product's error of each other: the float64 block decides."""
    return torch.nn.functional.normalize(x[:1] + 1e-4 * x, dim=1)


def _signs(x):
    """Products are small integers: ties everywhere, and none of them blurred."""
    return torch.where(x < -0.05, -1.0, torch.where(x > 0.05, 1.0, 0.0)) / 4


def _orthogonal(x):
    """Nearly every product is exactly 0."""
    return torch.eye(x.shape[1])[torch.arange(len(x)) % x.shape[1]]


def _lengths(x):
    """Rows from very short to very long."""
    return x * 10.0 ** torch.linspace(-6, 6, len(x))[:, None]


ROWS = {
    "as a model's": lambda x: x,
    "all equal": _exactly_equal,
    "three kinds": _few_kinds,
    "differing in the last bits": _nearly_equal,
    "in one cone": _one_cone,
    "signs": _signs,
    "orthogonal": _orthogonal,
    "of all lengths": _lengths,
    "tiny": lambda x: x * 1e-25,
    "so tiny that scores are subnormal": lambda x: x * 1e-21,
    "huge": lambda x: x * 1e18,
    "so huge that scores overflow": lambda x: x * 1e25,
    "subnormal": lambda x: x * 1e-40,
    "half precision": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "float64": lambda x: x.double() + 1e-12,
    "float64, far from 1": lambda x: x.double() * 1e120,
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("shape", [(41, 13, 24), (9, 9, 1), (6, 1, 5), (1, 1, 3), (300, 137, 16)])
def test_ranks_are_those_of_the_definition(kind, shape):
    texts, images, width = shape
    x_ND = ROWS[kind](_normal(texts + images, width, seed=texts))
    chunks = (1, 7, 1024) if texts < 100 else (64, 1024)
    _check(x_ND[:texts], x_ND[texts:], _owners(texts, images, seed=3), chunks)


def test_one_side_may_be_far_longer_than_the_other():
    _check(_normal(30, 8, 1) * 1e-30, _normal(10, 8, 2) * 1e30, _owners(30, 10, 3))


def test_near_ties_in_the_last_bit_of_float32_are_told_apart():
    """Scores one float32 apart, and half of one apart: the latter tie after rounding to even."""
    ulp = 2.0**-23
    gallery = torch.tensor([[1.0, x] for x in (0, 1, 0.5, 1.5, 2, 0.25, 1.25)], dtype=torch.float64)
    gallery[:, 1] *= ulp
    query = torch.tensor([[1.0, 1.0]], dtype=torch.float64)  # scores 1, 1+u, 1, 1+2u, 1+2u, 1, 1+u
    order = [3, 4, 1, 6, 0, 2, 5]
    for positive in range(7):
        want = order.index(positive)
        assert first_positive_rank(query, gallery, torch.tensor([[positive]])).item() == want


def test_a_score_depends_on_its_pair_alone(monkeypatch):
    """Not on direction, place, neighbours, or how many are summed at once."""
    x_AD, y_BD = _normal(40, 77, 1), _normal(50, 77, 2)
    row_N, column_N = torch.cartesian_prod(torch.arange(40), torch.arange(50)).unbind(1)
    scores = Products(x_AD, y_BD, 1, 1).exact(row_N, column_N)
    assert torch.equal(Products(y_BD, x_AD, 1, 1).exact(column_N, row_N), scores)
    for i in (0, 777, 1999):
        alone = Products(x_AD[row_N[i]][None], y_BD[column_N[i]][None], 1, 1)
        assert alone.exact(torch.tensor([0]), torch.tensor([0])).item() == scores[i]
    monkeypatch.setattr("benchmark.metrics.products.CACHED", 77 * 3)
    assert torch.equal(Products(x_AD, y_BD, 1, 1).exact(row_N, column_N), scores)
    block = Products(x_AD, y_BD, 1, 1).exact_block(slice(0, 40), slice(0, 50))
    assert torch.equal(block.flatten(), scores)


@pytest.mark.parametrize("width", [1, 3, 512, 1023])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e25])
def test_fast_products_are_within_their_limits(width, size):
    """With nearly parallel rows, whose products' parts all have one sign, errors add up."""
    x_AD, y_BD = (torch.rand(30, width, dtype=torch.float64) * size + size for _ in range(2))
    exact_AB = (x_AD @ y_BD.T).float()
    products = Products(x_AD, y_BD, float(x_AD.max()), float(y_BD.max()))
    fast_AB = torch.empty(30, 30)
    with ieee(x_AD.device):
        products.fast(slice(0, 30), slice(0, 30), fast_AB)
    for column in range(30):
        low_A, high_A = products.limits(exact_AB[:, column])
        assert bool((low_A <= fast_AB[:, column]).all())
        assert bool((fast_AB[:, column] <= high_A).all())


def test_the_bound_is_that_of_the_books():
    assert gamma(512, 2.0**-24) == pytest.approx(512 * 2.0**-24, rel=1e-4)
    assert gamma(1 << 24, 2.0**-24) == np.inf


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_coarser_float32_products_are_switched_off_and_on_again(precision, monkeypatch):
    backends: Any = torch.backends
    matmuls = backends.cuda.matmul, backends.mkldnn.matmul
    kept = [m.fp32_precision for m in matmuls]
    try:
        torch.set_float32_matmul_precision(precision)
        before = [m.fp32_precision for m in matmuls]
        seen = []
        fast = Products.fast

        def spied(self, *args):
            seen.append([m.fp32_precision for m in matmuls])
            return fast(self, *args)

        monkeypatch.setattr(Products, "fast", spied)
        with torch.autocast("cpu", torch.bfloat16):
            _check(_normal(60, 64, 1), _normal(20, 64, 2), _owners(60, 20, 3))
        assert seen
        assert all(now == ["ieee", "ieee"] for now in seen)
        assert [m.fp32_precision for m in matmuls] == before
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")
        for m, value in zip(matmuls, kept, strict=True):
            m.fp32_precision = value


def test_items_of_a_gallery_may_change_places():
    """Without ties a rank stays; with ties it counts the equals that now come before."""
    image, text = _normal(40, 16, 1), _normal(90, 16, 2)
    owner = _owners(90, 40, 3)
    place = torch.randperm(40, generator=torch.Generator().manual_seed(4))
    rank = first_positive_rank(text, image, owner[:, None])
    moved = first_positive_rank(text, image[place], place.argsort()[owner][:, None])
    assert torch.equal(rank, moved)
    image[20:] = image[:20]
    _check(text, image[place], place.argsort()[owner])


def test_an_image_without_caption_raises():
    with pytest.raises(ValueError, match="positive"):
        ranks_both_ways(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("kind", ["as a model's", "all equal", "in one cone"])
def test_little_is_scored_twice(kind, monkeypatch):
    """Pair by pair are scored the positives and what float32 cannot tell; in no case all pairs."""
    x_ND = ROWS[kind](_normal(900, 64, 1))
    counted = []
    exact = Products.exact

    def spied(self, left_N, right_N):
        counted.append(len(left_N))
        return exact(self, left_N, right_N)

    monkeypatch.setattr(Products, "exact", spied)
    _check(x_ND[:600], x_ND[600:], _owners(600, 300, 3), chunks=(1024,))
    assert sum(counted) < 2 * 600 * 300 / 16


def test_many_blocks_are_one(monkeypatch):
    """The edges of blocks, of words and of lanes."""
    monkeypatch.setattr(counting, "CPU_PAIRS", 1)
    x_ND = _few_kinds(_normal(2500, 8, 1))
    _check(x_ND[:1400], x_ND[1400:], _owners(1400, 1100, 3), chunks=(130, 2000))


def test_ranks_on_a_device_are_the_hosts():
    """No operand of the host gets in, and the device is waited for a few times a block."""
    text, image, owner = _normal(60, 16, 1), _normal(20, 16, 2), _owners(60, 20, 3)
    want = ranks_both_ways(text, image, owner)
    with pretended() as device:
        there = [x.to(device) for x in (text, image, owner)]
        both = ranks_both_ways(*there)
        one = first_positive_rank(there[0], there[1], there[2][:, None])
        collapsed = ranks_both_ways(there[0] * 0 + 1, there[1] * 0 + 1, there[2])
        got = [x.to("cpu") for x in (*both, one, *collapsed)]
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    assert torch.equal(got[2], want[0])
    assert torch.equal(got[3], owner)


def test_top1_takes_the_lowest_of_equals():
    score = torch.zeros(4, 300)
    score[1, [40, 41, 299]] = 2
    score[2, 299] = 1
    score[3] = -torch.inf
    assert top1(score).tolist() == [0, 40, 299, 0]
    assert top1(score.double()).tolist() == [0, 40, 299, 0]


def test_top1_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        top1(torch.tensor([[0.0, torch.nan]]))
