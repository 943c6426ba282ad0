"""Tokens of many captions, kept on the disk: byte-pair encoding takes minutes for a whole suite."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...common.digests import digest
from ...common.files import atomic, file_digest

Tokenize = Callable[[list[str]], Tensor]
FEW = 200  # texts that are encoded anew each time


def tokens_of(texts: list[str], tokenize: Tokenize, tokenizer: str, root: Path) -> Tensor:
    """The tokens of some texts, (M, L) int64, from the cache or encoded now.

    Args:
        texts: M texts.
        tokenize: texts -> (M, L) int64 in [0, 65536).
        tokenizer: names all that the tokens derive from beside the texts; "" caches nothing.
        root: cache folder.
    """
    if not tokenizer or len(texts) < FEW:
        return tokenize(texts)
    stem = digest([tokenizer, *texts])[:32]
    path = root / "tokens" / f"{stem}.npy"
    found = _read(path, len(texts))
    if found is None:
        tokens_ML = tokenize(texts)
        if int(tokens_ML.max()) >= 2**16:
            return tokens_ML
        found = tokens_ML.numpy().astype(np.uint16)
        with atomic(path) as temporary:
            np.save(temporary, found)
        with atomic(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"sha256": file_digest(path)}))
    return torch.from_numpy(found.astype(np.int64))


def _read(path: Path, n: int) -> npt.NDArray[np.uint16] | None:
    """The tokens if they are whole: the note beside them is written last and has their sha256."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        if note["sha256"] != file_digest(path):
            return None
        found = np.load(path)
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    return found if found.ndim == 2 and len(found) == n else None
