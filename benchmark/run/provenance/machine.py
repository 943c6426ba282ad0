"""What a run ran on and with: versions of libraries, hardware. JSON-able."""

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ... import __version__

LIBRARIES = (
    "torch", "torchvision", "open_clip_torch", "numpy", "pillow", "pyarrow", "pandas",
    "safetensors", "datasets", "huggingface_hub", "transformers", "tokenizers",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that numbers pass through."""
    libraries = {name: found for name in LIBRARIES if (found := _version(name))}
    return {"python": platform.python_version(), "cl-bench": __version__, **libraries}


@cache
def _version(library: str) -> str:
    """'' for one that is not there; it stays what it is while the process lasts."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def hardware() -> dict[str, Any]:
    """Processor, memory, threads and GPU; no host name."""
    import torch

    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["gpu_count"] = torch.cuda.device_count()
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()
        found["driver"] = _driver()
        found["deterministic"] = torch.are_deterministic_algorithms_enabled()
    return found


def _driver() -> str | None:
    """Version of the kernel's GPU driver, where the system tells it."""
    try:
        text = Path("/sys/module/nvidia/version").read_text()
    except OSError:
        return None
    return text.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
