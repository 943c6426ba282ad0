"""Many tests at once: p-values that may be held against alpha as if there were one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

Correction = Literal["holm", "bh", "none"]


def holm(p: Sequence[float]) -> list[float]:
    """Holm (1979): bounds the chance of a single false discovery among all tests, however related.

    Args:
        p: p-values in any order.

    Returns:
        Adjusted p-values in that order.
    """
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, highest = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = highest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg (1995): bounds the expected share of false ones among discoveries.

    Args:
        p: p-values in any order.

    Returns:
        Adjusted p-values in that order.
    """
    order = sorted(range(len(p)), key=p.__getitem__, reverse=True)
    adjusted, lowest = [0.0] * len(p), 1.0
    for place, i in enumerate(order):
        lowest = min(lowest, p[i] * len(p) / (len(p) - place))
        adjusted[i] = lowest
    return adjusted


CORRECTIONS: Mapping[Correction, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": list,
}
