"""What evaluation asks of a model, and the untouched backbone as one that answers."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from .class_rows import encode_classes
from .types import Classes, Images, Texts

TEXTS = 1024  # given at a time to who leaves it to the store how many of them a tower takes


class Encoder(Protocol):
    """What evaluation asks of a model."""

    def encode_image(self, images: Images) -> Tensor:
        """Images -> unit rows (B, D), float32."""

    def encode_text(self, texts: Texts) -> Tensor:
        """Texts -> unit rows (M, D), float32."""

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Classes -> function of images -> scores (B, C)."""


def prompt_classifier(
    encoder: Encoder, classes: Classes, scale: Tensor, at_once: int | None = None
) -> Callable[[Images], Tensor]:
    """CLIP's zero-shot classifier: mean of a class's prompt embeddings, scaled to length 1.

    Args:
        encoder: whose text and image embeddings are compared.
        classes: C classes with their prompts.
        scale: multiplies the cosine.
        at_once: see `encode_classes`.

    Returns:
        Function of B images -> scores (B, C).
    """
    class_CD = encode_classes(encoder.encode_text, classes, at_once)
    return lambda images: scale * encoder.encode_image(images) @ class_CD.T


class Frozen:
    """The untouched backbone as an encoder, from the shared cache: step 0 of every run."""

    def __init__(self, scale: Tensor) -> None:
        self.scale = scale

    def encode_image(self, images: Images) -> Tensor:
        """Images -> unit rows (B, D)."""
        return images.frozen()

    def encode_text(self, texts: Texts) -> Tensor:
        """Texts -> unit rows (M, D)."""
        return texts.frozen()

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Zero-shot classifier of the untouched backbone."""
        return prompt_classifier(self, classes, self.scale, TEXTS)
