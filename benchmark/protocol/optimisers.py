"""Torch's optimisers without its compiler."""

import inspect
from functools import cache
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
O = TypeVar("O", bound=Optimizer)  # noqa: E741


@cache
def eager(kind: type[O]) -> type[O]:
    """An optimiser that makes the very steps of another, and is made without torch's compiler.

    What torch's optimisers do is wrapped in functions that import the compiler, for it to leave
    them out: this takes a second, where nothing is compiled. The subclass has what they wrap.
    Hooks on the steps of all optimisers see its own, as they see others'.

    Args:
        kind: one of torch's optimisers.
    """
    inner = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    made = type(kind.__name__, (kind,), {**inner, "step": step, "__doc__": kind.__doc__})
    return cast(type[O], made)
