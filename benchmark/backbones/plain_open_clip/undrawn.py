"""A model's structure without its random values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_FILLED = {
    Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_,
}  # fmt: skip


class Undrawn(TorchFunctionMode):
    """What a module draws while it is built stays as memory happened to be.

    For weights that others replace: drawing those of a large model takes seconds. The device
    "meta" saves them too, but torch draws there by way of its compiler, the import of which takes
    a second. A draw by another function than those named here is made, and replaced all the same.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Torch's hook for all that is called inside."""
        given = kwargs or {}
        if func in _FILLED:
            return given["tensor"] if "tensor" in given else args[0]
        return (torch.empty if func is torch.randn else func)(*args, **given)
