"""The sentences below a measured block of a table."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from ..cells import TableRow
from ..grids import Grid
from ..groups import Group
from ..paper.beside import PaperNumbers
from ..run_numbers import Metric
from ..spec import AVERAGE, UPPER_BOUND, TableSpec, told
from .bounds import bound_note
from .draws import draw_note
from .machines import machine_notes
from .settings import settings_notes

# Tables with a mean over the learned sets at the end, which is what a bound is one of.
_BOUNDED = ("tasks", "backbones", "average", "margin", "lifelong", "summary")
_ENDS = (Metric.RECALL, Metric.ACCURACY)


def block_notes(
    rows: Sequence[TableRow], grids: Sequence[Grid], spec: TableSpec, paper: PaperNumbers
) -> Iterator[str]:
    """What is said below a block, all of it read from its records and from the paper's data.

    Args:
        rows: of the block.
        grids: the block.
        spec: its table.
        paper: the printed numbers of that table.
    """
    yield from _bounds(grids, spec)
    yield from settings_notes(rows)
    if spec.columns == "cost":
        yield from machine_notes(rows)
    else:
        few = (run for row in rows for run in row.runs if run.worlds & {"own", "union"})
        runs = (
            (" ".join((*r.group, r.method, r.variant, r.settings)), r.seed, r.shots) for r in few
        )
        yield from filter(None, [draw_note(runs)])
    columns = [column for grid in grids for column in grid.columns]
    if words := paper.withheld(rows, columns):
        listed = "; ".join(words)
        yield f"The paper's numbers are not beside ours where it tests on others: {listed}."


def _bounds(grids: Sequence[Grid], spec: TableSpec) -> Iterator[str]:
    if spec.columns not in _BOUNDED:
        return
    scores: dict[Group, dict[str, list[float | None]]] = {}
    rows: dict[str, TableRow] = {}
    for grid in grids:
        for line in grid.lines:
            if line.row is None or line.row.why:
                continue
            rows[line.row.label] = line.row
            for column, shown in zip(grid.columns, line.cells, strict=True):
                if column.place.dataset == AVERAGE and column.place.metric in _ENDS:
                    means = scores.setdefault(column.group, {}).setdefault(line.row.label, [])
                    means.append(shown.measured.mean if shown.measured is not None else None)
    for group, of_row in scores.items():
        main = {
            label: fmean(known)
            for label, means in of_row.items()
            if len(known := [one for one in means if one is not None]) == len(means)
            and not any(told(run.uses, spec.world == "own") for run in rows[label].runs)
        }
        where = group[2] if len(scores) > 1 else ""
        for label, score in main.items():
            if rows[label].method == UPPER_BOUND:
                others = {other: theirs for other, theirs in main.items() if other != label}
                yield bound_note(label, score, others, where)
