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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...common.digests import tensor_digest
from ...common.files import atomic
from ...errors import BenchError
from ..train import Fit, Progress


class DamagedCheckpoint(Exception):
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
    return tensor_digest([f"{tensor.dtype}{tuple(tensor.shape)}", tensor])


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, notes about them and a digest of each into one safetensors file.

    Args:
        path: the target, replaced at once or not at all.
        tensors: of any shapes, on any device.
        about: JSON-able.

    Raises:
        BenchError: the folder cannot be written or the disk is full.
    """
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    digests = {k: _digest(v) for k, v in plain.items()}
    text = json.dumps(about)
    sha = hashlib.sha256(text.encode()).hexdigest()
    metadata = {"about": text, "about_sha256": sha, "digests": json.dumps(digests)}
    with atomic(path) as temporary:
        try:
            save_file(plain, temporary, metadata)
        except SafetensorError as e:  # its own name for a full disk
            raise OSError(0, str(e)) from e


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the notes that `write` wrote.

    Raises:
        DamagedCheckpoint: the file is cut or changed.
    """
    try:
        with safe_open(path, framework="pt") as f:
            metadata = f.metadata() or {}
            # Copied: a product's last bits may depend on where its factors lie in memory, and in
            # the file they lie where there was room.
            tensors = {name: f.get_tensor(name).clone() for name in f.keys()}  # noqa: SIM118
        sha = hashlib.sha256(metadata["about"].encode()).hexdigest()
        if sha != metadata["about_sha256"]:
            raise ValueError
        about: dict[str, Any] = json.loads(metadata["about"])
        digests = json.loads(metadata["digests"])
    except (OSError, ValueError, KeyError, SafetensorError) as e:
        raise DamagedCheckpoint(f"{path.name}: {type(e).__name__}") from e
    if digests != {k: _digest(v) for k, v in tensors.items()}:
        raise DamagedCheckpoint(f"{path.name}: its tensors are not those that were written")
    return tensors, about


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


def inference_state(method: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What predictions may read, on pairs or labelled sets, beyond one copy of the backbone.

    Args:
        method: whose parts say in `training_only` what no prediction reads.
        tensors: its state, see `method_state`.
    """
    idle = tuple(
        ".".join(filter(None, (owner, name)))
        for owner, module in method.named_modules()
        for name in getattr(module, "training_only", ())
    )
    inside = tuple(f"{name}." for name in ("clip", *idle))
    return {k: v for k, v in tensors.items() if k not in idle and not k.startswith(inside)}


@torch.no_grad()
def restore(
    method: nn.Module, tensors: Mapping[str, Tensor], same: list[str], pristine: Pristine
) -> None:
    """Give a rebuilt method its saved tensors; its backbone must be freshly loaded.

    Buffers take the saved shape; a part that the saved state does not have (a teacher that
    `after_task` dropped) is dropped.

    Raises:
        BenchError: the method did not rebuild a part that was saved, or changed a pretrained
            weight: its `before_task` does more, or less, than build structure.
    """
    keep = {*tensors, *same}
    for name in [k for k in method.state_dict() if k not in keep]:
        _drop(method, name, keep)
    device = next(iter(method.parameters())).device
    for name, value in tensors.items():
        owner_name, _, leaf = name.rpartition(".")
        try:
            owner = method.get_submodule(owner_name)
            if leaf in owner._buffers:
                owner._buffers[leaf] = value.to(device)
                continue
            target = owner.get_parameter(leaf)
        except AttributeError as e:
            raise _unfit(name, "nothing of that name") from e
        if target.shape != value.shape:
            raise _unfit(name, f"shape {tuple(target.shape)} against {tuple(value.shape)}")
        target.copy_(value)
    state = method.state_dict()
    for name in same:
        if name not in state or not pristine.unchanged(name, state[name]):
            raise _unfit(name, "a pretrained weight that the replay changed")


def _unfit(name: str, got: str) -> BenchError:
    return BenchError(
        f"the saved tensor '{name}' to fit the method rebuilt by its `before_task`",
        got,
        "let before_task build structure from the config and task.index alone",
        code=5,
    )


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

MOMENTS = "optimizer."


def fit_state(fit: Fit) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's moments by parameter index, and the progress."""
    tensors: dict[str, Tensor] = {}
    if fit.optimizer is not None:
        for index, moments in fit.optimizer.state_dict()["state"].items():
            tensors |= {f"{MOMENTS}{index}.{k}": v for k, v in moments.items()}
    return tensors, asdict(fit.progress)


def restore_fit(fit: Fit, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Put a fresh Fit back to the saved step."""
    fit.progress = Progress(**progress)
    if fit.optimizer is None:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if not name.startswith(MOMENTS):
            continue
        index, key = name.removeprefix(MOMENTS).split(".", 1)
        if value.ndim and value.shape != fit.params[int(index)].shape:
            raise _unfit(name, "a parameter of another shape")
        state.setdefault(int(index), {})[key] = value
    whole = fit.optimizer.state_dict()
    fit.optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
