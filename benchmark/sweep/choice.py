"""The rule by which a sweep chooses."""

from collections.abc import Mapping

RULE = (
    "the trial with the highest mean over seeds of the score; of equal ones the first listed; a "
    "trial of which a run has failed is not chosen"
)


def best_of(means: Mapping[int, float]) -> int | None:
    """The number of the trial that the rule chooses; None where all have failed.

    Args:
        means: trial -> mean over seeds, of those that have not failed.
    """
    return min(means, key=lambda number: (-means[number], number), default=None)
