"""What training on all tasks at once may be called: a bound is one only where nothing is above."""

from collections.abc import Mapping


def bound_note(label: str, score: float, others: Mapping[str, float], where: str = "") -> str:
    """A sentence on a row that learns all tasks at once.

    Args:
        label: of that row.
        score: its main score.
        others: label -> main score, of the other rows that are told no more than a method may know.
        where: what the scores are of, '' where that is clear.
    """
    at = f" with {where}" if where else ""
    if not others:
        return f"{label}: joint training on all tasks{at}, beside no row that it could bound."
    above = [other for other, theirs in others.items() if theirs > score]
    if not above:
        return f"{label}: joint training on all tasks, an upper bound{at}: no row is above it."
    best = max(above, key=lambda other: others[other])
    return f"{label}: joint training on all tasks (not an upper bound{at}: {best} is above it)."
