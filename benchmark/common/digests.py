"""Digests of parts: what an identity is made of. Torch is imported only to read a tensor."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def digest(parts: Iterable[str | bytes]) -> str:
    """sha256 over length-prefixed parts, so that no two lists of parts collide by concatenation."""
    h = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        h.update(len(raw).to_bytes(8, "little"))
        h.update(raw)
    return h.hexdigest()


def tensor_bytes(tensor: "Tensor") -> bytes:
    """A tensor's elements as they lie in memory, row by row, whatever its device and strides."""
    import torch

    flat = tensor.detach().cpu().contiguous().view(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def tensor_digest(parts: Iterable["str | Tensor"]) -> str:
    """sha256 over texts and the bytes of tensors, one after the other.

    Bytes alone do not tell a shape or a type: before a tensor goes a text that has its dtype and
    its shape, and its name where it has one.
    """
    h = hashlib.sha256()
    for part in parts:
        h.update(part.encode() if isinstance(part, str) else tensor_bytes(part))
    return h.hexdigest()
