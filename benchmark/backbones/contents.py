"""What the rows of a backbone depend on: its parameters, its modules, and what hangs on them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..common.digests import tensor_bytes

Tower = Literal["image", "text"]
KNOWN = ("benchmark", "open_clip", "timm", "torch", "transformers")  # whose modules are as written


@dataclass(frozen=True)
class State:
    """A model at a glance, taken at every look-up of rows and compared with an earlier glance.

    Attributes:
        plain: whether it computes by its own modules alone, as they are written. It does not
            where a delta is on it, a hook, a parametrisation, a module of another's making or a
            function in the place of a method: what those read, no digest of the model tells.
        modules: class of every module, in the order of a walk.
        tensors: where every parameter and buffer lies, and its version.
    """

    plain: bool
    modules: tuple[type, ...]
    tensors: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, model: nn.Module) -> "State":
        """The model as it is now."""
        own = model.__dict__
        plain = not any(callable(own[name]) and hasattr(type(model), name) for name in own)
        everywhere = torch.nn.modules.module
        plain &= not everywhere._global_forward_hooks
        plain &= not everywhere._global_forward_pre_hooks
        kinds, tensors, stack = [], list[tuple[int, int]](), [model]
        while stack:
            module = stack.pop()
            own = module.__dict__
            plain = (
                plain
                and not own["_forward_hooks"]
                and not own["_forward_pre_hooks"]
                and own.get("delta") is None
                and "forward" not in own
                and "parametrizations" not in own["_modules"]
            )
            kinds.append(type(module))
            for held in (own["_parameters"], own["_buffers"]):
                for tensor in held.values():
                    if tensor is not None:
                        tensors.append((tensor.data_ptr(), tensor._version))
            stack += [part for part in own["_modules"].values() if part is not None]
        plain &= all(kind.__module__.partition(".")[0] in KNOWN for kind in set(kinds))
        return cls(plain, tuple(kinds), tuple(tensors))


class Digests:
    """Digests of a model's tensors, taken again after the model has changed.

    A change is seen by the versions of tensors. An optimiser's fused step may count none, so that
    the model also forgets them in `train` and `eval`, which the loop calls before every step.
    """

    def __init__(self) -> None:
        self._state: State | None = None
        self._known: dict[object, str] = {}

    def __deepcopy__(self, memo: object) -> "Digests":
        return Digests()

    def forget(self) -> None:
        """Take every digest again."""
        self._state = None

    def known(self, key: object, state: State) -> str | None:
        """The digest under a key, if the model is as it was when it was taken."""
        if state != self._state:
            self._state = state
            self._known.clear()
        return self._known.get(key)

    def keep(self, key: object, digest: str) -> None:
        """The digest of the model as it was when `known` was asked."""
        self._known[key] = digest


def digest_of(tensors: Mapping[str, Tensor], about: str) -> str:
    """Sha256 of a text and of named tensors."""
    sha = hashlib.sha256(about.encode())
    for name, tensor in tensors.items():
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor_bytes(tensor))
    return sha.hexdigest()
