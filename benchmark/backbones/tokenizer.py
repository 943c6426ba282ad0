"""The tokenizer of the embedded tiny models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tokenize = Callable[[list[str]], Tensor]
"""Texts -> (M, context) int64."""


@dataclass(frozen=True)
class CompactTokenizer:
    """CLIP's byte-pair encoding over a small table, for the embedded tiny models.

    Token ids that occur in the rendered captions keep a row of their own; every other id shares
    one of `buckets` rows by a fixed hash, so that any text can be encoded. The last two rows are
    start and end of text: the end token keeps the highest id, which is how its place is found.
    """

    rows: Mapping[int, int]
    buckets: int
    context: int
    encode: Callable[[str], list[int]]

    def __deepcopy__(self, memo: object) -> "CompactTokenizer":
        return self  # immutable, and large: a copied model shares it

    def __call__(self, texts: list[str]) -> Tensor:
        """Texts -> (M, context) int64; long texts are cut and the end token restored."""
        own = len(self.rows)
        start = own + self.buckets
        tokens_ML = torch.zeros(len(texts), self.context, dtype=torch.int64)
        for i, text in enumerate(texts):
            ids = [
                self.rows.get(t, own + t * 2654435761 % 2**32 % self.buckets)
                for t in self.encode(text)
            ][: self.context - 2]
            tokens_ML[i, : len(ids) + 2] = torch.tensor([start, *ids, start + 1])
        return tokens_ML
