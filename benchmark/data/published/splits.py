"""Which rows of a store are which split, and the manifest that names them."""

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.digests import digest
from ...errors import BenchError
from ..split_rules import ByFraction, by_fraction
from .declare import Declaration, Fraction, Shots, SplitRule, Whole, class_table
from .store import Rows

VERSION = "1"  # of the rules below
Indices = npt.NDArray[np.int64]


def pick(rows: Rows, rule: SplitRule, declared: Declaration) -> Indices:
    """The rows of a split, in its order.

    Args:
        rows: the rows of the store that have pixels.
        rule: the split's.
        declared: the dataset.

    Returns:
        (m,) int64 indices in [0, len(rows)).

    Raises:
        BenchError: a split without rows.
    """
    part = np.asarray(rows.column("part"))
    if isinstance(rule, Fraction):
        mine = np.flatnonzero(part == rule.part)
        found = mine[by_fraction(len(mine), ByFraction(rule.test, rule.seed), rule.side)]
    else:
        # In the order of the rule's parts, whatever the order of the files.
        found = np.concatenate([np.flatnonzero(part == name) for name in rule.parts])
    if isinstance(rule, Whole) and rule.group is not None:
        found = found[np.asarray(rows.column("group"))[found] == rule.group]
    if isinstance(rule, Shots):
        found = found[few_shot(np.asarray(rows.column("label"))[found], rule, declared)]
    if not len(found):
        raise BenchError(f"rows for {rule} of {declared.name}", "none", "report it", 5)
    return found


def few_shot(labels: Indices, rule: Shots, declared: Declaration) -> Indices:
    """The k rows of every class, chosen by (protocol, dataset, seed) alone.

    Row i of a class (in split order) is ranked by sha256 of (protocol, dataset, seed, class, i),
    and the first k are taken: the choice is the same on every machine and with every library
    version, and k shots are part of k + 1. A class with fewer than k rows repeats them in
    that order, so that every class weighs the same (RAIL draws with replacement there).

    Args:
        labels: (n,) class of every row.
        rule: protocol, shots, seed.
        declared: the dataset.

    Returns:
        (classes * k,) int64 indices in [0, n), class by class.
    """
    names = class_table(str(declared.classes))["source"]
    chosen = []
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        key = (rule.protocol, declared.name, rule.seed, names[label])
        ranks = [hashlib.sha256(repr((*key, i)).encode()).digest() for i in range(len(mine))]
        order = sorted(range(len(mine)), key=lambda i: ranks[i])
        chosen.append(mine[[order[i % len(order)] for i in range(rule.k)]])
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def manifest_sha(rows: Rows, files: list[str], found: Indices, rule: SplitRule) -> str:
    """sha256 of a split's manifest: rule, and file, row and image of every member in order."""
    row, image = rows.column("row"), rows.column("image_sha256")
    members = (f"{files[rows.file_N[i]]}:{row[i]}:{image[i]}" for i in found.tolist())
    return digest([VERSION, type(rule).__name__, repr(sorted(asdict(rule).items())), *members])


def manifest_of(declared: Declaration, rows: Rows, files: list[str]) -> dict[str, dict[str, Any]]:
    """Rows and manifest sha256 of every declared split."""
    out = {}
    for name, rule in declared.splits.items():
        found = pick(rows, rule, declared)
        out[name] = {"rows": len(found), "sha256": manifest_sha(rows, files, found, rule)}
    return out
