"""What numbers depend on in a process: torch's switches, generators, hooks and functions."""

import builtins
import random
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .state import State, attribute

if TYPE_CHECKING:
    from torch import Tensor


def switches() -> list[State]:
    """Torch's own, and numpy's."""
    import numpy as np
    import torch
    from torch import backends
    from torch.overrides import _get_current_function_mode_stack as modes

    def device(value: torch.device) -> None:
        torch.set_default_device(None)
        if torch.get_default_device() != value:
            torch.set_default_device(value)

    def deterministic(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def fewer_modes(count: int) -> None:
        while len(modes()) > count:
            torch._C._pop_torch_function_stack()

    found = [
        State("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        State("torch's default device", torch.get_default_device, device),
        State("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
        State("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        State(
            "torch's precision of float32 products", torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        State(
            "torch's deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            deterministic,
        ),
        State(
            "torch's flushing of denormals",
            lambda: float(torch.full((1,), 5e-324, dtype=torch.float64, device="cpu") * 1) == 0,
            torch.set_flush_denormal,
        ),
        State("torch's function modes", lambda: len(modes()), fewer_modes),
        State("numpy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    ]  # fmt: skip
    found += [_autocast(kind) for kind in ("cpu", "cuda")]
    cudnn = ("enabled", "benchmark", "deterministic", "allow_tf32")
    found += [attribute(backends.cudnn, name, f"torch's cudnn.{name}") for name in cudnn]
    products = (
        "allow_tf32", "allow_fp16_reduced_precision_reduction",
        "allow_bf16_reduced_precision_reduction",
    )  # fmt: skip
    matmul = backends.cuda.matmul
    found += [attribute(matmul, name, f"torch's cuda.matmul.{name}") for name in products]
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        read = getattr(backends.cuda, f"{name}_sdp_enabled")
        found.append(
            State(f"torch's {name} attention", read, getattr(backends.cuda, f"enable_{name}_sdp"))
        )
    return found


def _autocast(kind: str) -> State:
    import torch

    def put(value: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(kind, value[0])
        torch.set_autocast_dtype(kind, value[1])

    def read() -> tuple[bool, torch.dtype]:
        return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    return State(f"torch's autocast on {kind}", read, put)


def shared_parts() -> list[State]:
    """Hooks on all modules and optimisers, and the functions that harness and methods share."""
    from torch.nn.modules import module
    from torch.optim import optimizer

    found = []
    for owner, what in ((module, "modules"), (optimizer, "optimisers")):
        for name, hooks in vars(owner).items():
            if name.startswith("_global_") and isinstance(hooks, dict):
                found.append(_entries(f"hooks on all {what} ({name})", hooks))
    return [
        *found,
        State("functions of torch or of the harness", _functions, _put_functions, dear=True),
    ]


def _entries(name: str, table: dict[Any, Any]) -> State:
    def put(value: dict[Any, Any]) -> None:
        table.clear()
        table.update(value)

    return State(name, lambda: dict(table), put)


def _functions() -> "_Functions":
    """What functions and classes go by which name, in the modules that all runs share."""
    import numpy as np
    import torch

    places: list[Any] = [builtins, torch, torch.nn.functional, torch.linalg, torch.Tensor, np]
    places += [torch.nn.Module, torch.nn.Linear, torch.nn.LayerNorm, torch.optim.AdamW, torch.optim]
    for name, module in list(sys.modules.items()):
        if name.startswith("benchmark.") and isinstance(module, ModuleType):
            places.append(module)
            places += [
                value for value in vars(module).values()
                if isinstance(value, type) and value.__module__ == name
            ]  # fmt: skip
    return _Functions({id(place): (place, dict(vars(place))) for place in places})


class _Functions:
    """Names and what they stand for; equal where each function and class is the same object."""

    def __init__(self, found: dict[int, tuple[Any, dict[str, Any]]]) -> None:
        self.found = found

    def differing(self, now: "_Functions") -> Iterator[tuple[Any, str, Any]]:
        """Place, name and function, of those that are others now."""
        for key, (place, names) in self.found.items():
            there = now.found.get(key)
            if there is None or there[1] == names:
                continue
            for name, value in names.items():
                if isinstance(value, _KINDS) and not _same(value, there[1].get(name)):
                    yield place, name, value
            if isinstance(place, type):  # a new name there hides an inherited one
                for name in there[1].keys() - names.keys():
                    if getattr(there[1][name], "hooked", False):
                        continue  # torch wraps an optimiser's `step` when the first one is made
                    if any(name in vars(base) for base in place.__mro__[1:]):
                        yield place, name, _ABSENT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Functions) and next(self.differing(other), None) is None

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "functions and classes"

    def others(self, now: "_Functions") -> str:
        """What differs, in words."""
        names = [f"{getattr(place, '__name__', place)}.{name}"
                 for place, name, _ in self.differing(now)]  # fmt: skip
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _same(before: Any, now: Any) -> bool:
    """Whether it is what it was, or torch's own wrapping of it.

    torch's compiler wraps some when it is imported, as the first checkpoint or optimiser does.
    """
    if now is before:
        return True
    made_in = getattr(getattr(now, "__code__", None), "co_filename", "")
    return getattr(now, "__wrapped__", None) is before and Path(made_in).parent in _OWN


_ABSENT = object()
_TORCH = Path(find_spec("torch").origin or "").parent  # type: ignore[union-attr]
_OWN = (_TORCH, _TORCH / "_dynamo")
_KINDS = (FunctionType, type(len), type(str.join), type(object.__init__), type, staticmethod,
          classmethod, property)  # fmt: skip


def _put_functions(before: _Functions) -> None:
    for place, name, value in list(before.differing(_functions())):
        if value is _ABSENT:
            delattr(place, name)
        else:
            setattr(place, name, value)


def generators() -> list[State]:
    """The global ones."""
    import numpy as np
    import torch

    def numpy_state() -> tuple[Any, ...]:
        state = np.random.get_state(legacy=False)
        block = state["state"]
        return block["key"].tobytes(), block["pos"], state["has_gauss"], state["gauss"]

    def put_numpy(value: tuple[Any, ...]) -> None:
        key = np.frombuffer(value[0], dtype=np.uint32)
        np.random.set_state(("MT19937", key, *value[1:]))

    def of_torch(
        read: "Callable[[], Tensor]", put: "Callable[[Tensor], object]", name: str
    ) -> State:
        def put_back(value: bytes) -> None:
            put(torch.frombuffer(bytearray(value), dtype=torch.uint8))

        return State(f"state of {name}", lambda: read().numpy().tobytes(), put_back)

    found = [
        of_torch(torch.get_rng_state, torch.set_rng_state, "torch's generator"),
        State("state of numpy's generator", numpy_state, put_numpy),
        State("state of Python's generator", random.getstate, random.setstate),
    ]
    if torch.cuda.is_initialized():
        cuda = torch.cuda
        found.append(of_torch(cuda.get_rng_state, cuda.set_rng_state, "torch's GPU generator"))
    return found
