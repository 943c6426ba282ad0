"""Distillation from an older copy of the model, over the similarities of a batch.

A batch is matched in one or two directions: every image against all texts and, for pairs, every
text against all images. A row of a direction is one item's similarities to all its candidates.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backbones.backbone import Backbone
from ..protocol.config import require
from ..protocol.items import OwnTower
from ..protocol.types import Batch, Features, Images, Texts


def snapshot(clip: Backbone) -> Backbone:
    """A copy of the model as it is now, never trained: a task's teacher.

    It costs as much memory as the model, so set it to None in `after_task`. As an attribute of a
    method it stays in eval mode (see `Method.train`).
    """
    return deepcopy(clip).eval().requires_grad_(False)


def teacher_features(teacher: Backbone | None, batch: Batch, new: Features) -> Features:
    """The same batch as an older model sees it, which embeds each of its items once in a task.

    Args:
        teacher: the older model; None for the untouched backbone, whose features come from the
            shared cache and cost no forward pass.
        batch: what to embed.
        new: the current model's features of it; scale and targets are taken from there.

    Returns:
        Features without gradient.
    """
    image_BD = teacher_images(teacher, batch.images)
    return replace(new, image_BD=image_BD, text_MD=teacher_texts(teacher, batch.texts))


@torch.no_grad()
def teacher_images(teacher: Backbone | None, images: Images) -> Tensor:
    """Unit rows (B, D) of images as an older model sees them, without gradient.

    Args:
        teacher: as in `teacher_features`.
        images: what to embed. Of items that the harness made, the teacher's rows are kept; of a
            batch made by hand (augmented, say) they are computed every time.
    """
    if teacher is None:
        return images.frozen()
    return images.cached(teacher, OwnTower(teacher))


@torch.no_grad()
def teacher_texts(teacher: Backbone | None, texts: Texts) -> Tensor:
    """Unit rows (M, D) of texts; the rest as in `teacher_images`."""
    if teacher is None:
        return texts.frozen()
    return texts.cached(teacher, OwnTower(teacher))


def directions(features: Features) -> list[tuple[Tensor, Tensor]]:
    """Cosines (B, M) and the right candidate (B,) of each row, for every direction.

    Image to text first; then, where the batch is paired, text to image.
    """
    cosine_BM = features.image_BD @ features.text_MD.T
    found = [(cosine_BM, features.target_B)]
    if features.paired:
        found.append((cosine_BM.T, torch.argsort(features.target_B)))
    return found


def over_directions(
    new: Features, old: Features, loss: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Mean over the directions of loss(new cosines (B, M), old cosines (B, M), target (B,))."""
    pairs = zip(directions(new), directions(old), strict=True)
    terms = [loss(new_BM, old_BM, target_B) for (new_BM, target_B), (old_BM, _) in pairs]
    return torch.stack(terms).mean()


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


def distillation(
    new_BD: Tensor,
    old_BD: Tensor,
    text_MD: Tensor,
    scale: Tensor,
    temperature: float,
    weight: float = 1.0,
) -> dict[str, Tensor]:
    """Cross-entropy of the learner's similarities against a teacher's, in both directions.

        D(t, s) = T^2 * mean over rows of CE(softmax(t / T), softmax(s / T))

    once over the images' rows of scaled similarities to all texts, once over the texts' rows to
    all images (ZSCL, Zheng et al., ICCV 2023; Thunderbeee/ZSCL, mtil/src/models/helpers.py). Both
    sides compare with the teacher's texts, so that only the learner's images have a gradient.

    Args:
        new_BD: unit rows of the reference images by the learner.
        old_BD: the same images by the teacher.
        text_MD: unit rows of the reference texts by the teacher.
        scale: multiplies the cosines.
        temperature: T, above 0.
        weight: multiplies both terms.

    Returns:
        "distill_image" and "distill_text", scalars in nats times weight T^2. At equal similarities
        they are the entropies of the teacher's rows, not 0.
    """
    new_BM, old_BM = (scale * image_BD @ text_MD.T for image_BD in (new_BD, old_BD))
    return {
        "distill_image": weight * _soft_cross_entropy(new_BM, old_BM, temperature),
        "distill_text": weight * _soft_cross_entropy(new_BM.T, old_BM.T, temperature),
    }


def _soft_cross_entropy(new_BM: Tensor, old_BM: Tensor, temperature: float) -> Tensor:
    target_BM = (old_BM / temperature).softmax(dim=1)
    return temperature**2 * F.cross_entropy(new_BM / temperature, target_BM)


def check_distillation(weight: float, temperature: float) -> None:
    """Raises BenchError for settings of `distillation` and of its weight that mean nothing."""
    require(
        0 <= weight < inf and 0 < temperature < inf,
        "a distill_weight of at least 0 and a distill_temperature above 0, both finite",
        f"{weight} and {temperature}",
    )
