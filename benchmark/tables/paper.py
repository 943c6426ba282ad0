"""What the DAR paper printed: `paper.csv`, number by number, with what is known to be wrong."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..results import method_label
from .cells import Place
from .spec import TABLES, RowSpec, TableSpec


@dataclass(frozen=True)
class Printed:
    """One number as the paper prints it.

    Attributes:
        table: number of the table.
        row: the row's label in the paper.
        method: our name of that method.
        variant: our variant that the row belongs to, '' for the method itself.
        backbone: open_clip model name.
        order: order of tasks.
        dataset: dataset name, 'average' over the learned sets, or 'ood', over COCO and NoCaps.
        direction: t2i or i2t; '' for accuracy.
        metric: hit, acc, or delta (the last stage minus stage 0).
        k: the K of Recall@K; None for accuracy.
        step: tasks learned; None for a delta.
        value: percent, the characters that are printed.
        erratum: what is wrong with it, '' for nothing known; begins with the kind and a colon.
    """

    table: int
    row: str
    method: str
    variant: str
    backbone: str
    order: str
    dataset: str
    direction: str
    metric: str
    k: int | None
    step: int | None
    value: str
    erratum: str

    @property
    def label(self) -> str:
        """The row's label among ours."""
        return method_label(self.method, self.variant)

    @property
    def place(self) -> Place:
        """Which number it is, as `cells.Run` counts: the end of a run has no step."""
        staged = _SPECS[self.table].columns == "stages"
        return Place(
            self.dataset, self.direction, self.metric, self.k, self.step if staged else None
        )


_SPECS = {spec.number: spec for spec in TABLES}


def _int(text: str) -> int | None:
    return int(text) if text else None


@cache
def read_paper() -> tuple[Printed, ...]:
    """Every printed number of `paper.csv`, in the paper's order."""
    same = ("row", "method", "variant", "backbone", "order", "dataset", "direction", "metric")
    with Path(__file__).with_name("paper.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Printed(
                table=int(line["table"]),
                k=_int(line["k"]),
                step=_int(line["step"]),
                value=line["value"],
                erratum=line["erratum"],
                **{name: line[name] for name in same},
            )
            for line in csv.DictReader(file)
        )


@cache
def printed_in(table: int) -> tuple[Printed, ...]:
    """The printed numbers of one table."""
    return tuple(cell for cell in read_paper() if cell.table == table)


def named_rows(spec: TableSpec) -> dict[str, RowSpec]:
    """Our label -> the row that a table names: the paper's in its order, then ours."""
    found = [RowSpec(cell.row, cell.label, printed=True) for cell in printed_in(spec.number)]
    return {row.label: row for row in (*dict.fromkeys(found), *spec.more)}


def tables_naming(label: str) -> list[int]:
    """The tables whose named rows include a row of ours; those of all methods are not counted."""
    return [s.number for s in TABLES if s.rows == "named" and label in named_rows(s)]


def name_tables(numbers: Sequence[int]) -> str:
    """`Table 5`, `Tables 5, 6`, or '' for none."""
    listed = ", ".join(map(str, numbers))
    return f"Table{'s' * (len(numbers) > 1)} {listed}" if numbers else ""
