"""Line charts as SVG text: small panels of curves over stages, labelled at their ends.

What is called a stage here is any whole number from 0 on; a chart says what it counts.

Written by hand rather than by a plotting library: a picture is compared byte for byte with what the
records say, which no library promises from one version to the next, and the tables would need that
library. Coordinates are pixels, y grows downwards; they are rounded to 0.1.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import ceil, floor

SMALL, TEXT, HEADING, TITLE = 11.0, 12.0, 14.0, 17.0
EM = 0.62  # width of a letter in units of its size; most letters of a sans-serif font are narrower
INK, PALE, LINES = "#222222", "#595959", "#e4e4e4"
EDGE = 24.0  # around the picture
AXIS, PLOT, HEIGHT = 34.0, 290.0, 200.0  # width of the tick labels, width and height of a plot
ABOVE, BELOW = 26.0, 40.0  # a plot: its title, its tick labels and axis title
GAP, PITCH = 26.0, 14.0  # from a curve's end to its label, from label to label
LONGEST = 36  # letters of a label
DOT = 2.2
STEPS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Style:
    """How a curve looks: colour, dash pattern ('' for solid), width in pixels."""

    colour: str
    dash: str = ""
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


@dataclass(frozen=True)
class Axis:
    """A vertical axis: its ends, and the distance of its ticks, which divides them."""

    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Chart:
    """One panel: its title, its axis, its curves (the last one on top), and what is counted."""

    title: str
    axis: Axis
    curves: tuple[Curve, ...]
    below: str = "tasks learned"


@dataclass(frozen=True)
class Block:
    """Charts under one heading, two a row."""

    heading: str
    charts: tuple[Chart, ...]


def make_axis(values: Iterable[float]) -> Axis:
    """An axis of round numbers around some percentages, with at most nine ticks."""
    known = list(values)
    low, high = min(known), max(known)
    step = next((step for step in STEPS if high - low <= 6 * step), STEPS[-1])
    bottom, top = floor(low / step) * step, ceil(high / step) * step
    return Axis(bottom, max(top, bottom + step), step)


def spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Places for labels: near where they are wanted, in that order, `PITCH` apart, none outside.

    Args:
        wanted: ascending.
        low: where the first may be.
        high: where the last may be; there is room for all between the two.
    """
    found: list[float] = []
    for place in wanted:
        found.append(max(place, low, found[-1] + PITCH if found else low))
    limit = high
    for index in reversed(range(len(found))):
        found[index] = min(found[index], limit)
        limit = found[index] - PITCH
    return found


def _text(x: float, y: float, words: str, size: float = TEXT, **more: str) -> str:
    about = {"fill": INK, **more}
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in about.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{extra}>{escape(words)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, more: str = "") -> str:
    where = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {where} stroke="{colour}"{more}/>'


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


@dataclass(frozen=True)
class _Plot:
    """Where a chart's plot lies, and how numbers become places."""

    left: float
    top: float
    height: float
    stages: int
    axis: Axis

    def x(self, stage: int) -> float:
        return self.left + PLOT * (stage + 0.25) / (self.stages - 0.5)

    def y(self, value: float) -> float:
        share = (self.axis.high - value) / (self.axis.high - self.axis.low)
        return self.top + self.height * share


def _frame(plot: _Plot, title: str, below: str) -> Iterator[str]:
    right, bottom = plot.left + PLOT, plot.top + plot.height
    yield _text(plot.left, plot.top - 10, title, font_weight="bold")
    for number in range(round((plot.axis.high - plot.axis.low) / plot.axis.step) + 1):
        value = plot.axis.low + number * plot.axis.step
        y = plot.y(value)
        yield _line(plot.left, y, right, y, LINES)
        yield _text(plot.left - 6, y + 4, f"{value:g}", SMALL, fill=PALE, text_anchor="end")
    for stage in range(plot.stages):
        at = plot.x(stage)
        yield _line(at, bottom, at, bottom + 4, PALE)
        yield _text(at, bottom + 16, str(stage), SMALL, fill=PALE, text_anchor="middle")
    middle = plot.left + PLOT / 2
    yield _text(middle, bottom + 31, below, SMALL, fill=PALE, text_anchor="middle")


def _pieces(curve: Curve) -> Iterator[list[tuple[int, float, float | None]]]:
    """Stretches of stages without a hole: stage, mean, half width of the band."""
    stages = enumerate(zip(curve.means, curve.sds, strict=True))
    for known, found in groupby(stages, key=lambda one: one[1][0] is not None):
        if known:
            yield [(stage, mean, sd) for stage, (mean, sd) in found if mean is not None]


def _curve(plot: _Plot, curve: Curve) -> Iterator[str]:
    look = curve.style
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    for piece in _pieces(curve):
        upper = [(plot.x(t), plot.y(m + sd)) for t, m, sd in piece if sd is not None]
        lower = [(plot.x(t), plot.y(m - sd)) for t, m, sd in piece if sd is not None]
        if len(upper) == len(piece) > 1:
            band = _points([*upper, *reversed(lower)])
            yield f'<polygon points="{band}" fill="{look.colour}" fill-opacity="0.15"/>'
        places = [(plot.x(t), plot.y(m)) for t, m, _ in piece]
        yield (
            f'<polyline points="{_points(places)}" fill="none" stroke="{look.colour}" '
            f'stroke-width="{look.width:g}"{dash}/>'
        )
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{look.colour}"/>'


def _end(curve: Curve) -> tuple[int, float]:
    """The last stage with a number, and that number."""
    return [(stage, mean) for stage, mean in enumerate(curve.means) if mean is not None][-1]


def _words(curve: Curve) -> str:
    stage, mean = _end(curve)
    whole = stage == len(curve.means) - 1
    short = curve.label if len(curve.label) <= LONGEST else f"{curve.label[: LONGEST - 1]}…"
    return f"{short} {mean:.1f}" if whole else short


def _labels(plot: _Plot, curves: Sequence[Curve]) -> Iterator[str]:
    """The curves' names beside their ends, with a line from one to the other."""
    ordered = sorted(curves, key=lambda curve: (plot.y(_end(curve)[1]), curve.label))
    wanted = [plot.y(_end(curve)[1]) for curve in ordered]
    places = spread(wanted, plot.top + 2, plot.top + plot.height - 2)
    x = plot.left + PLOT + GAP
    for curve, place in zip(ordered, places, strict=True):
        stage, mean = _end(curve)
        dash = f' stroke-dasharray="{curve.style.dash}"' if curve.style.dash else ""
        start = plot.x(stage) + DOT + 2
        yield _line(start, plot.y(mean), x - 12, place, curve.style.colour, ' stroke-opacity="0.5"')
        more = f' stroke-width="{curve.style.width + 0.6:g}"{dash}'
        yield _line(x - 12, place, x + 4, place, curve.style.colour, more)
        yield _text(x + 8, place + 4, _words(curve), SMALL)


def _chart(chart: Chart, plot: _Plot) -> Iterator[str]:
    yield from _frame(plot, chart.title, chart.below)
    for curve in chart.curves:
        yield from _curve(plot, curve)
    yield from _labels(plot, chart.curves)


def draw(title: str, about: str, blocks: Sequence[Block], mark: str) -> str:
    """The whole picture, from top to bottom.

    Args:
        title: at the top.
        about: a line below it.
        blocks: each with at least one chart; every chart with at least one curve.
        mark: an SVG comment, kept at the top of the file.
    """
    charts = [chart for block in blocks for chart in block.charts]
    longest = max(len(_words(curve)) for chart in charts for curve in chart.curves)
    column = AXIS + PLOT + GAP + 8 + EM * SMALL * longest
    height = max(HEIGHT, PITCH * max(len(chart.curves) for chart in charts) + 4)
    lines, y = [], EDGE + TITLE
    lines.append(_text(EDGE, y, title, TITLE, font_weight="bold"))
    y += 22
    lines.append(_text(EDGE, y, about, fill=PALE))
    for block in blocks:
        y += 34
        lines.append(_text(EDGE, y, block.heading, HEADING, font_weight="bold"))
        for number, chart in enumerate(block.charts):
            side = number % 2
            y += 0 if side else ABOVE
            stages = max(len(curve.means) for curve in chart.curves)
            left = EDGE + AXIS + side * (column + EDGE)
            lines += _chart(chart, _Plot(left, y + 8, height, stages, chart.axis))
            y += height + BELOW if side or number == len(block.charts) - 1 else 0
    texts = max(EM * TITLE * len(title), EM * TEXT * len(about))
    texts = max(texts, *(EM * HEADING * len(block.heading) for block in blocks))
    width = 2 * EDGE + max(2 * column + EDGE, texts)
    size = f'width="{width:.0f}" height="{y + EDGE:.0f}" viewBox="0 0 {width:.0f} {y + EDGE:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" '
            'font-family="Helvetica, Arial, sans-serif">',
            mark,
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *lines,
            "</svg>",
            "",
        ]
    )
