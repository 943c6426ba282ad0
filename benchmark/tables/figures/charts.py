"""What a picture shows, before it is drawn: blocks of charts, charts of curves.

A stage is any whole number from 0 on; a chart says what it counts.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from math import ceil, floor
from typing import NamedTuple

KINDS = ("pdf", "svg", "png")
"""Suffixes of the files that a picture is written to."""
_IMPRINT = re.compile(rb"shows ([0-9a-f]{64}), drawn by ([\w ,.+-]+)")
STEPS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Style:
    """How a curve looks: colour, dash pattern (empty for solid) and width, both in points."""

    colour: str
    dash: tuple[float, ...] = ()
    width: float = 1.6


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        label: written at its end.
        style: see `Style`.
        means: one a stage; None for a hole, over which no line is drawn. At least one number.
        sds: half width of the band around it, None for none.
    """

    label: str
    style: Style
    means: tuple[float | None, ...]
    sds: tuple[float | None, ...]

    def edges(self) -> list[float]:
        """Every height that its line and its band reach."""
        spread = zip(self.means, self.sds, strict=True)
        return [m + s * (sd or 0.0) for m, sd in spread if m is not None for s in (-1, 1)]

    def pieces(self) -> Iterator[list[tuple[int, float, float | None]]]:
        """Stretches of stages without a hole: stage, mean, half width of the band."""
        stages = enumerate(zip(self.means, self.sds, strict=True))
        for known, found in groupby(stages, key=lambda one: one[1][0] is not None):
            if known:
                yield [(stage, mean, sd) for stage, (mean, sd) in found if mean is not None]

    def end(self) -> tuple[int, float]:
        """The last stage with a number, and that number."""
        return [(stage, mean) for stage, mean in enumerate(self.means) if mean is not None][-1]


@dataclass(frozen=True)
class Axis:
    """A vertical axis: its ends, and the distance of its ticks, which divides them."""

    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        """From the lower end to the upper one."""
        count = round((self.high - self.low) / self.step) + 1
        return [self.low + number * self.step for number in range(count)]


def make_axis(values: Iterable[float]) -> Axis:
    """An axis of round numbers around some percentages, with at most nine ticks."""
    known = list(values)
    low, high = min(known), max(known)
    step = next((step for step in STEPS if high - low <= 6 * step), STEPS[-1])
    bottom, top = floor(low / step) * step, ceil(high / step) * step
    return Axis(bottom, max(top, bottom + step), step)


@dataclass(frozen=True)
class Chart:
    """One panel: its title, its axis, its curves (the last one on top), and what is counted."""

    title: str
    axis: Axis
    curves: tuple[Curve, ...]
    below: str = "tasks learned"

    @property
    def stages(self) -> int:
        """How many stages its horizontal axis has."""
        return max(len(curve.means) for curve in self.curves)


@dataclass(frozen=True)
class Block:
    """Charts under one heading, two a row."""

    heading: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Picture:
    """A whole figure.

    Attributes:
        title: at the top.
        about: a line below it.
        blocks: from top to bottom; each has at least one chart, every chart at least one curve.
    """

    title: str
    about: str
    blocks: tuple[Block, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 of all that it shows, whoever draws it."""
        return sha256(ascii(self).encode()).hexdigest()


class Imprint(NamedTuple):
    """What a file says of itself: the digest of what it shows, and the software that drew it."""

    digest: str
    software: str


def imprint_of(file: bytes) -> Imprint | None:
    """The imprint of a file that `draw` made, None for any other."""
    found = _IMPRINT.search(file)
    return Imprint(found[1].decode(), found[2].decode()) if found is not None else None
