"""What a run ran on and with: code, versions, hardware. One dict, JSON-able."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ... import __version__
from ...common.digests import digest
from ...common.files import PACKAGE, ROOT

LIBRARIES = (
    "torch", "torchvision", "open_clip_torch", "numpy", "pillow", "pyarrow", "pandas",
    "safetensors", "datasets", "huggingface_hub", "transformers", "tokenizers",
)  # fmt: skip
NO_NUMBERS = (
    "__main__.py", "cli.py", "cli_data.py", "commands.py", "data_commands.py", "data_lock.py",
    "data_names.py", "data_reports.py", "display.py", "doctor.py", "listing.py", "tables",
)  # fmt: skip


def code_sha() -> str:
    """sha256 over the harness's sources that can change a number (not the command line, tables)."""
    files = [
        f
        for f in sorted(PACKAGE.rglob("*.py"))
        if f.relative_to(PACKAGE).parts[0] not in NO_NUMBERS
    ]
    return digest(p for f in files for p in (str(f.relative_to(PACKAGE)), f.read_bytes()))


def git_state(file: Path) -> dict[str, Any]:
    """Commit of the harness, and what of the code is not committed.

    Args:
        file: the method's file.

    Returns:
        commit (None outside a git checkout), dirty (changed or untracked paths of the code).
    """
    paths = [str(PACKAGE), str(ROOT / "methods")]
    if file.resolve().is_relative_to(ROOT):
        paths.append(str(file))
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=all", "--", *paths)
        tracked = _git("ls-files", "--", str(PACKAGE / "__init__.py"))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": []}
    if not tracked:
        return {"commit": None, "dirty": []}
    return {"commit": commit, "dirty": [line[3:] for line in changed.splitlines()]}


def git_dirty(file: Path) -> bool:
    """Whether a file of the checkout is changed or untracked."""
    return bool(_git("status", "--porcelain", "--untracked-files=all", "--", str(file)))


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.rstrip("\n")


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
        found["cuda"] = torch.version.cuda
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
