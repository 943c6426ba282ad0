"""`cl-bench order`: zero-shot scores of a backbone, beside the paper's, and the order they give."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ..run.request import Plan
from ..run.task_order import resolve_order
from ..tables.paper.numbers import read_paper
from ..tables.spec import PAPER_PRETRAINED, ZERO_SHOT
from .display import Display

OFF = 2.0  # points; more is not a matter of decoders or rounding
CAUSES = (
    "the usual causes are another split size, another caption column, a prefix on the captions, or "
    "weights with the other activation"
)
ZeroShotScores = Mapping[str, float]  # "t2i", "i2t" or "acc" -> percent


def order_report(plan: Plan, display: Display) -> str:
    """Measure every task of a suite and compare.

    Args:
        plan: suite, backbone and weights; its method is not used.
        display: for the lines on the way.

    Returns:
        A table of scores and deviations, the measured order, and what is off.
    """
    from ..run.inputs import measure_tasks  # torch

    measured = measure_tasks(plan, display)
    names = [d.name for d in plan.suite.tasks]
    titles = {d.name: d.title for d in plan.suite.tasks}
    printed = {}
    copies = {k.removeprefix("source."): v for k, v in plan.settings.items() if "source." in k}
    if plan.pretrained == PAPER_PRETRAINED and plan.request.limit is None:
        printed = {k: v for k, v in printed_zero_shot(plan.backbone).items() if k[0] in names}
    kinds = [k for k in ("t2i", "i2t", "acc") if any(k in s for s in measured.values())]
    rows: list[list[Any]] = []
    off: list[str] = []
    for name in names:
        row: list[Any] = [titles[name], measured[name].pop("n")]
        for kind in kinds:
            ours = measured[name].get(kind)
            paper = printed.get((name, kind), []) if name not in copies else []
            gap = None if ours is None or not paper else deviation(ours, paper)
            row += [
                "" if ours is None else f"{ours:.1f}",
                " / ".join(f"{v:.1f}" for v in paper) or "-",
                "-" if gap is None else f"{gap:+.1f}",
            ]
            if gap is not None and abs(gap) > OFF:
                off.append(f"{titles[name]} ({_title(kind)} {gap:+.1f})")
        rows.append(row)
    heads = ["set", "images"]
    for kind in kinds:
        heads += [f"{_title(kind)}, ours", "paper", "off by"]
    key = {name: scores.get("i2t", scores.get("acc", 0.0)) for name, scores in measured.items()}
    order, _ = resolve_order("measured", names, lambda: key)
    lines = [
        f"zero-shot of {plan.backbone} ({plan.pretrained}), suite {plan.suite.name}, percent",
        tabulate(rows, heads, disable_numparse=True),
        "paper: DAR, Table 1 (and Table 8 where it prints another value)" if printed else
        f"no paper prints zero-shot scores of {plan.backbone} on these sets",
        f"measured order: {', '.join(order)}",
        f"forward order:  {', '.join(names)}"
        + (" (the same)" if order == names else " (--order measured runs the other)"),
    ]  # fmt: skip
    lines += [
        f"{name} is the copy {source}: no paper is beside it" for name, source in copies.items()
    ]
    if plan.request.limit is not None:
        lines.append("limited galleries: no paper is beside them")
    if off:
        lines.append(f"off by more than {OFF:g} points: {', '.join(off)}; {CAUSES}")
    elif printed:
        lines.append(f"no set is off by more than {OFF:g} points")
    return "\n".join(lines)


def deviation(ours: float, paper: Sequence[float]) -> float:
    """The distance, in points, to the nearest of the values that a paper prints."""
    return min((ours - value for value in paper), key=abs)


def printed_zero_shot(backbone: str) -> dict[tuple[str, str], list[float]]:
    """(dataset, direction) -> what the papers print for the untouched backbone, first table first.

    The DAR paper prints some sets twice with different values (Tables 1 and 8); both are given.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for printed in read_paper():
        if printed.method != ZERO_SHOT or printed.backbone != backbone or printed.k != 1:
            continue
        values = found.setdefault((printed.dataset, printed.direction), [])
        if (value := float(printed.value)) not in values:
            values.append(value)
    return found


def _title(kind: str) -> str:
    return {"t2i": "T→I R@1", "i2t": "I→T R@1", "acc": "accuracy"}[kind]
