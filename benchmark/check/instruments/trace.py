"""What a method consists of beside its weights: plain attributes, of objects, classes and file."""

import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...common.digests import tensor_digest
from ...protocol.method import Method

DEEPEST, LONGEST = 4, 2000
_BOOKS = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"})
Trace = dict[str, str]


def traced(method: Method[Any]) -> Trace:
    """Name -> value as text or digest, of all that an evaluation might change.

    Tensors of any kind, attributes of the method and of its modules, hooks on them, attributes of
    its class, and plain values of its file. What is no plain value shows its type alone.
    """
    found: Trace = {}
    for name, tensor in [*method.named_parameters(), *method.named_buffers()]:
        found[name] = _text(tensor, 0)
    for path, module in method.named_modules():
        for key, value in vars(module).items():
            if key not in _BOOKS:
                found[".".join(filter(None, (path, key)))] = _text(value, 0)
    own = type(method)
    found |= {f"{own.__name__}.{k}": _text(v, 0) for k, v in vars(own).items() if _plain(k)}
    file = vars(sys.modules[own.__module__])
    found |= {f"{own.__module__}.{k}": _text(v, 0) for k, v in file.items() if _plain(k)}
    return found


def _plain(name: str) -> bool:
    return not (name.startswith("__") and name.endswith("__"))


def differing(one: Trace, other: Trace) -> list[str]:
    """Names of what is there once, or has another value."""
    return sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))


def _text(value: Any, depth: int) -> str:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | range):
        return repr(value)
    if isinstance(value, Tensor):
        return tensor_digest([f"{value.dtype}{tuple(value.shape)}", value])
    name = type(value).__name__
    if isinstance(value, nn.Module) or depth == DEEPEST:
        return name  # a module's own values are found by its path
    if isinstance(value, Mapping):
        inner = [f"{_text(k, depth + 1)}: {_text(v, depth + 1)}" for k, v in _some(value.items())]
    elif isinstance(value, list | tuple):
        inner = [_text(v, depth + 1) for v in _some(value)]
    elif isinstance(value, set | frozenset):
        inner = sorted(_text(v, depth + 1) for v in _some(value))
    else:
        return name
    return f"{name} of {len(value)}: {', '.join(inner)}"


def _some(values: Any) -> list[Any]:
    return list(values)[:LONGEST]
