"""Recomputes what the paper prints: averages, changes, and numbers that two tables share."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ...errors import BenchError
from ..run_numbers import Metric
from ..spec import ARROWS, AVERAGE, HELD_OUT, PAPERS, TITLES, ZERO_SHOT
from .numbers import Printed, name_tables, read_paper

HALF = Decimal("0.5")


@dataclass(frozen=True)
class Misprint:
    """A printed number that contradicts others.

    Attributes:
        cell: the number.
        expected: what the others give.
    """

    cell: Printed
    expected: str

    def __str__(self) -> str:
        """One line, with the erratum."""
        cell = self.cell
        stage = "Δ" if cell.metric == Metric.CHANGE else cell.metric.capitalize()
        stage = stage if cell.step is None else f"stage {cell.step}"
        where = (TITLES.get(cell.dataset, cell.dataset), ARROWS.get(cell.direction, ""), stage)
        return (
            f"{cell.spec.name}, {cell.row}, {' '.join(filter(None, where))}: printed "
            f"{cell.value}, {self.expected} [{cell.erratum or 'no erratum'}]"
        )


def _reach(printed: str) -> Decimal:
    """How far the number before rounding may be from the printed one: half its last digit."""
    exponent = Decimal(printed).as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    return HALF * Decimal(1).scaleb(exponent)


def _off(printed: str, exact: Decimal, reach: Decimal) -> bool:
    """Whether no numbers before rounding could give both.

    Args:
        printed: a mean or a difference.
        exact: the same, from the printed parts.
        reach: how far that may be from the one before rounding.
    """
    return abs(Decimal(printed) - exact) > reach + _reach(printed)


def _averages(cells: Sequence[Printed]) -> Iterator[Misprint]:
    rows: dict[tuple[object, ...], dict[str, Printed]] = {}
    for cell in cells:
        key = (cell.table, cell.row, cell.backbone, cell.direction, cell.metric, cell.step)
        rows.setdefault(key, {})[cell.dataset] = cell
    for row in rows.values():
        average = row.get(AVERAGE, row.get(HELD_OUT))
        parts = [cell.value for name, cell in row.items() if name not in (AVERAGE, HELD_OUT)]
        if average is not None and parts:
            mean = sum(map(Decimal, parts), Decimal(0)) / len(parts)
            reach = sum(map(_reach, parts), Decimal(0)) / len(parts)
            if _off(average.value, mean, reach):
                yield Misprint(average, f"its cells give {mean:.2f}")


def _changes(cells: Sequence[Printed]) -> Iterator[Misprint]:
    changes: dict[tuple[int, str, str, str], Printed] = {}
    stages: dict[tuple[int, str, str, str], dict[int, Printed]] = {}
    for cell in cells:
        key = (cell.table, cell.row, cell.direction, cell.dataset)
        if cell.metric == Metric.CHANGE:
            changes[key] = cell
        elif cell.step is not None:
            stages.setdefault(key, {})[cell.step] = cell
    for key, printed in changes.items():
        row = stages[key]
        first, end = row[0].value, row[max(row)].value
        change = Decimal(end) - Decimal(first)
        if _off(printed.value, change, _reach(first) + _reach(end)):
            yield Misprint(printed, f"its stages give {change:+}")


def _same(cell: Printed) -> tuple[object, ...]:
    """What two cells share that must be equal wherever they are printed."""
    where = cell.spec.suites[0], cell.backbone, cell.dataset, cell.direction
    if cell.step == 0 or cell.method == ZERO_SHOT:  # the untouched backbone, the same at all steps
        same = cell.metric == Metric.TRANSFER and cell.dataset != AVERAGE
        return *where, Metric.ACCURACY if same else cell.metric, cell.k
    return cell.label, *where, cell.order, cell.metric, cell.k, cell.step


def _alike(group: Sequence[Printed]) -> list[str]:
    """Their values with as many digits as the one that has the fewest."""
    if any(not cell.value.lstrip("+-").replace(".", "").isdigit() for cell in group):
        return [cell.value for cell in group]
    fewest = max(2 * _reach(cell.value) for cell in group)
    return [str(Decimal(cell.value).quantize(fewest)) for cell in group]


def _repeats(cells: Sequence[Printed]) -> Iterator[Misprint]:
    """Numbers that are printed several times with different values: those outside a majority."""
    groups: dict[tuple[object, ...], list[Printed]] = {}
    for cell in cells:
        groups.setdefault(_same(cell), []).append(cell)
    for group in groups.values():
        values = _alike(group)
        counts = Counter(values)
        for cell, value in zip(group, values, strict=True):
            if 2 * counts[value] <= len(group):
                unlike = [one for one, its in zip(group, values, strict=True) if its != value]
                others = sorted({other.value for other in unlike})
                tables = sorted({other.table for other in unlike})
                yield Misprint(cell, f"also {', '.join(others)} ({name_tables(tables)})")


def lint(cells: Sequence[Printed]) -> list[Misprint]:
    """Printed numbers that cannot be right beside others, in the paper's order.

    An average or a change is found when no numbers that round to the printed parts could give it.

    Args:
        cells: printed numbers, see `read_paper`.
    """
    found = [*_averages(cells), *_changes(cells), *_repeats(cells)]
    place = {cell: number for number, cell in enumerate(cells)}
    return sorted(found, key=lambda finding: place[finding.cell])


def lint_report() -> str:
    """What `lint` finds in the papers, a line each.

    Raises:
        BenchError: code 5, when one of them has no erratum.
    """
    cells = {paper: read_paper(paper) for paper in PAPERS}
    found = [finding for own in cells.values() for finding in lint(own)]
    unmarked = [finding for finding in found if not finding.cell.erratum]
    if unmarked:
        raise BenchError(
            "an erratum on every printed number that contradicts others",
            f"none on '{unmarked[0]}'",
            "compare benchmark/tables/paper/paper.csv with the paper; if it is printed so, say "
            "what is wrong with it in the column 'erratum'",
            code=5,
        )
    total = sum(map(len, cells.values()))
    lines = [*map(str, found), f"{len(found)} of {total} printed numbers do not fit"]
    return "\n".join(lines)
