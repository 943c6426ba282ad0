"""Seconds and peak memory of a run's phases, over all of its processes."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

MIB = 2**20


@dataclass
class Usage:
    """What the phases cost.

    Attributes:
        seconds: per phase. memory: per phase, the largest resident size of the process
            (process_mib) and what torch held of the GPU (gpu_mib). Where the system cannot reset
            its high-water mark (all but Linux), a phase shows the largest until its end.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    _phase: tuple[str, float] | None = None  # the one that runs, booked until that time

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Books what is spent inside to a phase."""
        _reset_peaks()
        self._phase = name, time.monotonic()
        try:
            yield
        finally:
            self.spent()
            self._phase = None

    def spent(self) -> dict[str, Any]:
        """All until now, as JSON."""
        if self._phase is not None:
            (name, since), now = self._phase, time.monotonic()
            self.add({"seconds": {name: now - since}, "memory": {name: _peaks()}})
            self._phase = name, now
        return {"seconds": self.seconds, "memory": self.memory}

    def add(self, spent: dict[str, Any]) -> None:
        """Add what an earlier process of the same run had spent."""
        for name, value in spent.get("seconds", {}).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value
        for name, peaks in spent.get("memory", {}).items():
            mine = self.memory.setdefault(name, {})
            for kind, value in peaks.items():
                mine[kind] = max(value, mine.get(kind, 0))


def _reset_peaks() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peaks() -> dict[str, int]:
    peaks = {"process_mib": _resident_peak() // MIB}
    if torch.cuda.is_initialized():
        peaks["gpu_mib"] = torch.cuda.max_memory_allocated() // MIB
    return peaks


def _resident_peak() -> int:
    """Bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
