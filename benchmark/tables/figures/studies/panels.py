"""What pictures of analyses show, before they are drawn: clouds of points, maps of cells."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from ..charts import Axis

# Okabe and Ito's colours, which colour-blind readers tell apart; no yellow.
COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#8c6d31", "#882255",
    "#222222",
)  # fmt: skip
Marker = Literal["o", "s", "^", "D", "v", "P"]
MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P")


class Value(NamedTuple):
    """A mean over seeds, and the standard deviation; None below two seeds."""

    mean: float
    sd: float | None


def over_seeds(values: Iterable[float]) -> Value:
    """The mean and deviation (ddof = 1) of at least one number."""
    known = list(values)
    return Value(fmean(known), stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True)
class Dot:
    """A point of a cloud, a short word beside it, and numbers that only its table has."""

    x: Value
    y: Value
    note: str = ""
    more: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Dots:
    """Points of one kind.

    Attributes:
        label: in the legend.
        colour, marker: of the points.
        dots: at least one, in order.
        joined: whether a line leads from one to the next.
        hollow: whether the points are rings.
        apart: whether they are, as they were measured on another machine.
    """

    label: str
    colour: str
    marker: Marker
    dots: tuple[Dot, ...]
    joined: bool = False
    hollow: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Cloud:
    """A chart of points: its title, what its axes count, and the axes."""

    title: str
    across: str
    up: str
    x: Axis
    y: Axis
    kinds: tuple[Dots, ...]


@dataclass(frozen=True)
class Cells:
    """A map of numbers in coloured cells, with sums at its sides.

    Attributes:
        title: above it.
        rows, columns: their names; below: what the columns are.
        values: row by row; None where there is no number.
        null: what each cell would be by chance, and the colours' middle; None for colours that
            begin at `low`.
        low, high: numbers of the first and the last colour.
        sums: whether sums over rows and columns, and those of the null, stand beside it.
        decimals: of the numbers.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    below: str
    values: tuple[tuple[float | None, ...], ...]
    null: float | None
    low: float
    high: float
    sums: bool = False
    decimals: int = 0


@dataclass(frozen=True)
class Strip:
    """Panels under one heading, so many a row."""

    heading: str
    panels: tuple[Cloud | Cells, ...]
    across: int = 2


@dataclass(frozen=True)
class Analysis:
    """A whole figure.

    Attributes:
        title: at the top.
        about: lines below it.
        strips: from top to bottom; each has at least one panel.
    """

    title: str
    about: tuple[str, ...]
    strips: tuple[Strip, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 of all that it shows, whoever draws it."""
        return sha256(ascii(self).encode()).hexdigest()


def edges(values: Iterable[Value]) -> list[float]:
    """All that an axis must reach."""
    return [v.mean + sign * (v.sd or 0.0) for v in values for sign in (-1, 1)]


def mean_cells(
    maps: Sequence[dict[str, float | None]], rows: Sequence[str], columns: int, tower: str
) -> tuple[tuple[float | None, ...], ...]:
    """Means over several maps "image.0.attn.q" -> number; None where one of them has none."""

    def one(row: str, column: int) -> float | None:
        found = [each.get(f"{tower}.{column}.{row}") for each in maps]
        known = [value for value in found if value is not None]
        return fmean(known) if known and len(known) == len(found) else None

    return tuple(tuple(one(row, column) for column in range(columns)) for row in rows)
