"""How far the order of tasks moves a method, beside what seeds alone would move it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import erf, sqrt
from statistics import fmean, harmonic_mean, variance

from ..cells import MISSING
from ..spec import is_ablation
from ..writers.markdown import cell, pipes
from .lines import BoardLine
from .scores import LAST_OF

_HEADS = ("Worst", "Spread", "Seeds alone")
_LIMIT, _PARTS = 8.0, 1600  # standard deviations to either side, and steps between


def expected_range(k: int) -> float:
    """Mean of the largest minus the smallest of k independent standard normal draws.

    The integral of 1 - F^k - (1 - F)^k with the normal distribution function F (Tippett,
    Biometrika 1925); 1.128 for two and 1.693 for three, the d2 of control charts.

    Args:
        k: number of draws, at least 1.
    """
    step = 2 * _LIMIT / _PARTS
    below = [(1 + erf((step * i - _LIMIT) / sqrt(2))) / 2 for i in range(_PARTS + 1)]
    height = [1 - f**k - (1 - f) ** k for f in below]
    return step * sum((a + b) / 2 for a, b in pairwise(height))


def order_scores(line: BoardLine) -> dict[str, list[float]]:
    """Order -> mean of both directions at the end, one a seed, in percent.

    An order with a hole is left out.
    """
    found = {}
    for order, seeds in line.orders.items():
        ends = [[seeds[seed].get(name) for name in LAST_OF.values()] for seed in sorted(seeds)]
        known = [[end for end in of_seed if end is not None] for of_seed in ends]
        if all(len(a) == len(b) for a, b in zip(ends, known, strict=True)):
            found[order] = [100 * fmean(of_seed) for of_seed in known]
    return found


def seeds_alone(scores: Mapping[str, Sequence[float]]) -> float | None:
    """The spread over orders that seeds would make on average, were all orders alike.

    Seeds of two orders count as independent draws, although they share some.

    Args:
        scores: order -> one a seed.

    Returns:
        In the unit of the scores; None where an order has one seed.
    """
    if any(len(one) < 2 for one in scores.values()):
        return None
    within = fmean(variance(one) for one in scores.values())
    seeds = harmonic_mean([len(one) for one in scores.values()])
    return expected_range(len(scores)) * sqrt(within / seeds)


def order_table(lines: Sequence[BoardLine]) -> str:
    """A table of the methods that were run in several orders, the steadiest first; '' for none."""
    scored = {line.label: order_scores(line) for line in lines if _shown(line)}
    scored = {label: scores for label, scores in scored.items() if len(scores) > 1}
    if not scored:
        return ""
    orders = sorted({order for scores in scored.values() for order in scores})
    means = {label: {o: fmean(s) for o, s in scores.items()} for label, scores in scored.items()}
    spreads = {label: max(of.values()) - min(of.values()) for label, of in means.items()}
    rows = []
    for label in sorted(scored, key=lambda one: (round(spreads[one], 1), one)):
        by_order = means[label]
        noise = seeds_alone(scored[label])
        rows.append([
            cell(label),
            *(f"{by_order[order]:.1f}" if order in by_order else MISSING for order in orders),
            f"{min(by_order.values()):.1f}",
            f"{spreads[label]:.1f}",
            MISSING if noise is None else f"{noise:.1f}",
        ])  # fmt: skip
    heads = ["Method", *map(cell, orders), *_HEADS]
    return f"Over orders of tasks:\n\n{pipes(heads, rows, ('Method',))}"


def _shown(line: BoardLine) -> bool:
    return not (line.why or line.settings or is_ablation(line.method, line.key[2]))
