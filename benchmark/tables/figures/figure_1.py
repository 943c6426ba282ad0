"""Figure 1: Recall@1 on held-out image-caption sets while tasks are learned."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from ...records.naming import suite_folder
from ..cells import TableRow, rows_of
from ..groups import Group
from ..paper.numbers import Printed, printed_in
from ..run_numbers import At, Metric, RunNumbers
from ..sets import HeldOut, placed, shown
from ..spec import METHOD_ORDER, TITLES, UPPER_BOUND, ZERO_SHOT, backbone_key, is_ablation
from .charts import Axis, Block, Chart, Curve, Picture, Style, make_axis

FIGURE = "figure-1"
TITLE = "Recall@1 on held-out image-caption sets while tasks are learned"
_ABOUT = (
    "Mean over seeds, band: ± one standard deviation. Stage 0: the untouched backbone. "
    "Numbers: after the last task."
)
_TABLES = (13, 14)
_SIDES = (("i2t", "image to text (R@1, %)"), ("t2i", "text to image (R@1, %)"))
# Okabe and Ito's colours, which colour-blind readers tell apart, and two of Tol's; no yellow.
_COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#8c6d31", "#882255", "#0072b2", "#d55e00",
)  # fmt: skip
_FIXED = {
    ZERO_SHOT: Style("#7f7f7f", (2, 3)),
    UPPER_BOUND: Style("#000000", (6, 3)),
    **dict(zip(METHOD_ORDER[1:], map(Style, _COLOURS), strict=True)),
    METHOD_ORDER[-1]: Style(_COLOURS[-1], width=2.6),
}
# For all other methods, from the colours that the fewest figures need.
_CYCLE = (*_COLOURS[5:7], *_COLOURS[4::-1])
_DASHES = ((7, 3), (3, 2), (8, 3, 2, 3))
Panel = tuple[tuple[str, str], str, tuple[Curve, ...]]
"""The set and the direction, which say what axis it shares; its title; its curves."""


def _styles(rows: Sequence[TableRow]) -> dict[str, Style]:
    """A look for every row; a variant has the colour of its method."""
    found: dict[str, Style] = {}
    counts: dict[str, int] = {}
    for row in rows:
        if row.label in found:
            continue
        fixed = _FIXED.get(row.method)
        if fixed is not None and row.label == row.method:
            found[row.label] = fixed
            continue
        family = row.method if fixed is not None else ""
        number = counts[family] = counts.get(family, -1) + 1
        if fixed is not None:
            found[row.label] = Style(fixed.colour, _DASHES[number % len(_DASHES)])
        else:
            turn, colour = divmod(number, len(_CYCLE))
            found[row.label] = Style(_CYCLE[colour], _DASHES[turn % len(_DASHES)])
    return found


def _measured(
    group: Group, runs: Sequence[RunNumbers], rows: Sequence[TableRow], looks: Mapping[str, Style]
) -> Iterator[Panel]:
    by_table = placed(runs, "pairs")
    sets: list[HeldOut] = [one for number in _TABLES for one in by_table[number]]
    stages = range(max(run.n_steps for run in shown(runs)) + 1)
    for one in sets:
        for direction, words in _SIDES:
            curves = []
            for row in rows:
                places = (At(one.name, direction, Metric.RECALL, 1, stage) for stage in stages)
                cells = [row.cell(group, place, one.parts) for place in places]
                if any(cell.mean is not None for cell in cells):
                    means, sds = tuple(c.mean for c in cells), tuple(c.sd for c in cells)
                    curves.append(Curve(row.label, looks[row.label], means, sds))
            curves.sort(key=lambda curve: curve.style.width)  # the widest on top
            if curves:
                yield (one.name, direction), f"{one.title}, {words}", tuple(curves)


def _printed() -> Iterator[Panel]:
    for number in _TABLES:
        for direction, words in _SIDES:
            rows: dict[str, list[Printed]] = {}
            for cell in printed_in(number):
                if cell.direction == direction and cell.metric == Metric.RECALL:
                    rows.setdefault(cell.row, []).append(cell)
            curves = []
            for name, cells in rows.items():
                means = tuple(float(cell.value) for cell in cells)
                curves.append(Curve(name, _FIXED[cells[0].method], means, (None,) * len(means)))
            dataset = cells[0].dataset
            yield (dataset, direction), f"{TITLES[dataset]}, {words}", tuple(curves)


def _blocks(panels: Mapping[str, Sequence[Panel]]) -> list[Block]:
    """One axis for every set and direction, wherever in the figure it is."""
    heights: dict[tuple[str, str], list[float]] = {}
    for found in panels.values():
        for key, _, curves in found:
            heights.setdefault(key, []).extend(h for curve in curves for h in curve.edges())
    axes: dict[tuple[str, str], Axis] = {key: make_axis(h) for key, h in heights.items()}
    return [
        Block(heading, tuple(Chart(title, axes[key], curves) for key, title, curves in found))
        for heading, found in panels.items()
    ]


def make_figures(runs: Sequence[RunNumbers]) -> dict[str, Picture]:
    """File name without suffix -> picture, one for every suite with held-out image-caption sets.

    A block per suite version and backbone, forward order, then the paper's Tables 13 and 14. Rows
    that are compared with no others, and the ablations, are not drawn.
    """
    mine = [
        run for run in runs
        if run.order == "forward" and not run.why and not is_ablation(run.method, run.variant)
    ]  # fmt: skip
    mine.sort(key=lambda run: (run.group[:2], backbone_key(run.group[2]), run.group[3]))
    pictures = {}
    for suite, found in groupby(mine, key=lambda run: run.group[0]):
        here = list(found)
        looks = _styles(list(rows_of(here)))
        panels: dict[str, list[Panel]] = {}
        for group, some in groupby(here, key=lambda run: run.group):
            part = list(some)
            charts = list(_measured(group, part, list(rows_of(part)), looks))
            if charts:
                panels["{} {}, {} ({}), forward order".format(*group)] = charts
        if panels:
            panels["Paper (ViT-B/16, suite retrieval), as printed in Tables 13 and 14"] = list(
                _printed()
            )
            title = f"Figure 1. {TITLE}: suite {suite}"
            name = f"{FIGURE}-{suite_folder(suite)}"
            pictures[name] = Picture(title, _ABOUT, tuple(_blocks(panels)))
    return pictures
