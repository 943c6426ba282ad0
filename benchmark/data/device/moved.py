"""Copies to the device that do not make the host wait for it."""

from functools import lru_cache

import torch
from torch import Tensor


def moved(x: Tensor, device: torch.device) -> Tensor:
    """The same values on the device.

    A plain copy from the host ends when the device has done all that was asked of it before. From
    pinned memory it is one more thing that the device does in its turn. torch keeps that memory
    until the copy is done, and uses it again for the next one.
    """
    if device.type == "cpu" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A short vector on the device, which is copied there once."""
    return torch.tensor(values, device=device)
