"""Rows of classes from their prompts."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..backbones.backbone import unit
from .types import Classes, Texts

PROMPTS = 256  # class prompts that a text tower takes at a time


def encode_classes(encode: Callable[[Texts], Tensor], classes: Classes) -> Tensor:
    """One unit row per class (C, D), from at most `PROMPTS` prompts at a time.

    A classifier of a method's own asks here, too: all prompts in one batch would be ImageNet's
    80,000, which need 46 GiB on ViT-B/16.

    Args:
        encode: texts -> their rows (B, D), for example the method's `encode_text`.
        classes: C classes with their prompts.
    """
    parts = torch.arange(len(classes.prompts), device=classes.owner_M.device).split(PROMPTS)
    if len(parts) == 1:
        return class_rows(encode(classes.prompts), classes)
    return class_rows(torch.cat([encode(classes.prompts[rows]) for rows in parts]), classes)


def class_rows(text_MD: Tensor, classes: Classes) -> Tensor:
    """Embeddings of all prompts (M, D) -> one unit row per class (C, D), the mean's direction."""
    sum_CD = text_MD.new_zeros(len(classes), text_MD.shape[1])
    return unit(sum_CD.index_add(0, classes.owner_M, text_MD))
