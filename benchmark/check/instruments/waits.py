"""Counts what makes a host wait for its accelerator, on the pretended one.

The rules are CUDA's. A blocking copy, either way, ends in a synchronisation of the stream; so does
all whose shape or branch depends on values: `item`, `nonzero`, masks and host tensors as indices.
A copy to the device does not wait where it is asked not to (`non_blocking=True`) and comes from
pinned memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
COPIES = frozenset({aten._to_copy.default, aten.copy_.default, aten._copy_from.default})
INDEXED = frozenset({
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
})  # fmt: skip
_ITEM = aten._local_scalar_dense.default
# Their shapes or results depend on values: the host asks before it goes on.
_ASKING = frozenset({
    "nonzero", "masked_select", "unique_dim", "_unique2", "_unique", "unique_consecutive", "equal",
    "bincount", "_linalg_check_errors", "linalg_eig", "_linalg_eigh", "_linalg_svd",
    "linalg_cholesky_ex", "masked_scatter",
})  # fmt: skip
_PINNED = "_pinned_by_pretence"
_counters: list[Counter[str]] = []


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Inside, waits are counted, by what waits."""
    counter: Counter[str] = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


def note(kind: str) -> None:
    """One wait, of that kind."""
    for counter in _counters:
        counter[kind] += 1


def note_operation(
    func: Any, args: Sequence[Any], kwargs: Any, is_there: Callable[[object], bool], to_there: bool
) -> None:
    """The waits of one operation.

    Args:
        func: of aten.
        args: its arguments.
        kwargs: its arguments by name.
        is_there: whether a tensor is on the device.
        to_there: whether a copy, by its arguments, goes there.
    """
    if not _counters:
        return
    name = func.name().removeprefix("aten::").partition(".")[0]
    if func is _ITEM:
        note("item")
    elif func in COPIES:
        _note_copy(func, args, kwargs, is_there, to_there)
    elif func in INDEXED:
        for index in args[1]:
            if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
                note("mask as index")
            elif isinstance(index, Tensor) and not is_there(index):
                note("index of the host")
    elif name in _ASKING or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        note(name)


def _note_copy(
    func: Any, args: Sequence[Any], kwargs: Any, is_there: Callable[[object], bool], to_there: bool
) -> None:
    if func is aten.copy_.default:
        source, lands = args[1], is_there(args[0])
        goes_on = bool(args[2]) if len(args) > 2 else bool(kwargs.get("non_blocking"))
    else:
        source, goes_on = args[0], bool(kwargs.get("non_blocking"))
        lands = to_there if kwargs.get("device") is not None else is_there(source)
    if is_there(source) and not lands:
        note("copy to the host")
    elif lands and not is_there(source) and not (goes_on and hasattr(source, _PINNED)):
        note("copy to the device")


def pinned(x: Tensor) -> Tensor:
    """What `Tensor.pin_memory` gives: a copy in memory that the device reads by itself."""
    made = x.clone()
    setattr(made, _PINNED, True)
    return made


def is_pinned(x: Tensor) -> bool:
    """Whether that was made so."""
    return hasattr(x, _PINNED)
