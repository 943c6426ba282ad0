"""The lease of a task's training data: whether it may still be read, and what of it is left."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BenchError
from .tensors import Tensors


@dataclass
class Lease:
    """Whether a task's data may still be read, and which of its images; None for all."""

    closed: bool = False
    rows: Tensor | None = None

    def count(self, data: Tensors) -> int:
        """Number of images that are left."""
        return len(data) if self.rows is None else len(self.rows)

    def places(self, data: Tensors) -> Tensor:
        """The images that are left, as rows of the split."""
        return torch.arange(len(data)) if self.rows is None else self.rows

    def keep(self, data: Tensors, rows: Tensor) -> None:
        """Give up all images but those at `rows`; see `protocol.types.Loader.keep`."""
        there, rows = self.places(data), rows.cpu()
        if len(rows.unique()) < len(rows) or not bool(torch.isin(rows, there).all()):
            raise BenchError(
                f"distinct rows among the {len(there)} that are left of a task's data",
                f"{len(rows)} rows, some of them twice or not there",
                "keep what was not given up before",
            )
        self.rows = rows.sort().values
