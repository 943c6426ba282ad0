"""What a sheet of many small panels shows, before it is drawn."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from ..charts import Axis, Curve


@dataclass(frozen=True)
class Heat:
    """A matrix of numbers, each in a cell of its colour.

    Attributes:
        title: above it.
        rows, columns: names of the stages and of the sets.
        values: percent, row by row; None for a hole.
        marked: cells (row, column) with a frame.
        apart: number of the first column of another kind, which stands a little apart.
        high: the percentage that has the last colour; 0 has the first.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    marked: frozenset[tuple[int, int]]
    apart: int
    high: float

    def __repr__(self) -> str:
        """As a dataclass has it, but with the marked cells in order, so that digests agree."""
        marked = sorted(self.marked)
        shown = (self.title, self.rows, self.columns, self.values, marked, self.apart, self.high)
        return f"Heat{shown!r}"


@dataclass(frozen=True)
class Small:
    """One method's curve before those of all others.

    Attributes:
        title: of the panel: the method.
        axis: vertical.
        curve: its own, in colour, with its band.
        others: pale, behind it.
        line: a dotted curve to compare with, None for none.
    """

    title: str
    axis: Axis
    curve: Curve
    others: tuple[Curve, ...]
    line: Curve | None = None


@dataclass(frozen=True)
class Band:
    """Panels of one kind under one heading, so many a row."""

    heading: str
    panels: tuple[Heat, ...] | tuple[Small, ...]
    across: int


@dataclass(frozen=True)
class Sheet:
    """A whole figure.

    Attributes:
        title: at the top.
        about: lines below it.
        bands: from top to bottom; each has at least one panel.
    """

    title: str
    about: tuple[str, ...]
    bands: tuple[Band, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 of all that it shows, whoever draws it."""
        return sha256(ascii(self).encode()).hexdigest()


def ceiling(values: Iterable[float | None]) -> float:
    """The next multiple of ten at or above every percentage, at least 10."""
    most = max((value for value in values if value is not None), default=0.0)
    return max(10.0, -(-most // 10) * 10)
