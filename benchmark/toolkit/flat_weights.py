"""Many weights as one vector (N,) of all their scalars, in their order, and back."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """A copy (N,) of the values of all tensors, with their gradient."""
    return torch.cat([t.flatten() for t in tensors])


def parts(weights: Sequence[Tensor], *vectors_N: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Every weight with its part of each vector, in its shape; the parts are views."""
    sizes = [w.numel() for w in weights]
    for weight, *own in zip(weights, *(v.split(sizes) for v in vectors_N), strict=True):
        yield weight, *(part.view_as(weight) for part in own)
