"""Distillation from an older copy of the model, over the similarities of a batch.

A batch is matched in one or two directions: every image against all texts and, for pairs, every
text against all images. A row of a direction is one item's similarities to all its candidates.
"""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..clip import Clip
from ..types import Batch, Features


def snapshot(clip: Clip) -> Clip:
    """A copy of the model as it is now, never trained: a task's teacher.

    It costs as much memory as the model, so set it to None in `after_task`.
    """
    return deepcopy(clip).eval().requires_grad_(False)


@torch.no_grad()
def old_features(teacher: Clip | None, batch: Batch, new: Features) -> Features:
    """The same batch as an older model sees it.

    Args:
        teacher: the older model; None for the untouched backbone, whose features come from the
            shared cache and cost no forward pass.
        batch: what to embed.
        new: the current model's features of it; scale and targets are taken from there.

    Returns:
        Features without gradient.
    """
    if teacher is None:
        image_BD, text_MD = batch.images.frozen(), batch.texts.frozen()
    else:
        teacher.eval()  # the loop puts every part of a method in training mode
        image_BD = teacher.image(batch.images.pixels_B3HW)
        text_MD = teacher.text(batch.texts.tokens_ML)
    return replace(new, image_BD=image_BD, text_MD=text_MD)


def directions(features: Features) -> list[tuple[Tensor, Tensor]]:
    """Cosines (B, M) and the right candidate (B,) of each row, for every direction.

    Image to text first; then, where the batch is paired, text to image.
    """
    cosine_BM = features.image_BD @ features.text_MD.T
    found = [(cosine_BM, features.target_B)]
    if features.paired:
        found.append((cosine_BM.T, torch.argsort(features.target_B)))
    return found


def is_right(score_BM: Tensor, target_B: Tensor) -> Tensor:
    """Whether each row is highest at its target (B,); of equal scores the first counts."""
    return score_BM.argmax(dim=1) == target_B


def divergence(logits_BM: Tensor, target_BM: Tensor) -> Tensor:
    """KL(target || softmax(logits)) of each row (B,), in nats.

    Args:
        logits_BM: the learner's.
        target_BM: the distributions to reach; zeros are allowed.
    """
    return F.kl_div(logits_BM.log_softmax(dim=1), target_BM, reduction="none").sum(dim=1)
