"""Which number of a column is the best and told from all others: what is bold in the tables."""

from collections.abc import Sequence

from ..cells import TableCell, TableRow
from ..columns import Column
from ..run_numbers import Metric
from ..spec import EXTRA_ROWS, UPPER_BOUND, ZERO_SHOT, TableSpec, told
from .certain import measured, separated


def contends(row: TableRow, column: Column, spec: TableSpec) -> bool:
    """Whether a row may be the best of a column."""
    if row.why or row.label in EXTRA_ROWS or row.method == UPPER_BOUND or not column.contest:
        return False
    if any(told(run.uses, spec.world == "own") for run in row.runs):
        return False
    return row.method != ZERO_SHOT or column.place.metric != Metric.CHANGE


def winner(
    rows: Sequence[TableRow], cells: Sequence[TableCell], column: Column, spec: TableSpec
) -> int | None:
    """The row with the highest mean of a column, among those that contend.

    Only where the paired test tells it from each of the others, see `certain.separated`; so None
    where one of these has no evidence or too few seeds, and for fewer than two of them.

    Args:
        rows: of the table.
        cells: that column's, one for each row.
        column: which one.
        spec: of the table.
    """
    means = {
        place: cell.mean
        for place, (row, cell) in enumerate(zip(rows, cells, strict=True))
        if cell.mean is not None and contends(row, column, spec)
    }
    if len(means) < 2:  # one row alone is the best of nothing
        return None
    places = list(means)
    best = max(places, key=means.__getitem__)
    numbers = [
        measured(rows[place].of(column.group), column.place, column.parts) for place in places
    ]
    return best if separated(numbers, places.index(best)) else None
