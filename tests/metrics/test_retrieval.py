"""Recall and accuracy against an independent count, on data full of ties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.metrics.accuracy import top1
from benchmark.metrics.retrieval import first_positive_rank, hits


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
