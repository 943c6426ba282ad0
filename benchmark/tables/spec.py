"""Which tables there are, what the paper printed in them, and how rows are ordered."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..results import method_label

Direction = str
DIRECTIONS: tuple[tuple[Direction, str], ...] = (("t2i", "T→I"), ("i2t", "I→T"))
AVERAGE = "average"
UPPER_BOUND = "joint"
PAPER_SUITE = "retrieval"
PAPER_PRETRAINED = "openai"
# The order of the rows in the paper's tables.
METHOD_ORDER = ("zs", "ft", "ewc", "mod-x", "c-clip", "l2p", "dkr", "ta", "dar")
ZERO_SHOT = METHOD_ORDER[0]
TITLES = {
    "flickr30k": "Flickr",
    "lexica-sd": "Lexica",
    "wikiart": "WikiArt",
    "kream": "KreaM",
    "flintstones": "Flints",
    "sketch": "Sketch",
    "rocov2": "ROCOv2",
    AVERAGE: "Avg.",
}


@dataclass(frozen=True)
class TableSpec:
    """One table of the paper: recall at the end of a sequence.

    Attributes:
        number: its number in the paper.
        title: what it shows.
        k: the K of Recall@K.
        order: the order of tasks, as named in records.
    """

    number: int
    title: str
    k: int
    order: str


TABLES = (
    TableSpec(1, "Recall@1 at the end of continual training, forward order", 1, "forward"),
    TableSpec(7, "Recall@5 at the end of continual training, forward order", 5, "forward"),
    TableSpec(8, "Recall@1 at the end of continual training, reverse order", 1, "reverse"),
)


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
        dataset: dataset name, or 'average'.
        direction: t2i or i2t.
        k: the K of Recall@K.
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
    direction: Direction
    k: int
    value: str
    erratum: str

    @property
    def label(self) -> str:
        """The row's label among ours."""
        return method_label(self.method, self.variant)


@cache
def read_paper() -> tuple[Printed, ...]:
    """Every printed number of `paper.csv`, in the paper's order."""
    with Path(__file__).with_name("paper.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Printed(
                table=int(line["table"]),
                row=line["row"],
                method=line["method"],
                variant=line["variant"],
                backbone=line["backbone"],
                order=line["order"],
                dataset=line["dataset"],
                direction=line["direction"],
                k=int(line["k"]),
                value=line["value"],
                erratum=line["erratum"],
            )
            for line in csv.DictReader(file)
        )


def printed_in(table: int) -> tuple[Printed, ...]:
    """The printed numbers of one table."""
    return tuple(cell for cell in read_paper() if cell.table == table)


def row_key(method: str, variant: str, settings: str) -> tuple[int, str, str, str]:
    """Sort key of rows: the paper's methods in its order, then the others; variants follow."""
    known = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)
    return known, method, variant, settings
