"""What the rows of a backbone depend on: its parameters, its modules, and what hangs on them."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ..common.digests import tensor_bytes
from .sites import Place

Tower = Literal["image", "text"]
KNOWN = ("benchmark", "open_clip", "timm", "torch", "transformers")  # whose modules are as written


class Contents:
    """Digests of a model's tensors, taken again after one has changed.

    A change is seen by the tensor's version. An optimiser's fused step counts none, so that the
    model also forgets them in `train` and `eval`, which the loop calls before every step.
    """

    def __init__(self) -> None:
        self._known: dict[object, tuple[object, str]] = {}

    def __deepcopy__(self, memo: object) -> "Contents":
        return Contents()

    def forget(self) -> None:
        """Take every digest again."""
        self._known.clear()

    def digest(self, key: object, tensors: list[tuple[str, Tensor]], about: str) -> str:
        """Sha256 of a text and of named tensors.

        Args:
            key: names these tensors among others of the model.
            tensors: names and tensors.
            about: the text.
        """
        state = about, tuple((t.data_ptr(), t._version) for _, t in tensors)
        known = self._known.get(key)
        if known is None or known[0] != state:
            sha = hashlib.sha256(about.encode())
            for name, tensor in tensors:
                sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                sha.update(tensor_bytes(tensor))
            self._known[key] = known = state, sha.hexdigest()
        return known[1]


def plain(model: nn.Module) -> bool:
    """Whether a model computes by its own modules alone, as they are written.

    It does not where a delta is on it, a hook, a parametrisation, a module of another's making or
    a function in the place of a method: what that reads, no digest of the model tells.
    """
    if any(map(len, _everywhere())):
        return False
    return all(_is_plain(module) for module in model.modules())


def _is_plain(module: nn.Module) -> bool:
    own = module.__dict__
    return (
        own.get("delta") is None
        and not own["_forward_hooks"]
        and not own["_forward_pre_hooks"]
        and type(module).__module__.partition(".")[0] in KNOWN
        and not hasattr(module, "parametrizations")
        and not any(callable(value) and hasattr(type(module), name) for name, value in own.items())
    )


def _everywhere() -> Iterator[Mapping[int, object]]:
    """Hooks on all modules of the process."""
    module = torch.nn.modules.module
    yield module._global_forward_hooks
    yield module._global_forward_pre_hooks


def kinds(model: nn.Module) -> str:
    """The modules by name and class, where a place for deltas counts for nothing."""
    every = (x for x in model.named_modules() if not isinstance(x[1], Place))
    return " ".join(f"{name}:{type(module).__qualname__}" for name, module in every)
