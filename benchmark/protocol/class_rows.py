"""Rows of classes from their prompts."""

from collections.abc import Callable

from torch import Tensor

from ..backbones.backbone import unit
from .types import Classes, Texts

PROMPTS = 256  # class prompts that a text tower takes at a time


def encode_classes(
    encode: Callable[[Texts], Tensor], classes: Classes, at_once: int | None = None
) -> Tensor:
    """One unit row per class (C, D), from some prompts at a time, those of like length together.

    A classifier of a method's own asks here, too: all prompts in one batch would be ImageNet's
    80,000, which need 46 GiB on ViT-B/16.

    Args:
        encode: texts -> their rows (B, D), for example the method's `encode_text`.
        classes: C classes with their prompts.
        at_once: most prompts that `encode` is given; None for `PROMPTS`.
    """
    many, most = len(classes.prompts), at_once or PROMPTS
    if many <= most:
        return class_rows(encode(classes.prompts), classes)
    tokens_ML = classes.prompts.tokens_ML
    last_M = tokens_ML.shape[1] - (tokens_ML != 0).flip(1).int().argmax(dim=1)
    order_M = last_M.argsort(stable=True)
    del tokens_ML, last_M
    sum_CD: Tensor | None = None
    for rows in order_M.split(most):
        row_BD = encode(classes.prompts[rows])
        if sum_CD is None:
            sum_CD = row_BD.new_zeros(len(classes), row_BD.shape[1])
        sum_CD.index_add_(0, classes.owner_M[rows], row_BD)
    assert sum_CD is not None
    return unit(sum_CD)


def class_rows(text_MD: Tensor, classes: Classes) -> Tensor:
    """Embeddings of all prompts (M, D) -> one unit row per class (C, D), the mean's direction."""
    sum_CD = text_MD.new_zeros(len(classes), text_MD.shape[1])
    return unit(sum_CD.index_add(0, classes.owner_M, text_MD))
