"""State of a run on disk: safetensors and JSON, never a pickle.

A method's state is its state dict without the tensors that still equal the pretrained ones, so
that its size is what the method really keeps between tasks.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from .errors import BenchError
from .files import atomic
from .train import Fit, Progress


class Damaged(Exception):
    """A checkpoint is cut, changed or lacks a part; the caller falls back to an older one."""


@dataclass(frozen=True)
class Pristine:
    """sha256 of every tensor of the untouched backbone, under a method's names for them."""

    digests: Mapping[str, str]

    @staticmethod
    def of(clip: nn.Module) -> "Pristine":
        """Digests of a freshly loaded backbone."""
        return Pristine({f"clip.{k}": _digest(v) for k, v in clip.state_dict().items()})

    def unchanged(self, name: str, tensor: Tensor) -> bool:
        """Whether the tensor still has its pretrained value, bit for bit."""
        return self.digests.get(name) == _digest(tensor)


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().view(-1)
    raw = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode() + raw).hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> int:
    """Write tensors and what is said of them; `about` is written last and seals the tensors.

    Returns:
        Bytes of tensor data.
    """
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    raw = save(plain)
    with atomic(path) as temporary:
        temporary.write_bytes(raw)
    sealed = {**about, "sha256": hashlib.sha256(raw).hexdigest()}
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(sealed))
    return sum(v.numel() * v.element_size() for v in plain.values())


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` wrote.

    Raises:
        Damaged: a part is missing, cut or does not fit the other.
    """
    try:
        raw = path.read_bytes()
        about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError) as e:
        raise Damaged(f"{path.name}: {type(e).__name__}") from e
    if hashlib.sha256(raw).hexdigest() != about.pop("sha256", None):
        raise Damaged(f"{path.name}: its bytes are not those that were written")
    return load(raw), about


def method_state(method: nn.Module, pristine: Pristine) -> tuple[dict[str, Tensor], list[str]]:
    """Changed or added tensors, and the names of the unchanged ones."""
    state = method.state_dict()
    same = sorted(k for k, v in state.items() if pristine.unchanged(k, v))
    return {k: v for k, v in state.items() if k not in same}, same


def extra_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes kept beyond one copy of the backbone: changed backbone weights replace the old ones."""
    return sum(
        v.numel() * v.element_size() for k, v in tensors.items() if not k.startswith("clip.")
    )


@torch.no_grad()
def restore(method: nn.Module, tensors: Mapping[str, Tensor], same: list[str]) -> None:
    """Give a rebuilt method its saved tensors; its backbone must be freshly loaded.

    Buffers take the saved shape; a part that the saved state does not have (a teacher that
    `after_task` dropped) is dropped.

    Raises:
        BenchError: the method did not rebuild a part that was saved: its `before_task` does more,
            or less, than build structure.
    """
    keep = {*tensors, *same}
    for name in [k for k in method.state_dict() if k not in keep]:
        _drop(method, name, keep)
    for name, value in tensors.items():
        owner_name, _, leaf = name.rpartition(".")
        try:
            owner = method.get_submodule(owner_name)
            if leaf in owner._buffers:
                old = owner._buffers[leaf]
                device = value.device if old is None else old.device
                owner._buffers[leaf] = value.to(device)
            else:
                owner.get_parameter(leaf).copy_(value)
        except (AttributeError, RuntimeError) as e:
            raise BenchError(
                f"the saved tensor '{name}' to fit the method rebuilt by its `before_task`",
                str(e).splitlines()[0],
                "let before_task build structure from the config and task.index alone",
                code=5,
            ) from e


def _drop(method: nn.Module, name: str, keep: set[str]) -> None:
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        prefix = ".".join(parts[:depth])
        if any(k == prefix or k.startswith(prefix + ".") for k in keep):
            continue
        owner: Any = method.get_submodule(".".join(parts[: depth - 1]))
        if parts[depth - 1] in getattr(owner, "_modules", {}):
            owner._modules[parts[depth - 1]] = None
        elif parts[depth - 1] in owner._buffers:
            owner._buffers[parts[depth - 1]] = None
        else:
            owner._parameters[parts[depth - 1]] = None
        return


# -- inside a task


def fit_state(fit: Fit) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's moments by parameter index, and the progress."""
    tensors: dict[str, Tensor] = {}
    if fit.optimizer is not None:
        for index, moments in fit.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in moments.items()}
    return tensors, asdict(fit.progress)


def restore_fit(fit: Fit, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Put a fresh Fit back to the saved step."""
    fit.progress = Progress(**progress)
    if fit.optimizer is None:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        head, index, key = name.split(".", 2)
        if head == "optimizer":
            state.setdefault(int(index), {})[key] = value
    whole = fit.optimizer.state_dict()
    fit.optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
