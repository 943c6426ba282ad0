"""Recall@K as the CLIP literature counts it: a query is a hit when any positive is in the top K.

This is not the recall of information retrieval (found positives over all positives); with five
captions per image the two differ. Definition as in LAION-AI/CLIP_benchmark.
"""

import torch
from torch import Tensor


def first_positive_rank(
    query_QD: Tensor, gallery_GD: Tensor, positive_QP: Tensor, chunk: int = 1024
) -> Tensor:
    """Rank of each query's best-placed positive.

    The gallery is sorted by cosine, equal scores by index. Products are summed in float64 and
    rounded to float32 before they are compared, so that neither the chunk nor the device's
    order of summation can move a rank.

    Args:
        query_QD: unit rows.
        gallery_GD: unit rows.
        positive_QP: int64 gallery indices of each query's positives, -1 where it has fewer.
        chunk: queries scored at once; bounds the memory, never the result.

    Returns:
        (Q,) int64, 0 = a positive comes first.

    Raises:
        ValueError: an embedding is NaN or infinite, or a query has no positive.
    """
    for name, x in (("query", query_QD), ("gallery", gallery_GD)):
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"expected finite {name} embeddings, got NaN or infinity")
    if not bool((positive_QP >= 0).any(dim=1).all()):
        raise ValueError("expected at least one positive for every query, got a query with none")
    gallery = gallery_GD.double().T
    index_G = torch.arange(len(gallery_GD), device=gallery_GD.device)
    ranks = []
    for start in range(0, len(query_QD), chunk):
        score_QG = (query_QD[start : start + chunk].double() @ gallery).float()
        positive = positive_QP[start : start + chunk]
        score_QP = score_QG.gather(1, positive.clamp(min=0)).masked_fill(positive < 0, -torch.inf)
        best_Q1 = score_QP.max(dim=1, keepdim=True).values
        last = len(gallery_GD)
        place_Q1 = positive.masked_fill(score_QP < best_Q1, last).min(dim=1, keepdim=True).values
        ahead = (score_QG > best_Q1) | ((score_QG == best_Q1) & (index_G < place_Q1))
        ranks.append(ahead.sum(dim=1))
    return torch.cat(ranks)


def hits(rank_Q: Tensor, k: int) -> int:
    """Number of queries with a positive among the first k."""
    return int((rank_Q < k).sum())
