"""Top-1 accuracy, and the rank of the right class."""

import torch
from torch import Tensor


def top1(score_BC: Tensor) -> Tensor:
    """Index (B,) of the highest score; of equal scores the lowest index.

    Raises:
        ValueError: a score is NaN.
    """
    if bool(torch.isnan(score_BC).any()):
        raise ValueError("expected scores, got NaN")
    best_B1 = score_BC.max(dim=1, keepdim=True).values
    return (score_BC == best_B1).int().argmax(dim=1)


def rank_of(score_BC: Tensor, label_B: Tensor) -> Tensor:
    """Rank (B,) of the right class: 0 where `top1` is right, as equal scores go by index there too.

    Args:
        score_BC: finite scores.
        label_B: int64 index of the right class.
    """
    right_B1 = score_BC.gather(1, label_B[:, None])
    index_C = torch.arange(score_BC.shape[1], device=score_BC.device)
    before_BC = (score_BC == right_B1) & (index_C < label_B[:, None])
    return ((score_BC > right_B1) | before_BC).sum(dim=1)
