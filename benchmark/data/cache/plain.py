"""Whether a backbone computes by its own weights alone, so that a digest tells its rows."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from ...backbones.backbone import Backbone, Tower
from ...common.digests import digest

KNOWN = ("benchmark", "open_clip", "timm", "torch", "transformers")  # whose modules are as written


def contents(clip: Backbone, tower: Tower) -> str | None:
    """Tells a tower from all others by what it is made of; None where that cannot be told.

    So it is where a delta is on the backbone, another weight in place of its own, a hook, a
    parametrisation, a module of a method's making or a function in the place of a method: what
    those read, no digest of the backbone tells.
    """
    kinds = _plain(clip)
    return None if kinds is None else _together(clip.digest(tower), kinds)


@lru_cache(64)
def _together(values: str, kinds: tuple[type, ...]) -> str:
    return digest([values, *(kind.__qualname__ for kind in kinds)])


def _plain(clip: nn.Module) -> tuple[type, ...] | None:
    """The classes of all modules in the order of a walk, if all are as they are written."""
    own: dict[str, Any] = clip.__dict__
    everywhere = torch.nn.modules.module
    if (
        any(callable(own[name]) and hasattr(type(clip), name) for name in own)
        or everywhere._global_forward_hooks
        or everywhere._global_forward_pre_hooks
    ):
        return None
    kinds, stack = list[type](), [clip]
    while stack:
        module = stack.pop()
        own = module.__dict__
        parts: Mapping[str, nn.Module | None] = own["_modules"]
        if (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own.get("delta") is not None
            or own.get("instead") is not None
            or "forward" in own
            or "parametrizations" in parts
        ):
            return None
        kinds.append(type(module))
        stack += [part for part in parts.values() if part is not None]
    if any(kind.__module__.partition(".")[0] not in KNOWN for kind in set(kinds)):
        return None
    return tuple(kinds)


def code_of(function: Callable[..., Any]) -> str:
    """Tells a function from others by its code, not by what it closes over."""
    inner: Any = function
    while not hasattr(inner, "__code__") and hasattr(inner, "func"):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is None:
        return f"{type(inner).__module__}.{type(inner).__qualname__}"
    plain = [repr(x) for x in code.co_consts if not hasattr(x, "co_code")]
    names = [*code.co_names, *code.co_freevars]
    return digest([inner.__module__, inner.__qualname__, code.co_code, *plain, *names])
