"""The device that was asked for."""

import torch

from ...errors import BenchError


def pick_device(asked: str) -> torch.device:
    """Auto takes a GPU where there is one.

    Raises:
        BenchError: an unknown or absent device.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"'{device.type}' is not supported")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as e:
        there = "cpu" + (", cuda" if torch.cuda.is_available() else "")
        raise BenchError(
            f"a device of this machine (auto, {there})",
            f"'{asked}' ({str(e).splitlines()[0]})",
            "correct --device",
        ) from e
    return device
