"""Draws clouds of points and maps of cells, see `figures.draw`."""

from collections.abc import Sequence
from math import ceil

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..charts import Style
from ..lettering import (
    HEADING,
    LONGEST_LINE,
    LONGEST_TITLE,
    TEXT,
    TITLE,
    make_font,
    plain,
    width_of,
)
from ..page import EDGE, INK, LINES, PALE, Page, settings
from ..stages.draw_sheet import Digits
from .panels import Analysis, Cells, Cloud, Dots, Strip

PLOT, HEIGHT = 330.0, 270.0  # of a cloud
LEFT, BELOW, ABOVE = 52.0, 46.0, 24.0  # its tick labels and titles
LEGEND = 15.0  # from line to line of a legend
CELL, ROW, SIDE = 27.0, 17.0, 36.0  # width and height of a cell, width of a sum
APART, GAP = 8.0, 30.0  # between cells and sums, between panels
NAME = 9.0  # letters of names
DOT = 5.0
_DIVERGING, _SEQUENTIAL = colormaps["PuOr_r"], colormaps["cividis"]
_HOLE = "#e8e8e8"
Colour = tuple[float, float, float, float]


def make_analysis(analysis: Analysis) -> Figure:
    """The figure as matplotlib's: panels in reading order."""
    with settings():
        lines = [(EDGE + TITLE, analysis.title, make_font(TITLE, bold=True), INK)]
        for number, words in enumerate(analysis.about):
            lines.append((EDGE + TITLE + 22 + 17 * number, words, make_font(TEXT), PALE))
        y, widest, placed = lines[-1][0], 0.0, list[tuple[float, float, Cloud | Cells]]()
        for strip in analysis.strips:
            y += 34
            lines.append((y, strip.heading, make_font(HEADING, bold=True), INK))
            width, height = _size(strip)
            for number, panel in enumerate(strip.panels):
                across, down = number % strip.across, number // strip.across
                placed.append((EDGE + across * (width + GAP), y + 12 + down * height, panel))
            widest = max(widest, min(strip.across, len(strip.panels)) * (width + GAP) - GAP)
            y += 12 + ceil(len(strip.panels) / strip.across) * height
        texts = [(at, plain(words, LONGEST_LINE), font, ink) for at, words, font, ink in lines]
        widest = max(widest, *(width_of(words, font) for _, words, font, _ in texts))
        page = Page(ceil(2 * EDGE + widest), ceil(y + EDGE))
        for at, words, font, ink in texts:
            page.text(EDGE, at, words, font, ink)
        digits = Digits(page)
        for left, top, panel in placed:
            if isinstance(panel, Cells):
                _cells(page, digits, panel, left, top)
            else:
                _cloud(page, panel, left, top)
        digits.add()
        return page.figure


def _size(strip: Strip) -> tuple[float, float]:
    sizes = [_cells_size(p) if isinstance(p, Cells) else _cloud_size(p) for p in strip.panels]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


# -- clouds


def _cloud_size(cloud: Cloud) -> tuple[float, float]:
    legend = max(width_of(plain(one.label, LONGEST_TITLE), make_font(NAME)) for one in cloud.kinds)
    height = max(HEIGHT, LEGEND * len(cloud.kinds))
    return LEFT + PLOT + 34 + legend, ABOVE + height + BELOW + 8


def _cloud(page: Page, cloud: Cloud, left: float, top: float) -> None:
    axes = page.axes(left + LEFT, top + ABOVE, PLOT, HEIGHT)
    axes.set(xlim=(cloud.x.low, cloud.x.high), ylim=(cloud.y.low, cloud.y.high))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    small = make_font(NAME)
    for set_ticks, axis in ((axes.set_xticks, cloud.x), (axes.set_yticks, cloud.y)):
        ticks = axis.ticks()
        set_ticks(ticks, [f"{v:g}" for v in ticks], fontproperties=small, color=PALE)
    axes.tick_params(length=0, pad=5)
    axes.grid(color=LINES, linewidth=1, clip_on=False)
    axes.set_axisbelow(True)
    for order, kind in enumerate(cloud.kinds, start=3):
        _dots(axes, kind, order)
    page.text(left, top + 12, plain(cloud.title, LONGEST_TITLE), make_font(TEXT, bold=True))
    middle = left + LEFT + PLOT / 2
    page.text(middle, top + ABOVE + HEIGHT + 34, plain(cloud.across, LONGEST_TITLE),
              make_font(NAME + 1), PALE, "center")  # fmt: skip
    page.text(left + 12, top + ABOVE + HEIGHT / 2, plain(cloud.up, LONGEST_TITLE),
              make_font(NAME + 1), PALE, "center", rotation=90)  # fmt: skip
    _legend(page, cloud.kinds, left + LEFT + PLOT + 18, top + ABOVE)


def _dots(axes: Axes, kind: Dots, order: int) -> None:
    xs, ys = [dot.x.mean for dot in kind.dots], [dot.y.mean for dot in kind.dots]
    face = "#ffffff" if kind.hollow else kind.colour
    axes.plot(
        xs, ys, color=kind.colour, linewidth=1.4 if kind.joined else 0, marker=kind.marker,
        markersize=DOT + 1.5, markerfacecolor=face, markeredgecolor=kind.colour,
        markeredgewidth=1.3, clip_on=False, zorder=order, label=kind.label,
    )  # fmt: skip
    for dot in kind.dots:
        if dot.x.sd or dot.y.sd:
            axes.errorbar(
                dot.x.mean, dot.y.mean, xerr=dot.x.sd or None, yerr=dot.y.sd or None,
                color=kind.colour, elinewidth=0.9, alpha=0.6, clip_on=False, zorder=order,
            )  # fmt: skip
        axes.annotate(
            plain(dot.note, 12), (dot.x.mean, dot.y.mean), xytext=(5, 4),
            textcoords="offset points", fontproperties=make_font(NAME - 1), color=INK,
            annotation_clip=False, zorder=order + 20,
        )  # fmt: skip


def _legend(page: Page, kinds: Sequence[Dots], left: float, top: float) -> None:
    for number, kind in enumerate(kinds):
        y = top + LEGEND * number + 6
        page.dot(left, y, kind.colour, kind.marker, DOT + 1.5, hollow=kind.hollow)
        if kind.joined:
            page.line((left - 7, y), (left + 7, y), Style(kind.colour, width=1.4))
        page.text(left + 12, y + 3.5, plain(kind.label, LONGEST_TITLE), make_font(NAME))


# -- maps of cells


def _stub(cells: Cells) -> float:
    return 8 + max(width_of(plain(name, LONGEST_TITLE), make_font(NAME)) for name in cells.rows)


def _cells_size(cells: Cells) -> tuple[float, float]:
    sides = APART + 2 * SIDE if cells.sums else 0.0
    wide = _stub(cells) + CELL * len(cells.columns) + sides
    title = width_of(plain(cells.title, LONGEST_TITLE), make_font(TEXT, bold=True))
    high = 36 + ROW * len(cells.rows) + (APART + 2 * ROW if cells.sums else 0)
    return max(wide, title), high + 34


def _colour(cells: Cells, value: float | None) -> Colour | str:
    if value is None:
        return _HOLE
    if cells.null is None:
        share = (value - cells.low) / ((cells.high - cells.low) or 1)
        return _SEQUENTIAL(min(max(share, 0.0), 1.0))
    reach = max(cells.high - cells.null, cells.null - cells.low) or 1
    return _DIVERGING(min(max(0.5 + (value - cells.null) / (2 * reach), 0.0), 1.0))


def _cells(page: Page, digits: Digits, cells: Cells, left: float, top: float) -> None:
    name, boxes = make_font(NAME), list[tuple[Rectangle, Colour | str]]()
    page.text(left, top + 12, plain(cells.title, LONGEST_TITLE), make_font(TEXT, bold=True))
    x0, y0 = left + _stub(cells), top + 36

    def cell(x: float, y: float, width: float, value: float | None, by: float | None) -> None:
        """A cell with a number, in the colour of another."""
        colour = _colour(cells, by)
        boxes.append((Rectangle((x, y), width, ROW), colour))
        if value is not None:
            bright = isinstance(colour, str) or _luminance(colour) > 0.45
            text = f"{value:.{cells.decimals}f}"
            digits.write(x + width / 2, y + ROW - 5, text, INK if bright else "#ffffff")

    for row, (words, values) in enumerate(zip(cells.rows, cells.values, strict=True)):
        page.text(left, y0 + ROW * row + ROW - 5, plain(words, LONGEST_TITLE), name, PALE)
        for column, value in enumerate(values):
            cell(x0 + CELL * column, y0 + ROW * row, CELL, value, value)
    for column, words in enumerate(cells.columns):
        page.text(x0 + CELL * (column + 0.5), y0 - 5, plain(words, 4), name, PALE, "center")
    bottom = y0 + ROW * len(cells.rows)
    if cells.sums:
        _sums(page, cells, cell, (x0, y0))
        bottom += APART + 2 * ROW
    middle = x0 + CELL * len(cells.columns) / 2
    page.text(middle, bottom + 13, plain(cells.below, LONGEST_TITLE), name, PALE, "center")
    patches = PatchCollection(
        [box for box, _ in boxes], facecolors=[colour for _, colour in boxes],
        edgecolors="#ffffff", linewidths=0.5,
    )  # fmt: skip
    patches.set_transform(page.places)
    page.figure.add_artist(patches)


def _sums(page: Page, cells: Cells, cell: "object", origin: tuple[float, float]) -> None:
    """Sums over each row and each column, in the colour of their mean, and those of the null."""
    assert callable(cell)
    (x0, y0), name, null = origin, make_font(NAME), cells.null
    right, below = x0 + CELL * len(cells.columns) + APART, y0 + ROW * len(cells.rows) + APART
    for words, x in (("sum", right), ("null", right + SIDE)):
        page.text(x + SIDE / 2, y0 - 5, words, name, PALE, "center")
    for words, number in (("sum", 0), ("null", 1)):
        page.text(x0 - 8 - width_of(words, name), below + ROW * (number + 1) - 5, words, name, PALE)
    for row, values in enumerate(cells.values):
        total = _total(values)
        mean, y = None if total is None else total / len(values), y0 + ROW * row
        cell(right, y, SIDE, total, mean)
        cell(right + SIDE, y, SIDE, None if null is None else null * len(values), null)
    for column, values in enumerate(zip(*cells.values, strict=True)):
        total = _total(values)
        mean, x = None if total is None else total / len(values), x0 + CELL * column
        cell(x, below, CELL, total, mean)
        cell(x, below + ROW, CELL, None if null is None else null * len(values), null)


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _luminance(colour: Colour) -> float:
    red, green, blue, _ = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
