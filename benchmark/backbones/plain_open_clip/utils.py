"""In place of open_clip's module of this name, which imports torchvision for ResNets."""

from collections.abc import Iterable
from typing import Any

from . import later

__getattr__ = later("utils")


def to_2tuple(size: Any) -> Any:
    """Height and width, of the one size that both have or as they are."""
    return size if isinstance(size, Iterable) else (size, size)
