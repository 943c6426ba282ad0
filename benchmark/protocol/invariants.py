"""What a method may promise of its records, so that they can be held against it. No torch."""

from typing import Literal

Invariant = Literal["zero-shot at every step", "same end in every order", "same in every seed"]
"""A promise that is checked in every hit of a method's records.

zero-shot at every step: the scores of every step are those of step 0. same end in every order: of
runs of one seed, the scores after the last task do not depend on the order of tasks. same in every
seed: nothing is drawn, so that two seeds have the same scores.
"""
