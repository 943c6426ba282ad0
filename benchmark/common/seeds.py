"""Seeds and generators as pure functions of their keys."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*key: object) -> int:
    """A 63-bit seed from any key: the same on every machine, in every process."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1


def generator(*key: object) -> "torch.Generator":
    """A fresh CPU generator seeded by the key."""
    import torch  # seeds alone are for rooms without it, too

    return torch.Generator().manual_seed(derive(*key))
