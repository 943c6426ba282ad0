"""A pretended accelerator: code runs under a GPU's rules on a machine that has none.

Tensors of this device say that they are elsewhere (`device.type == "meta"`), hold their values on
the CPU, and refuse what CUDA would refuse: an operation with host tensors beside them, a draw on
the device from a generator of the host, host values put into a tensor of the device. The
arithmetic is the CPU's, so a training ends in the CPU's numbers.

The device is called "meta" because torch asks a driver for every other accelerator's streams and
guards. Three layers do the work. A tensor subclass holds the values; a dispatch mode runs each
operation on them and sees the factories (`zeros(..., device=...)`); a function mode sees what
never reaches the dispatcher as an operation (`torch.tensor`, lists as indices, `tolist`, `.data`).
Not pretended: streams and events, memory figures, kernels chosen by device, `torch.compile`.
What would make the host wait is counted, see `waits`.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from .waits import COPIES, INDEXED, is_pinned, note, note_operation, pinned

DEVICE = torch.device("meta")
aten = torch.ops.aten
_FUSED = "_get_fused_kernels_supported_devices"
# Each has by its own name the function that lists the devices with fused kernels.
_LISTS = ("optim.adam", "optim.adamw", "optim.sgd", "optim.adagrad", "optim.optimizer",
          "utils._foreach_utils")  # fmt: skip


class DeviceMismatch(RuntimeError):
    """What CUDA would refuse, in its words where it has some."""


class Elsewhere(Tensor):
    """A tensor on the pretended device.

    Attributes:
        host: a tensor of the CPU with its shape, strides, type and numbers.
    """

    host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor) -> "Elsewhere":
        """The shell around some values of the CPU."""
        make: Any = torch.Tensor._make_wrapper_subclass
        kind = {"strides": values.stride(), "dtype": values.dtype, "device": DEVICE}
        made: Elsewhere = make(cls, values.shape, **kind)
        made.host = values
        return made

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return f"Elsewhere({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def is_there(device: object) -> bool:
    """Whether something names the pretended device."""
    try:
        return device is not None and torch.device(cast(Any, device)).type == DEVICE.type
    except (RuntimeError, TypeError):
        return False


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """One operation: checked, done on the CPU, its results put where they belong."""
    leaves = tree_leaves((args, kwargs))
    there = [x for x in leaves if isinstance(x, Elsewhere)]
    target = kwargs.get("device")
    _check(func, args, leaves, is_there(target))
    if there or is_there(target):
        note_operation(func, args, kwargs, lambda x: isinstance(x, Elsewhere), is_there(target))
    if func is aten._fused_sdp_choice.default:  # the plain attention, whose parts we know
        return 0
    plain_args, plain_kwargs = tree_map(_bare, list(args)), tree_map(_bare, dict(kwargs))
    if target is not None:
        plain_kwargs["device"] = torch.device("cpu")
    plain_kwargs.pop("pin_memory", None)
    out = func(*plain_args, **plain_kwargs)
    if torch.Tag.inplace_view in func.tags:  # the shell's shape follows its values'
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
        return args[0]
    if func is aten.copy_.default:
        return args[0]
    lands = bool(there) if target is None else is_there(target)
    known = {id(x.host): x for x in there}

    def put(x: Any) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, Elsewhere):
            return x
        return known[id(x)] if id(x) in known else Elsewhere(x) if lands else x

    return tree_map(put, out)


def _check(func: Any, args: Sequence[Any], leaves: list[Any], to_there: bool) -> None:
    """Refuse what the accelerator would."""
    there = [x for x in leaves if isinstance(x, Elsewhere)]
    here = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, Elsewhere)]
    name = func.name().removeprefix("aten::").partition(".")[0]
    if any(is_there(x.device) for x in here):
        raise DeviceMismatch(f"a tensor without values came into {name}")
    if func in COPIES or not (there or to_there):
        return
    if any(isinstance(x, torch.Generator) for x in leaves):
        raise DeviceMismatch(
            f"Expected a 'cuda' device type for generator but found 'cpu', in {name}"
        )
    if func in INDEXED:
        _check_index(args)
        return
    if there and (odd := [tuple(x.shape) for x in here if x.dim()]):
        raise DeviceMismatch(
            "Expected all tensors to be on the same device, but found at least two: "
            f"{odd[0]} on the CPU beside {tuple(there[0].shape)} on the device, in {name}"
        )


def _check_index(args: Sequence[Any]) -> None:
    if not isinstance(args[0], Elsewhere):
        raise DeviceMismatch(
            "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
        )
    values = args[2] if len(args) > 2 else None
    if isinstance(values, Tensor) and not isinstance(values, Elsewhere) and values.dim():
        raise DeviceMismatch(
            "Expected all tensors to be on the same device: values of the CPU are put into a "
            "tensor on the device"
        )


def _bare(x: Any) -> Any:
    return x.host if isinstance(x, Elsewhere) else x


class _Operations(TorchDispatchMode):
    """Inside, factories and copies know the pretended device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # by torch's default its compiler is imported here, for seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if any(isinstance(x, Elsewhere) for x in leaves) or is_there(kwargs.get("device")):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """What torch decides before an operation is dispatched, by the kind of a tensor's memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _MAKERS and is_there(kwargs.get("device")):
            del kwargs["device"]
            grad = kwargs.pop("requires_grad", False)
            return func(*args, **kwargs).to(DEVICE).requires_grad_(grad)
        if kwargs.get("pin_memory") and not is_there(kwargs.get("device")):
            del kwargs["pin_memory"]
            return pinned(func(*args, **kwargs))
        if func in _PINNING:
            return _PINNING[func](args[0])
        if args and isinstance(args[0], Elsewhere):
            if func is Tensor.new_tensor and kwargs.get("device") is None:
                like = {"dtype": args[0].dtype, **kwargs, "device": None}
                return torch.tensor(args[1], **like).to(DEVICE)
            if func in _MEMORY:
                return _MEMORY[func](*args, **kwargs)
            if func in (Tensor.__getitem__, Tensor.__setitem__):
                args = (args[0], _index(args[1]), *args[2:])
        return func(*args, **kwargs)


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return torch.tensor(index).to(DEVICE) if isinstance(index, list) else index


def _no_numpy(x: Elsewhere, *args: Any, **kwargs: Any) -> Any:
    raise TypeError(
        "can't convert cuda device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
        "host memory first."
    )


def _set_data(x: Elsewhere, new: Tensor) -> None:
    if not isinstance(new, Elsewhere) or new.shape != x.shape:
        raise DeviceMismatch("`.data` is set to a tensor of the CPU or of another shape")
    x.host = new.host


def _tolist(x: Elsewhere) -> Any:
    note("tolist")
    return x.host.tolist()


def _pin(x: Tensor) -> Tensor:
    if isinstance(x, Elsewhere):
        raise DeviceMismatch("cannot pin a tensor of the device, only dense CPU tensors can be")
    return pinned(x)


_MAKERS = frozenset({torch.tensor, torch.as_tensor})
_PINNING: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.pin_memory: _pin,
    Tensor.is_pinned: is_pinned,
}
_MEMORY: dict[Any, Callable[..., Any]] = {
    Tensor.tolist: _tolist,
    Tensor.numpy: _no_numpy,
    Tensor.__array__: _no_numpy,
    cast(Any, Tensor.data).__get__: lambda x, *_: x.detach(),
    cast(Any, Tensor.data).__set__: _set_data,
    cast(Any, Tensor.is_cuda).__get__: lambda x, *_: True,
    cast(Any, Tensor.is_meta).__get__: lambda x, *_: False,
}


def _moving(plain: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """`Module.to` that leaves alone what is there: torch swaps tensors, which it cannot always."""

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype is not None or not is_there(device):
            return plain(self, *args, **kwargs)
        for module in self.modules():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if not all(isinstance(x, Elsewhere) for x in own):
                module._apply(lambda x: x.to(DEVICE), recurse=False)
        return self

    return to


class _Autocast(torch.autocast):
    """The pretended device's autocast is the CPU's."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if is_there(device_type) else device_type, *args, **kwargs)


def _as_cpu(asked: Callable[..., Any]) -> Callable[..., Any]:
    """A question about a kind of device; of the pretended one, the CPU's answer."""
    return lambda *kind: asked(*("cpu" if is_there(one) else one for one in kind))


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Inside, tensors can be moved to the device that is given; afterwards torch is as before."""
    swapped = torch.__future__
    before = swapped.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        for name in _LISTS:
            module = importlib.import_module(f"torch.{name}")
            if hasattr(module, _FUSED):
                kinds = [*getattr(module, _FUSED)(), DEVICE.type]
                stack.enter_context(mock.patch.object(module, _FUSED, return_value=kinds))
        for owner in (torch, torch.amp):
            stack.enter_context(mock.patch.object(owner, "autocast", _Autocast))
        for name in ("is_autocast_enabled", "get_autocast_dtype"):
            stack.enter_context(mock.patch.object(torch, name, _as_cpu(getattr(torch, name))))
        moving = _moving(nn.Module.to)
        stack.enter_context(mock.patch.object(nn.Module, "to", moving))
        swapped.set_swap_module_params_on_conversion(True)
        stack.callback(swapped.set_swap_module_params_on_conversion, before)
        stack.enter_context(_Functions())
        stack.enter_context(_Operations())  # type: ignore[no-untyped-call]
        yield DEVICE
