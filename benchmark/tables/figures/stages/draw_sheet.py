"""Draws sheets of small panels, see `figures.draw`."""

from collections.abc import Sequence
from math import ceil

from matplotlib import colormaps
from matplotlib.collections import (
    Collection,
    LineCollection,
    PatchCollection,
    PathCollection,
    PolyCollection,
)
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from ..lettering import (
    HEADING,
    LONGEST,
    LONGEST_LINE,
    TEXT,
    TITLE,
    make_font,
    plain,
    width_of,
)
from ..page import EDGE, INK, LINES, PALE, POINT, Page, dashes, settings
from .sheets import Band, Heat, Sheet, Small

CELL, ROW = 28.0, 14.0  # width and height of a number in a matrix
NUMBER, NAME = 8.0, 9.0  # sizes of letters
APART = 8.0  # between learned and held-out sets
PLOT, HEIGHT, TICKS = 150.0, 92.0, 30.0  # of a small chart: its width and height, its tick labels
GAP = 22.0  # between panels
MOST_STAGES = 8  # with a number below them
DOT = 2.4
_COLOURS = colormaps["cividis"]  # even in brightness, the same for all readers
_BRIGHT = 0.55  # colours above have dark numbers
_HOLE, _FRAME = "#e8e8e8", "#d55e00"


def make_sheet(sheet: Sheet) -> Figure:
    """The sheet as matplotlib's: panels in reading order, words on the figure."""
    with settings():
        lines = [(EDGE + TITLE, sheet.title, make_font(TITLE, bold=True), INK)]
        for number, words in enumerate(sheet.about):
            lines.append((EDGE + TITLE + 22 + 17 * number, words, make_font(TEXT), PALE))
        y, widest = lines[-1][0], 0.0
        placed: list[tuple[float, float, Heat | Small]] = []
        for band in sheet.bands:
            y += 34
            lines.append((y, band.heading, make_font(HEADING, bold=True), INK))
            width, height = _size(band)
            panels: tuple[Heat | Small, ...] = band.panels
            for number, panel in enumerate(panels):
                across, down = number % band.across, number // band.across
                placed.append((EDGE + across * (width + GAP), y + 14 + down * height, panel))
            shown = min(band.across, len(band.panels))
            widest = max(widest, shown * (width + GAP) - GAP)
            y += 14 + ceil(len(band.panels) / band.across) * height
        texts = [(at, plain(words, LONGEST_LINE), font, ink) for at, words, font, ink in lines]
        widest = max(widest, *(width_of(words, font) for _, words, font, _ in texts))
        page = Page(ceil(2 * EDGE + widest), ceil(y + EDGE))
        for at, words, font, ink in texts:
            page.text(EDGE, at, words, font, ink)
        numbers = Digits(page)
        for left, top, panel in placed:
            if isinstance(panel, Heat):
                _heat(page, numbers, panel, left, top)
            else:
                _small(page, panel, left, top)
        numbers.add()
        return page.figure


def _size(band: Band) -> tuple[float, float]:
    """Width and height of the panels of a band, the largest of them."""
    sizes = [_heat_size(p) if isinstance(p, Heat) else _small_size(p) for p in band.panels]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _stub(heat: Heat) -> float:
    return 6 + max(width_of(plain(name, LONGEST), make_font(NAME)) for name in heat.rows)


def _head(heat: Heat) -> float:
    return 6 + max(width_of(plain(name, LONGEST), make_font(NAME)) for name in heat.columns)


def _heat_size(heat: Heat) -> tuple[float, float]:
    title = width_of(plain(heat.title, LONGEST), make_font(TEXT, bold=True))
    width = _stub(heat) + CELL * len(heat.columns) + APART
    return max(width, title), 18 + _head(heat) + ROW * len(heat.rows) + GAP


def _heat(page: Page, numbers: "Digits", heat: Heat, left: float, top: float) -> None:
    name = make_font(NAME)
    page.text(left, top + 12, plain(heat.title, LONGEST), make_font(TEXT, bold=True))
    x0, y0 = left + _stub(heat), top + 18 + _head(heat)

    def x_of(column: int) -> float:
        return x0 + CELL * column + (APART if column >= heat.apart else 0)

    for number, words in enumerate(heat.columns):
        x = x_of(number) + CELL / 2 + 3
        page.text(x, y0 - 4, plain(words, LONGEST), name, PALE, rotation=90)
    boxes, colours, frames = [], [], []
    for row, (words, values) in enumerate(zip(heat.rows, heat.values, strict=True)):
        y = y0 + ROW * row
        page.text(left, y + ROW - 4, plain(words, LONGEST), name, PALE)
        for column, value in enumerate(values):
            x = x_of(column)
            share = None if value is None else min(max(value / heat.high, 0.0), 1.0)
            boxes.append(Rectangle((x, y), CELL, ROW))
            colours.append(_HOLE if share is None else _COLOURS(share))
            if (row, column) in heat.marked:
                frames.append(Rectangle((x + 0.75, y + 0.75), CELL - 1.5, ROW - 1.5))
            if value is not None and share is not None:
                ink = INK if share > _BRIGHT else "#ffffff"
                numbers.write(x + CELL / 2, y + ROW - 4, f"{value:.1f}", ink)
    for patches in (
        PatchCollection(boxes, facecolors=colours, edgecolors="#ffffff", linewidths=0.5),
        PatchCollection(frames, facecolors="none", edgecolors=_FRAME, linewidths=1.5),
    ):
        _add(page, patches)


class Digits:
    """Numbers written as outlines of digits, each drawn once: texts would take ten times as long.

    Args:
        page: where they stand.
    """

    def __init__(self, page: Page) -> None:
        self._page, self._font = page, make_font(NUMBER)
        self._widths: dict[str, float] = {}
        self._places: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def write(self, x: float, y: float, number: str, ink: str) -> None:
        """A number around a place, in points."""
        widths = [self._width(digit) for digit in number]
        x -= sum(widths) / 2
        for digit, width in zip(number, widths, strict=True):
            self._places.setdefault((digit, ink), []).append((x, y))
            x += width

    def _width(self, digit: str) -> float:
        if digit not in self._widths:
            self._widths[digit] = width_of(digit, self._font)
        return self._widths[digit]

    def add(self) -> None:
        """Put them on the page."""
        figure = self._page.figure
        for (digit, ink), places in self._places.items():
            outline = TextPath((0, 0), digit, prop=self._font)
            glyphs = PathCollection(
                [outline], offsets=places, offset_transform=self._page.places, facecolors=ink,
                linewidths=0,
            )  # fmt: skip
            glyphs.set_transform(Affine2D().scale(POINT) + figure.dpi_scale_trans)
            figure.add_artist(glyphs)


def _small_size(small: Small) -> tuple[float, float]:
    title = width_of(plain(small.title, LONGEST), make_font(NAME + 1, bold=True))
    number = 6 + width_of(f"{small.curve.end()[1]:.1f}", make_font(NAME))
    return max(TICKS + PLOT, title + number), 18 + HEIGHT + 16 + GAP


def _small(page: Page, small: Small, left: float, top: float) -> None:
    """Drawn without axes of matplotlib's, of which a sheet would have fifty."""
    axis, name = small.axis, make_font(NAME)
    stages = max(len(curve.means) for curve in (small.curve, *small.others))
    x0, y0 = left + TICKS, top + 18

    def place(stage: int, value: float) -> tuple[float, float]:
        x = x0 + PLOT * (stage + 0.25) / (stages - 0.5)
        return x, y0 + HEIGHT * (axis.high - value) / (axis.high - axis.low)

    title = plain(small.title, LONGEST)
    page.text(left, top + 11, title, make_font(NAME + 1, bold=True))
    ends = f"{small.curve.end()[1]:.1f}"
    beyond = left + width_of(title, make_font(NAME + 1, bold=True)) + 6
    page.text(max(x0 + PLOT - width_of(ends, name), beyond), top + 11, ends, name, PALE)
    for height in axis.ticks():
        y, words = place(0, height)[1], f"{height:g}"
        page.text(x0 - 4 - width_of(words, name), y + 3.5, words, name, PALE)
    for stage in range(0, stages, ceil(stages / MOST_STAGES)):
        page.text(place(stage, axis.low)[0], y0 + HEIGHT + 13, str(stage), name, PALE, "center")
    grid = [[(x0, place(0, y)[1]), (x0 + PLOT, place(0, y)[1])] for y in axis.ticks()]
    _add(page, LineCollection(grid, colors=LINES, linewidths=0.8))
    beside = [small.line] if small.line is not None else []
    for curve in (*small.others, *beside, small.curve):
        pieces = list(curve.pieces())
        if curve is small.curve:
            bands = [_band(piece) for piece in pieces]
            shapes = [[place(*point) for point in band] for band in bands if band]
            _add(page, PolyCollection(shapes, facecolors=curve.style.colour, alpha=0.2))
        paths = [[place(stage, mean) for stage, mean, _ in piece] for piece in pieces]
        style = dashes(curve.style)
        _add(page, LineCollection(
            paths, colors=curve.style.colour, linewidths=curve.style.width, linestyles=[style],
            label=curve.label,
        ))  # fmt: skip
        circles = [Circle(path[0], DOT) for path in paths if len(path) == 1]
        if circles:
            _add(page, PatchCollection(circles, facecolors=curve.style.colour, linewidths=0))


def _band(piece: Sequence[tuple[int, float, float | None]]) -> list[tuple[int, float]]:
    """The outline of the band around a piece; empty where a point has none."""
    known = [(stage, mean, sd) for stage, mean, sd in piece if sd is not None]
    if len(known) < len(piece) or len(piece) < 2:
        return []
    over = [(stage, mean + sd) for stage, mean, sd in known]
    return [*over, *((stage, mean - sd) for stage, mean, sd in reversed(known))]


def _add(page: Page, artist: Collection) -> None:
    """On the page, in points, above what is there."""
    artist.set_transform(page.places)
    page.figure.add_artist(artist)
