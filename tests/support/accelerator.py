"""Whole runs on the pretended accelerator."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from benchmark.check.instruments.pretended import Elsewhere, pretended
from benchmark.run.guards import returns


@contextmanager
def accelerator() -> Iterator[torch.device]:
    """Inside, a run finds one accelerator on this machine, whatever `--device` says."""
    with ExitStack() as stack:
        device = stack.enter_context(pretended())
        for module in ("build", "device.precision"):
            name = f"benchmark.run.{module}.pick_device"
            stack.enter_context(mock.patch(name, return_value=device))
        # To the guards of a run, what is there is the plain kind of tensor.
        stack.enter_context(mock.patch.object(returns, "Tensor", Elsewhere))
        yield device
