"""Losses on a batch of features."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import require
from .types import Features


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


def symmetric_cross_entropy(features: Features, others: int = 0) -> dict[str, Tensor]:
    """Cross-entropies of images against texts, and of texts against images, for classes too.

    The loss of CoDyRA's official code (Artificer-AI-Lab/CoDyRA): with p over the M texts of a row
    and q over the B images of a column of the scaled similarities,

        i2t = -1/B sum_b log p(target_b | b),  t2i = -1/(M + others) sum_b log q(b | target_b).

    The target of a class is all of its images in the batch, with weight 1 each, so that a class
    counts as often as it has images, and not at all without one. For pairs the sum of both terms
    is twice `matching`.

    Args:
        features: unit rows image_BD and text_MD, scale, target_B in [0, M).
        others: texts that no image of the batch belongs to, beyond those in `features`; they
            change nothing but the divisor.

    Returns:
        The terms "i2t" and "t2i", in nats.
    """
    logits_BM = features.scale * features.image_BD @ features.text_MD.T
    target_B = features.target_B
    image_B = torch.arange(len(target_B), device=target_B.device)
    own_B = logits_BM.log_softmax(dim=0)[image_B, target_B]
    texts = len(features.text_MD) + others
    return {"i2t": F.cross_entropy(logits_BM, target_B), "t2i": -own_B.sum() / texts}


def check_smoothing(label_smoothing: float) -> None:
    """Raises BenchError for a `label_smoothing` that `matching` has no meaning for."""
    require(0 <= label_smoothing < 1, "label_smoothing in [0, 1)", label_smoothing)
