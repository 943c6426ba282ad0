"""Losses on a batch of features."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BenchError
from ..types import Features


def matching(features: Features, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each image's scaled cosine similarities against its text.

    For pairs, the mean with the same over the columns: the loss of CLIP (Radford et al., 2021,
    Figure 3). For classes, the rows alone: class cross-entropy. One function for both worlds.

    Args:
        features: unit rows image_BD and text_MD, scale, target_B in [0, M), paired.
        label_smoothing: share of each target that is spread evenly over all M candidates, in
            [0, 1); for pairs in both directions.

    Returns:
        Scalar, in nats, mean over the batch.
    """
    logits_BM = features.scale * features.image_BD @ features.text_MD.T
    rows = F.cross_entropy(logits_BM, features.target_B, label_smoothing=label_smoothing)
    if not features.paired:
        return rows
    own_M = torch.argsort(features.target_B)
    columns = F.cross_entropy(logits_BM.T, own_M, label_smoothing=label_smoothing)
    return (rows + columns) / 2


def check_smoothing(label_smoothing: float) -> None:
    """Raises BenchError for a `label_smoothing` that `matching` has no meaning for."""
    if not 0 <= label_smoothing < 1:
        raise BenchError("label_smoothing in [0, 1)", f"{label_smoothing}", "correct --hp")
