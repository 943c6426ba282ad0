"""Tokens of many texts, kept on the disk.

Byte-pair encoding takes minutes for the captions of a whole suite, and some nine seconds for the
80,000 class prompts of ImageNet. A few texts take less than a file is worth.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...common.digests import digest
from ...common.report import Advance, ignore
from .arrays import TOKENS

Tokenize = Callable[[list[str]], Tensor]
FEW = 200  # texts that are encoded anew each time
PIECE = 5000  # texts between two reports


def tokens_of(
    texts: list[str], tokenize: Tokenize, tokenizer: str, root: Path, advance: Advance = ignore
) -> Tensor:
    """The tokens of some texts, (M, L) int64, from the cache or encoded now.

    Args:
        texts: M texts.
        tokenize: texts -> (M, L) int64 in [0, 65536).
        tokenizer: names all that the tokens derive from beside the texts; "" caches nothing.
        root: cache folder.
        advance: is called with the number of texts that were encoded.
    """
    if not tokenizer or len(texts) < FEW:
        return tokenize(texts)
    path = TOKENS.path(root, digest([tokenizer, *texts])[:32])
    found = TOKENS.load(path)
    if found is None or found[0].ndim != 2 or len(found[0]) != len(texts):
        tokens_ML = _encoded(texts, tokenize, advance)
        if int(tokens_ML.max()) < 2**16:
            TOKENS.save(path, tokens_ML.numpy().astype(np.uint16))
        return tokens_ML
    return torch.from_numpy(found[0].astype(np.int64))


def _encoded(texts: list[str], tokenize: Tokenize, advance: Advance) -> Tensor:
    pieces = []
    for start in range(0, len(texts), PIECE):
        piece = texts[start : start + PIECE]
        pieces.append(tokenize(piece))
        advance(len(piece))
    return torch.cat(pieces)
