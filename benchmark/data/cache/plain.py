"""Whether a backbone computes by its own weights alone, so that a digest tells its rows."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from ...backbones.backbone import Backbone, Tower
from ...backbones.content import modules_of, writes
from ...common.digests import digest, tensor_digest

NO_NUMBER = ("chunks", "checkpointing", "fingerprint", "origin")  # of a backbone's attributes
KNOWN = ("benchmark", "open_clip", "timm", "torch", "transformers")  # whose modules are as written
_SETTINGS: Any = WeakIdKeyDictionary()  # backbone -> count of `writes`, digest


def contents(clip: Backbone, tower: Tower) -> str | None:
    """Tells a tower from all others by what it is made of; None where that cannot be told.

    So it is where a delta is on the backbone, another weight in place of its own, a hook, a
    parametrisation, a module of a method's making or a function in the place of a method: what
    those read, no digest of the backbone tells.
    """
    kinds = _plain(clip)
    if kinds is None or (settings := _settings(clip)) is None:
        return None
    return _together(clip.digest(tower), kinds, settings)


@lru_cache(64)
def _together(values: str, kinds: tuple[type, ...], settings: str) -> str:
    return digest([values, settings, *(kind.__qualname__ for kind in kinds)])


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


def _settings(clip: nn.Module) -> str | None:
    """Numbers, words and buffers that the modules hold; None where a function is replaced.

    Read once between two calls of `content.forget_all`: a walk over all of them takes longer than
    the look-up of a batch.
    """
    known = _SETTINGS.get(clip)
    if known is None or known[0] != writes():
        known = _SETTINGS[clip] = writes(), _read_settings(clip)
    found: str | None = known[1]
    return found


def _read_settings(clip: nn.Module) -> str | None:
    found: list[str | torch.Tensor] = []
    for place, module in enumerate(modules_of(clip)):
        for name, value in module.__dict__.items():
            if name == "_buffers":
                buffers = ((n, b) for n, b in value.items() if b is not None)
                found += (part for n, b in buffers for part in (f"{place}.{n}:{b.dtype};", b))
            elif isinstance(value, torch.Tensor):
                found += f"{place}.{name}:{value.dtype};", value
            elif _is_plain(value):
                if name != "training" and not (module is clip and name in NO_NUMBER):
                    found.append(f"{place}.{name}={value!r};")
            elif callable(value) and hasattr(type(module), name):
                return None
    return tensor_digest(found)


def code_of(function: Callable[..., Any]) -> str:
    """Tells a function from others by its code and by plain values that it was given beforehand.

    Not by what it closes over, nor by objects and tensors among those values: a part tells those.
    """
    inner: Any = function
    given: list[str] = []
    while isinstance(inner, partial):
        named = (f"{name}={_shown(value)}" for name, value in inner.keywords.items())
        given += [*map(_shown, inner.args), *named]
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is None:
        return digest([f"{type(inner).__module__}.{type(inner).__qualname__}", *given])
    defaults = [*(inner.__defaults__ or ()), *(inner.__kwdefaults__ or {}).values()]
    given += map(_shown, defaults)
    return digest([inner.__module__, inner.__qualname__, *_code(code), *given])


def _code(code: Any) -> list[str | bytes]:
    """What a function's code does, and that of functions inside it."""
    found: list[str | bytes] = [code.co_code, *code.co_names, *code.co_freevars]
    for value in code.co_consts:
        found += _code(value) if hasattr(value, "co_code") else [repr(value)]
    return found


def _shown(value: object) -> str:
    return repr(value) if _is_plain(value) else type(value).__qualname__


def _is_plain(value: object) -> bool:
    """Whether a value's text tells all of it."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
