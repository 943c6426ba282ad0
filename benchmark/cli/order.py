"""`cl-bench order`: zero-shot scores of a backbone, beside the paper's, and the order they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
KINDS = {"t2i": "T→I R@1", "i2t": "I→T R@1", "acc": "accuracy"}


def order_report(plan: Plan, display: Display) -> str:
    """Measure every task of a suite and compare.

    Args:
        plan: suite, backbone and weights; its method is not used.
        display: for the lines on the way.

    Returns:
        A table of scores and deviations, the measured order, and what is off.
    """
    from ..run.inputs import measure_tasks  # torch

    return render(plan, compare(plan, measure_tasks(plan, display)))


# -- comparing


@dataclass(frozen=True)
class ComparedTask:
    """The untouched backbone on the test split of one task.

    Attributes:
        name, title: of the task. images: of its test split.
        ours: kind of score -> percent. paper: kind -> what is printed.
        copy: the source, where the data are not the declared one's; no paper is beside it.
    """

    name: str
    title: str
    images: int
    ours: dict[str, float]
    paper: dict[str, list[float]]
    copy: str = ""

    def beside(self, kind: str) -> list[float]:
        """What a paper prints for the very same data."""
        return [] if self.copy else self.paper.get(kind, [])

    def gap(self, kind: str) -> float | None:
        """Points from the nearest printed value; None where there are not both."""
        if kind not in self.ours or not self.beside(kind):
            return None
        return deviation(self.ours[kind], self.beside(kind))


def compare(plan: Plan, measured: Mapping[str, Mapping[str, float]]) -> list[ComparedTask]:
    """Every task of a plan's suite, in forward order, beside the papers' numbers.

    Args:
        plan: see `order_report`.
        measured: see `measure_tasks`.
    """
    printed = {}
    if plan.pretrained == PAPER_PRETRAINED and plan.request.limit is None:
        printed = printed_zero_shot(plan.backbone)
    copies = _copies(plan)
    tasks = []
    for task in plan.suite.tasks:
        scores = measured[task.name]
        ours = {kind: scores[kind] for kind in KINDS if kind in scores}
        paper = {kind: values for (name, kind), values in printed.items() if name == task.name}
        copy = copies.get(task.name, "")
        tasks.append(ComparedTask(task.name, task.title, int(scores["n"]), ours, paper, copy))
    return tasks


def _copies(plan: Plan) -> dict[str, str]:
    """Dataset -> source, where it is not the declared one."""
    sources = {k: v for k, v in plan.settings.items() if k.startswith("source.")}
    return {k.removeprefix("source."): v for k, v in sources.items()}


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


# -- printing


def render(plan: Plan, tasks: Sequence[ComparedTask]) -> str:
    """The table, both orders, and what is off."""
    printed = any(task.paper for task in tasks)
    names = [task.name for task in tasks]
    key = {task.name: task.ours.get("i2t", task.ours.get("acc", 0.0)) for task in tasks}
    order, _ = resolve_order("measured", names, lambda: key)
    return "\n".join([
        f"zero-shot of {plan.backbone} ({plan.pretrained}), suite {plan.suite.name}, percent",
        _table(tasks),
        "paper: DAR, Table 1 (and Table 8 where it prints another value)" if printed else
        f"no paper prints zero-shot scores of {plan.backbone} on these sets",
        f"measured order: {', '.join(order)}",
        f"forward order:  {', '.join(names)}"
        + (" (the same)" if order == names else " (--order measured runs the other)"),
        *(f"{name} is the copy {of}: no paper is beside it" for name, of in _copies(plan).items()),
        *(["limited galleries: no paper is beside them"] if plan.request.limit is not None else []),
        *_verdict(tasks, printed),
    ])  # fmt: skip


def _table(tasks: Sequence[ComparedTask]) -> str:
    kinds = [kind for kind in KINDS if any(kind in task.ours for task in tasks)]
    heads = ["set", "images"]
    for kind in kinds:
        heads += [f"{KINDS[kind]}, ours", "paper", "off by"]
    rows = []
    for task in tasks:
        row: list[object] = [task.title, task.images]
        for kind in kinds:
            gap = task.gap(kind)
            row += [
                f"{task.ours[kind]:.1f}" if kind in task.ours else "",
                " / ".join(f"{value:.1f}" for value in task.beside(kind)) or "-",
                "-" if gap is None else f"{gap:+.1f}",
            ]
        rows.append(row)
    return tabulate(rows, heads, disable_numparse=True)


def _verdict(tasks: Sequence[ComparedTask], printed: bool) -> list[str]:
    gaps = [(task.title, kind, task.gap(kind)) for task in tasks for kind in KINDS]
    off = [
        f"{title} ({KINDS[kind]} {gap:+.1f})"
        for title, kind, gap in gaps
        if gap is not None and abs(gap) > OFF
    ]
    if off:
        return [f"off by more than {OFF:g} points: {', '.join(off)}; {CAUSES}"]
    return [f"no set is off by more than {OFF:g} points"] if printed else []
