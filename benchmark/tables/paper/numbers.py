"""What the papers printed: `paper.csv`, number by number, with what is known to be wrong."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ...records.naming import method_label
from ..run_numbers import At, Metric
from ..spec import ALL_TABLES, EXTRA_ROWS, TABLES, Paper, RowSpec, TableSpec


@dataclass(frozen=True)
class Printed:
    """One number as a paper prints it.

    Attributes:
        paper: which one.
        table: number of the table.
        row: the row's label in the paper.
        method: our name of that method.
        variant: our variant that the row belongs to, '' for the method itself.
        backbone: name of the model.
        order: order of tasks, '' where each set is learned alone.
        dataset: dataset name, 'average' over the table's sets, or 'ood', over COCO and NoCaps.
        direction: t2i or i2t; '' for accuracy.
        metric: see `Metric`.
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for what is of no single step.
        value: percent, or a number of parameters; the characters that are printed.
        erratum: what is wrong with it, '' for nothing known; begins with the kind and a colon.
    """

    paper: Paper
    table: int
    row: str
    method: str
    variant: str
    backbone: str
    order: str
    dataset: str
    direction: str
    metric: Metric
    k: int | None
    step: int | None
    value: str
    erratum: str

    @property
    def label(self) -> str:
        """The row's label among ours."""
        return method_label(self.method, self.variant)

    @property
    def spec(self) -> TableSpec:
        """The table that it is in."""
        return _SPECS[self.paper, self.table]

    @property
    def place(self) -> At:
        """Which number it is, as `RunNumbers` counts: the end of a run has no step."""
        staged = self.spec.columns in ("stages", "tuning")
        return At(self.dataset, self.direction, self.metric, self.k, self.step if staged else None)


_SPECS = {(spec.paper, spec.number): spec for spec in ALL_TABLES}


def _int(text: str) -> int | None:
    return int(text) if text else None


@cache
def read_paper(paper: Paper = "dar") -> tuple[Printed, ...]:
    """Every printed number of a paper, in its order."""
    same = ("row", "method", "variant", "backbone", "order", "dataset", "direction")
    with Path(__file__).with_name("paper.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Printed(
                paper=paper,
                table=int(line["table"]),
                metric=Metric(line["metric"]),
                k=_int(line["k"]),
                step=_int(line["step"]),
                value=line["value"],
                erratum=line["erratum"],
                **{name: line[name] for name in same},
            )
            for line in csv.DictReader(file)
            if line["paper"] == paper
        )


@cache
def printed_in(table: int, paper: Paper = "dar") -> tuple[Printed, ...]:
    """The printed numbers of one table."""
    return tuple(cell for cell in read_paper(paper) if cell.table == table)


def named_rows(spec: TableSpec) -> dict[str, RowSpec]:
    """Our label -> the row that a table names, in its order.

    The paper's rows in their order, then ours. One of ours with the name of a row of the paper
    that we have as an extra one (`spec.EXTRA_ROWS`) takes its place; the extra ones are the last.
    """
    printed = printed_in(spec.number, spec.paper)
    rows = {cell.label: RowSpec(cell.row, cell.label, printed=True) for cell in printed}
    for row in spec.more:
        rows[row.label] = replace(row, printed=row.label in rows)
    names = list(dict.fromkeys(row.name for row in rows.values()))
    order = sorted(rows.values(), key=lambda row: (row.label in EXTRA_ROWS, names.index(row.name)))
    return {row.label: row for row in order}


def tables_naming(label: str) -> list[int]:
    """The DAR paper's tables whose named rows include a row; those of all methods do not count."""
    return [s.number for s in TABLES if s.rows == "named" and label in named_rows(s)]


def name_tables(numbers: Sequence[int]) -> str:
    """`Table 5`, `Tables 5, 6`, or '' for none."""
    listed = ", ".join(map(str, numbers))
    return f"Table{'s' * (len(numbers) > 1)} {listed}" if numbers else ""
