"""Task orders: forward, reverse, ii, random:<seed>, measured, or a list of names."""

from collections.abc import Callable, Mapping, Sequence

from ..errors import BenchError, nearest
from ..suites.suite import Suite

KINDS = (
    "forward (order I), reverse, ii (order II, of suites that have one), measured, random:<seed> "
    "or a comma list of task names"
)


def resolve_order(
    asked: str,
    names: Sequence[str],
    measure: Callable[[], Mapping[str, float]],
    second: Sequence[str] = (),
) -> tuple[list[str], dict[str, float]]:
    """The task names in the order asked for.

    Args:
        asked: see `KINDS`. A comma list may leave tasks out; they are then no part of the run.
        names: the suite's tasks in forward order.
        measure: zero-shot score of every task; called for "measured" only. The order is by
            descending image-to-text R@1 (accuracy for labelled tasks), the one key that gives the
            order of both of the DAR paper's tables; equal scores keep the forward order.
        second: the tasks in order II; empty for a suite without one.

    Returns:
        Names in order, and the scores they were sorted by (empty unless measured).

    Raises:
        BenchError: an order that is none of these, an unknown name, a name given twice, or order
            II of a suite that has none.
    """
    if asked == "forward":
        return list(names), {}
    if asked == "reverse":
        return list(reversed(names)), {}
    if asked == "ii" and "ii" not in names:
        if not second:
            raise BenchError("a suite with an order II", "one without", f"use another of: {KINDS}")
        return list(second), {}
    if asked == "measured":
        scores = dict(measure())
        return sorted(names, key=lambda n: -scores[n]), scores
    kind, _, seed = asked.partition(":")
    if kind == "random":
        if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
            raise BenchError(
                "random:<whole number of up to 18 digits>",
                f"'{asked}'",
                "write for example random:7",
            )
        import numpy as np  # not for `cl-bench ls`

        return [names[i] for i in np.random.default_rng(int(seed)).permutation(len(names))], {}
    given = [part.strip() for part in asked.split(",")]
    for name in given:
        if name not in names:
            known = [*names, "forward", "reverse", "measured", *(["ii"] if second else [])]
            raise BenchError(f"an order ({KINDS})", f"'{asked}'", nearest(name, known))
    if len(set(given)) < len(given):
        raise BenchError("each task once in --order", f"'{asked}'", "remove the repetition")
    return given, {}


def check_alone(asked: str, tasks: Sequence[str], suite: Suite) -> None:
    """Refuse a sequence of tasks where each is learned by itself; raises BenchError."""
    if suite.alone and len(tasks) != 1:
        names = ", ".join(d.name for d in suite.tasks)
        raise BenchError(
            f"--order with one task of '{suite.name}' ({names}), as each is learned alone",
            f"'{asked}', which names {len(tasks)}",
            f"give -o {suite.tasks[0].name}, or several -o of one task each",
        )
