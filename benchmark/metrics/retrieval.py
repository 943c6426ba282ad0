"""Recall@K as the CLIP literature counts it: a query is a hit when any positive is in the top K.

This is not the recall of information retrieval (found positives over all positives); with five
captions per image the two differ. Definition as in LAION-AI/CLIP_benchmark.

The gallery is sorted by cosine, equal scores by index. A score is the product of a pair of rows to
float64's precision, rounded to float32 (see `products`): it depends on the pair alone, so neither
chunk nor direction nor device can move a rank. How ranks are found without all these sums is told
in `counting`.
"""

import torch
from torch import Tensor

from .counting import count_ahead
from .products import Products

CHUNK = 1024


@torch.no_grad()
def first_positive_rank(
    query_QD: Tensor, gallery_GD: Tensor, positive_QP: Tensor, chunk: int = CHUNK
) -> Tensor:
    """Rank of each query's best-placed positive.

    Args:
        query_QD: rows of any floating type, usually unit ones. Absolute values below 1e150.
        gallery_GD: as the queries.
        positive_QP: int64 gallery indices of each query's positives, -1 where it has fewer.
        chunk: most queries scored at once; bounds the memory, never the result.

    Returns:
        (Q,) int64, 0 = a positive comes first.

    Raises:
        ValueError: an embedding is NaN or infinite, or a query has no positive.
    """
    products = _products(query_QD, gallery_GD, (positive_QP >= 0).any(dim=1).all())
    query_N, slot_N = (positive_QP >= 0).nonzero().unbind(1)
    index_N = positive_QP[query_N, slot_N]
    score_QP = torch.full(positive_QP.shape, -torch.inf, device=query_QD.device)
    score_QP[query_N, slot_N] = products.exact(query_N, index_N)
    best_Q1 = score_QP.max(dim=1, keepdim=True).values
    beaten_QP = (positive_QP < 0) | (score_QP < best_Q1)
    place_Q = positive_QP.masked_fill(beaten_QP, len(gallery_GD)).min(dim=1).values
    return count_ahead(products, best_Q1[:, 0], place_Q, chunk)


@torch.no_grad()
def ranks_both_ways(
    text_MD: Tensor, image_ND: Tensor, owner_M: Tensor, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Ranks of images for their captions and of captions for their images, from one product.

    The same as `first_positive_rank` of either direction, at about half the work of both.

    Args:
        text_MD: captions, rows as in `first_positive_rank`.
        image_ND: images.
        owner_M: int64 index of the image that each caption belongs to.
        chunk: most captions scored at once; bounds the memory, never the result.

    Returns:
        (M,) rank of each caption's image among all images, and (N,) rank of each image's
        best-placed caption among all captions; int64, 0 = comes first.

    Raises:
        ValueError: an embedding is NaN or infinite, or an image has no caption.
    """
    texts, images = len(text_MD), len(image_ND)
    index_M = torch.arange(texts, device=text_MD.device)
    owned_N = torch.zeros(images, dtype=torch.bool, device=text_MD.device)
    owned_N[owner_M] = True
    products = _products(text_MD, image_ND, owned_N.all())
    score_M = products.exact(index_M, owner_M)
    best_N = score_M.new_full((images,), -torch.inf).scatter_reduce(0, owner_M, score_M, "amax")
    place_M = index_M.where(score_M == best_N[owner_M], texts)
    place_N = index_M.new_full((images,), texts).scatter_reduce(0, owner_M, place_M, "amin")
    best = torch.cat([score_M, best_N])
    ranks = count_ahead(products, best, torch.cat([owner_M, place_N]), chunk)
    return ranks[:texts], ranks[texts:]


def _products(query_QD: Tensor, gallery_GD: Tensor, all_have: Tensor) -> Products:
    """The products of checked rows; what the checks found is read from the device once."""
    ends = [x.aminmax() for x in (query_QD, gallery_GD)]
    found = torch.stack([all_have.double(), *(x.double() for pair in ends for x in pair)]).tolist()
    sizes = []
    for name, pair in (("query", found[1:3]), ("gallery", found[3:5])):
        sizes.append(max(map(abs, pair)))
        if not all(abs(x) < 1e150 for x in pair):
            raise ValueError(f"expected finite {name} embeddings, got NaN or infinity")
    if not found[0]:
        raise ValueError("expected at least one positive for every query, got a query with none")
    return Products(query_QD, gallery_GD, sizes[0], sizes[1])


def hits(rank_Q: Tensor, k: int) -> int:
    """Number of queries with a positive among the first k."""
    return int((rank_Q < k).sum())
