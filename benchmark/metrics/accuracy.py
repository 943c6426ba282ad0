"""Top-1 accuracy."""

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
