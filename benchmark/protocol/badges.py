"""What a method declares that it uses, and how a route that is none is counted. No torch."""

from typing import Literal

UNSEEN = 2**15 - 1
"""In the rows that count routes, k of the items that no learned task took; else k is the task."""


Badge = Literal[
    "samples", "features", "reference data", "task id", "test pairing", "test batch", "upper bound"
]
"""What a method uses beyond the current task's data.

samples, features: of past tasks. reference data: from outside the tasks. task id: which task a
test item is from. test pairing: what a test item is paired with. test batch: which items of one
test set come together. upper bound: all tasks at once.
"""
