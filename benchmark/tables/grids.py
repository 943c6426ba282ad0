"""A table before it is text: blocks of lines and cells that markdown, LaTeX and CSV all show."""

from dataclasses import dataclass

from .cells import TableCell, TableRow
from .columns import Column
from .paper.numbers import Printed
from .spec import TableSpec


@dataclass(frozen=True)
class Shown:
    """One cell.

    Attributes:
        measured: our number; None in a printed block.
        best: whether it is the best of its column, and told from all others.
        printed: the paper's number, None where there is none to show.
        note: number of the footnote of that number, 0 for none.
    """

    measured: TableCell | None
    best: bool
    printed: Printed | None
    note: int


@dataclass(frozen=True)
class TableLine:
    """One line.

    Attributes:
        stubs: the texts before the numbers; the last one is the method's.
        row: our runs; None in a printed block.
        cells: one a column.
    """

    stubs: tuple[str, ...]
    row: TableRow | None
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Footnote:
    """What is said below a grid.

    Attributes:
        text: a sentence that ends in a colon.
        items: what follows it.
        listed: whether they are sentences, one a line.
    """

    text: str
    items: tuple[str, ...]
    listed: bool = False


@dataclass(frozen=True)
class Grid:
    """Lines under one set of columns.

    Attributes:
        title: sub-heading, '' for none.
        stubs: heads of the text columns.
        columns: of the numbers.
        lines: at least one.
        notes: below it.
    """

    title: str
    stubs: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[TableLine, ...]
    notes: tuple[Footnote, ...]


@dataclass(frozen=True)
class Section:
    """A heading and its grids.

    Attributes:
        heading: of the block.
        grids: its tables.
        absent: why there are none.
        notes: sentences below the last one.
    """

    heading: str
    grids: tuple[Grid, ...]
    absent: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """A whole table.

    Attributes:
        spec: which one.
        about: what its cells are.
        sections: measured blocks, then the printed one.
        suites: names and versions of the suites with numbers of ours.
        errata: footnotes, counted from 1.
    """

    spec: TableSpec
    about: str
    sections: tuple[Section, ...]
    suites: tuple[str, ...]
    errata: tuple[str, ...]
