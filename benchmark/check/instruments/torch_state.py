"""The switches and generators that all code of a process shares: read, compared, put back."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...common.digests import digest

_DETERMINISTIC = (torch.are_deterministic_algorithms_enabled, lambda on: _deterministic(on))


def _deterministic(on: bool) -> None:
    torch.use_deterministic_algorithms(
        on, warn_only=torch.is_deterministic_algorithms_warn_only_enabled()
    )


def _fast_attention(on: bool) -> None:
    torch.backends.cuda.enable_flash_sdp(on)


# What it is called -> how it is read, how it is set.
_SWITCHES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": _DETERMINISTIC,
    "matrix product precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "autocast": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
    ),
    "autocast of CUDA": (
        lambda: torch.is_autocast_enabled("cuda"),
        lambda on: torch.set_autocast_enabled("cuda", on),
    ),
    "cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda on: setattr(torch.backends.cudnn, "benchmark", on),
    ),
    "cudnn.deterministic": (
        lambda: torch.backends.cudnn.deterministic,
        lambda on: setattr(torch.backends.cudnn, "deterministic", on),
    ),
    "TF32": (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda on: setattr(torch.backends.cudnn, "allow_tf32", on),
    ),
    "fast attention": (torch.backends.cuda.flash_sdp_enabled, _fast_attention),
    "working directory": (os.getcwd, os.chdir),
}


@dataclass(frozen=True)
class TorchState:
    """Values of all switches at one moment."""

    values: dict[str, Any]

    @staticmethod
    def now() -> "TorchState":
        """As the process stands."""
        return TorchState({name: read() for name, (read, _) in _SWITCHES.items()})

    def changes(self) -> list[str]:
        """What is another value now: "default dtype: torch.float32, then torch.float64"."""
        now = TorchState.now().values
        return [f"{k}: {v}, then {now[k]}" for k, v in self.values.items() if now[k] != v]

    def restore(self) -> list[str]:
        """Put all switches back; what had changed, as `changes` gives it."""
        found = self.changes()
        for name, (read, put) in _SWITCHES.items():
            if read() != self.values[name]:
                put(self.values[name])
        return found


@dataclass(frozen=True)
class Generators:
    """Digests of the states of the global generators of torch, Python and numpy.

    Numpy's place in its block of numbers and its kept normal number are part of its state.
    """

    states: dict[str, str]

    @staticmethod
    def now() -> "Generators":
        """As the process stands."""
        found = {
            "torch": torch.get_rng_state().numpy().tobytes(),
            "random": repr(random.getstate()).encode(),
            "numpy": repr(_numpy_state()).encode(),
        }
        return Generators({name: digest([state]) for name, state in found.items()})

    def drawn(self) -> list[str]:
        """Names of those that stand elsewhere now."""
        now = Generators.now().states
        return [name for name, state in self.states.items() if state != now[name]]


def _numpy_state() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)
    inner: Any = state["state"]
    return inner["key"].tobytes(), inner["pos"], state["has_gauss"], state["gauss"]
