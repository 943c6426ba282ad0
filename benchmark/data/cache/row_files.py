"""Rows of an encoder that occur in other runs, too, on the disk: one file for each set of items.

A file holds those rows that a run has asked for. It is an array of whole numbers, a row in each
line: the number of the item, then the bits of its float32 row.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...common.locks import held
from ...common.report import Say
from .arrays import FEATURES

Rows = tuple[Tensor, Tensor]
"""Numbers of items (n,) and their rows (n, D)."""


def load_rows(root: Path, key: str, items: int, say: Say) -> Rows | None:
    """The rows that lie under a key; None where there are none, or none that are of use.

    Args:
        root: cache folder.
        key: of the encoder and the set.
        items: of the set.
        say: is told of a damaged file.
    """
    path = FEATURES.path(root, key)
    found = FEATURES.load(path, (None, None), np.int32, say)
    if found is None:
        return None
    lines = found[0]
    item_n = lines[:, 0].astype(np.int64) if lines.shape[1] > 1 else np.array([-1])
    inside = len(item_n) and item_n.min() >= 0 and item_n.max() < items
    if not inside or len(np.unique(item_n)) < len(item_n):
        say(f"{path} holds rows of other items; it is made again")
        return None
    # Copied to where torch would have put them: a product's last bits may depend on that.
    rows = torch.from_numpy(np.ascontiguousarray(lines[:, 1:])).view(torch.float32).clone()
    return torch.from_numpy(item_n), rows


def save_rows(root: Path, key: str, items: int, rows: Rows, say: Say) -> None:
    """Write rows beside those that lie there; of two processes, the second adds to the first's.

    Raises:
        BenchError: the disk is full, or the folder cannot be written.
    """
    path = FEATURES.path(root, key)
    with held(path.parent / "lock", lambda: None):
        before = load_rows(root, key, items, say)
        item_n, row_nD = rows
        if before is not None and before[1].shape[1] == row_nD.shape[1]:
            others = ~torch.isin(before[0], item_n)
            if len(item_n) + int(others.sum()) == len(before[0]):
                return  # all of them are there
            item_n = torch.cat([item_n, before[0][others]])
            row_nD = torch.cat([row_nD, before[1][others]])
        lines = torch.empty((len(item_n), 1 + row_nD.shape[1]), dtype=torch.int32)
        order = item_n.argsort()
        lines[:, 0] = item_n[order]
        torch.index_select(row_nD.view(torch.int32), 0, order, out=lines[:, 1:])
        FEATURES.save(path, lines.numpy(), key=key)
