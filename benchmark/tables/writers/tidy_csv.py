"""Tables as tidy CSV: one line a number, in percent."""

import csv
import io
import re
from collections.abc import Iterator

from ...errors import visible
from ..columns import Column
from ..grids import Grid, PaperTable, Shown, TableLine
from ..run_numbers import Metric

_FORMULA = re.compile(r"[=@]|[+-](?![0-9.]+$)")
_HEAD = (
    "source", "suite", "version", "backbone", "pretrained", "order", "method", "dataset",
    "direction", "metric", "k", "step", "seeds", "mean", "sd", "test_error", "status", "paper",
    "note", "why_not",
)  # fmt: skip


def _safe(value: object) -> object:
    """A text on one line, that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _line(column: Column, line: TableLine, shown: Shown, order: str) -> tuple[object, ...]:
    place, printed, row, cell = column.place, shown.printed, line.row, shown.measured
    note = "; ".join(filter(None, (printed.erratum if printed else "", _sets(column))))
    printed_text = ("", "") if printed is None else (printed.value, note)
    if row is None or cell is None:
        label, step = ("", None) if printed is None else (printed.label, printed.step)
        source, numbers, why = "paper", ("", "", "", "", "ok"), ""
    else:
        runs = row.of(column.group)
        label, why, source = row.label, row.why, "measured"
        step = place.step
        if step is None and place.metric != Metric.CHANGE:
            step = row.runs[0].n_steps
        numbers = (
            str(len(runs)), _number(cell.mean), _number(cell.sd), _number(cell.error), cell.status,
        )  # fmt: skip
    what = (label, place.dataset, place.direction, place.metric, place.k, step)
    return source, *column.group, order, *what, *numbers, *printed_text, why


def _sets(column: Column) -> str:
    return f"other test images: {column.remark}" if column.remark else ""


def _lines(grid: Grid, order: str) -> Iterator[tuple[object, ...]]:
    for line in grid.lines:
        for column, shown in zip(grid.columns, line.cells, strict=True):
            yield _line(column, line, shown, order)


def render_csv(table: PaperTable) -> str:
    """The measured numbers of all blocks, then the printed ones."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEAD)
    for section in table.sections:
        for grid in section.grids:
            writer.writerows(map(_safe, line) for line in _lines(grid, table.spec.order))
    return out.getvalue()
