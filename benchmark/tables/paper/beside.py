"""The printed numbers of one table: which stand beside ours, and what is said of them."""

from collections.abc import Sequence
from dataclasses import replace

from ..cells import TableRow
from ..columns import Column
from ..run_numbers import RunNumbers
from ..spec import AVERAGE, HELD_OUT, TableSpec
from .numbers import Printed, printed_in
from .test_sets import TestSets

OTHER_SETS = "§"


class PaperNumbers:
    """The printed numbers of one table, and the footnotes of those known to be wrong.

    Args:
        spec: the table.
        runs: of any suites.
    """

    def __init__(self, spec: TableSpec, runs: Sequence[RunNumbers]) -> None:
        self.cells = printed_in(spec.number, spec.paper)
        self.errata = tuple(dict.fromkeys(c.erratum for c in self.cells if c.erratum))
        self._spec, self._sets = spec, TestSets(spec, runs)
        self._by_place = {(c.label, c.backbone, c.place): c for c in self.cells}

    def note(self, cell: Printed | None) -> int:
        """Number of a cell's footnote, 0 for none."""
        return self.errata.index(cell.erratum) + 1 if cell is not None and cell.erratum else 0

    def beside(self, row: TableRow, column: Column) -> Printed | None:
        """The printed number that a measured cell may be compared with, if there is one."""
        found = None if row.why else self._candidate(row.label, column)
        return None if found is None or self._differing(column) else found

    def withheld(self, rows: Sequence[TableRow], columns: Sequence[Column]) -> list[str]:
        """In which test sets the paper's differ, where a number of it is not beside ours for that.

        Args:
            rows: of a grid.
            columns: of the same grid.
        """
        words: dict[str, None] = {}
        for column in columns:
            if any(not row.why and self._candidate(row.label, column) for row in rows):
                words |= dict.fromkeys(self._differing(column))
        return list(words)

    def marked(self, columns: Sequence[Column]) -> list[Column]:
        """The columns of a printed block, with what is said of those with other test sets."""
        return [
            replace(column, remark="; ".join(self._elsewhere(column.place.dataset)))
            for column in columns
        ]

    def unknown(self, columns: Sequence[Column]) -> list[str]:
        """Sets of these columns of a printed block whose size in the paper is not known."""
        names = (name for one in columns for name in self._sets.printed(one.place.dataset))
        return self._sets.unknown(list(dict.fromkeys(names)))

    def _candidate(self, label: str, column: Column) -> Printed | None:
        suite, _, backbone, pretrained = column.group
        if suite not in self._spec.suites or pretrained not in self._spec.pretrained:
            return None
        return self._by_place.get((label, backbone, column.place))

    def _differing(self, column: Column) -> list[str]:
        """Where ours are of other sets than the paper's number, in words."""
        dataset = column.place.dataset
        if dataset not in (AVERAGE, HELD_OUT):
            return self._sets.differing(column.group[0], (dataset,))
        # The first set has no Transfer, ours and theirs: the paper's own list says of which it is.
        return self._sets.differing(column.group[0], self._sets.printed(dataset))

    def _elsewhere(self, dataset: str) -> list[str]:
        sets = self._sets.printed(dataset)
        return [one for suite in self._spec.suites for one in self._sets.differing(suite, sets)]
