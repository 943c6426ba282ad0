"""Seeds and generators as pure functions of their keys."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*key: object) -> int:
    """A 63-bit seed from any key: the same on every machine, in every process."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1


def seed_globally(*key: object) -> None:
    """Seed the global generators of torch, numpy and Python, from which a method's code may draw.

    Nothing of ours does: its draws come from `generator`.
    """
    import random

    import numpy as np
    import torch

    seed = derive(*key)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # all that the line above does then, but for a copy of the call stack that it keeps
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def generator(*key: object) -> "torch.Generator":
    """A fresh CPU generator seeded by the key."""
    import torch  # seeds alone are for rooms without it, too

    return torch.Generator().manual_seed(derive(*key))
