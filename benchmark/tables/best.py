"""Which number of a column is the best: what stands bold in the tables."""

from collections.abc import Sequence

from .cells import TableCell, TableRow
from .columns import Column
from .run_numbers import Metric
from .spec import UPPER_BOUND, ZERO_SHOT, TableSpec, told


def contends(row: TableRow, column: Column, spec: TableSpec) -> bool:
    """Whether a row may be the best of a column."""
    if row.why or row.method == UPPER_BOUND or not column.contest:
        return False
    if any(told(run.uses, spec.world == "own") for run in row.runs):
        return False
    return row.method != ZERO_SHOT or column.place.metric != Metric.CHANGE


def best_mean(
    rows: Sequence[TableRow], cells: Sequence[TableCell], column: Column, spec: TableSpec
) -> float | None:
    """The highest mean of a column among the rows that contend; None for fewer than two of them.

    Args:
        rows: of the table.
        cells: that column's, one for each row.
        column: which one.
        spec: of the table.
    """
    means = [c.mean for row, c in zip(rows, cells, strict=True) if contends(row, column, spec)]
    known = [mean for mean in means if mean is not None]
    return max(known) if len(known) > 1 else None  # one row alone is the best of nothing
