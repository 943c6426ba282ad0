"""The badges of what a method uses, and the number that stands for no route. No torch."""

from typing import Literal

UNSEEN = 2**15 - 1
"""The route of items that no learned task took, where records count how many took which."""


Badge = Literal[
    "samples",
    "features",
    "reference data",
    "task id",
    "test pairing",
    "test batch",
    "all tasks at once",
]
"""What a method uses beyond the current task's data.

samples, features: of past tasks. reference data: from outside the tasks. task id: which task a
test item is from. test pairing: what a test item is paired with. test batch: which items of one
test set come together. all tasks at once:
they are learned together, at the end.
"""
