"""Draws charts with matplotlib, as PDF (for papers), SVG and PNG (for pages).

Only commands that draw import this module, because matplotlib takes a while to start. The same
picture gives the same bytes wherever the same software draws it: the settings are matplotlib's
defaults and those below, whatever the user's are, and the fonts are the files that come with it.
Other versions draw other bytes. Every file therefore says what it shows and which software drew it
(`charts.imprint_of`).

On a page, lengths are points and y grows downwards; inside a chart, matplotlib's axes count stages
and percent.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .charts import KINDS, Chart, Curve, Picture, Style
from .lettering import (
    HEADING,
    LONGEST_LINE,
    LONGEST_TITLE,
    PITCH,
    SMALL,
    TEXT,
    TITLE,
    make_font,
    plain,
    spread,
    width_of,
    words_of,
)
from .page import EDGE, INK, LINES, PALE, Page, dashes, settings, software
from .stages.draw_sheet import make_sheet
from .stages.sheets import Sheet
from .studies.draw_analysis import make_analysis
from .studies.panels import Analysis

AXIS, PLOT, HEIGHT = 34.0, 290.0, 200.0  # width of the tick labels, width and height of a plot
ABOVE, BELOW = 26.0, 40.0  # a plot: its title, its tick labels and axis title
GAP = 26.0  # from a curve's end to its label
DOT = 2.2
MOST_STAGES = 16  # with a number below them


@dataclass(frozen=True)
class _Plot:
    """A chart and where its plot lies on the page."""

    chart: Chart
    left: float
    top: float
    height: float

    def x(self, stage: int) -> float:
        return self.left + PLOT * (stage + 0.25) / (self.chart.stages - 0.5)

    def y(self, value: float) -> float:
        axis = self.chart.axis
        return self.top + self.height * (axis.high - value) / (axis.high - axis.low)


def _frame(axes: Axes, chart: Chart) -> None:
    axes.set(xlim=(-0.25, chart.stages - 0.75), ylim=(chart.axis.low, chart.axis.high))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    stages, heights = range(0, chart.stages, ceil(chart.stages / MOST_STAGES)), chart.axis.ticks()
    small = make_font(SMALL)
    axes.set_xticks(stages, list(map(str, stages)), fontproperties=small, color=PALE)
    axes.set_yticks(heights, [f"{y:g}" for y in heights], fontproperties=small, color=PALE)
    axes.tick_params(axis="x", length=4, pad=3, color=PALE)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.grid(axis="y", color=LINES, linewidth=1, clip_on=False)
    axes.set_axisbelow(True)
    axes.set_title(
        plain(chart.title, LONGEST_TITLE), loc="left", y=1, pad=10, color=INK,
        fontproperties=make_font(TEXT, bold=True),
    )  # fmt: skip


def _curve(axes: Axes, curve: Curve, order: int) -> None:
    """Its line and its band, piece by piece, so that nothing is drawn over a hole."""
    look = curve.style
    for piece in curve.pieces():
        stages = [stage for stage, _, _ in piece]
        bands = [(mean - sd, mean + sd) for _, mean, sd in piece if sd is not None]
        if len(bands) == len(piece) > 1:
            lower, upper = zip(*bands, strict=True)
            axes.fill_between(
                stages, lower, upper, color=look.colour, alpha=0.15, linewidth=0, clip_on=False,
                zorder=order, label=curve.label,
            )  # fmt: skip
        axes.plot(
            stages, [mean for _, mean, _ in piece], color=look.colour, linewidth=look.width,
            linestyle=dashes(look), marker="o", markersize=2 * DOT, markeredgewidth=0,
            clip_on=False, zorder=order, label=curve.label,
        )  # fmt: skip


def _labels(page: Page, plot: _Plot) -> None:
    """The curves' names beside their ends, with a line from one to the other."""
    ordered = sorted(plot.chart.curves, key=lambda curve: (plot.y(curve.end()[1]), curve.label))
    wanted = [plot.y(curve.end()[1]) for curve in ordered]
    places = spread(wanted, plot.top + 2, plot.top + plot.height - 2)
    x = plot.left + PLOT + GAP
    for curve, y in zip(ordered, places, strict=True):
        stage, mean = curve.end()
        start = plot.x(stage) + DOT + 2, plot.y(mean)
        look = curve.style
        page.line(start, (x - 12, y), Style(look.colour, width=1), alpha=0.5)
        page.line((x - 12, y), (x + 4, y), replace(look, width=look.width + 0.6))
        page.text(x + 8, y + 4, words_of(curve), make_font(SMALL))


def _column(charts: Sequence[Chart]) -> float:
    """Width of a chart with its labels."""
    curves, small = (curve for chart in charts for curve in chart.curves), make_font(SMALL)
    labels = [width_of(words_of(curve), small) for curve in curves]
    bold = make_font(TEXT, bold=True)
    titles = [width_of(plain(chart.title, LONGEST_TITLE), bold) for chart in charts]
    return AXIS + max(PLOT + GAP + 8 + max(labels), *titles)


def make_figure(picture: Picture | Sheet | Analysis) -> Figure:
    """The picture as matplotlib's: axes in reading order, labels and headings on the figure."""
    if isinstance(picture, Sheet):
        return make_sheet(picture)
    if isinstance(picture, Analysis):
        return make_analysis(picture)
    with settings():
        charts = [chart for block in picture.blocks for chart in block.charts]
        column = _column(charts)
        height = max(HEIGHT, PITCH * max(len(chart.curves) for chart in charts) + 4)
        lines = [(EDGE + TITLE, picture.title, make_font(TITLE, bold=True), INK)]
        lines += [(lines[0][0] + 22, picture.about, make_font(TEXT), PALE)]
        plots, y = [], lines[-1][0]
        for block in picture.blocks:
            y += 34
            lines.append((y, block.heading, make_font(HEADING, bold=True), INK))
            for number, chart in enumerate(block.charts):
                side = number % 2
                y += 0 if side else ABOVE
                plots.append(_Plot(chart, EDGE + AXIS + side * (column + EDGE), y + 8, height))
                y += height + BELOW if side or number == len(block.charts) - 1 else 0
        texts = [(at, plain(words, LONGEST_LINE), font, ink) for at, words, font, ink in lines]
        widest = max(width_of(words, font) for _, words, font, _ in texts)
        page = Page(ceil(2 * EDGE + max(2 * column + EDGE, widest)), ceil(y + EDGE))
        for at, words, font, ink in texts:
            page.text(EDGE, at, words, font, ink)
        for plot in plots:
            axes = page.axes(plot.left, plot.top, PLOT, plot.height)
            _frame(axes, plot.chart)
            for order, curve in enumerate(plot.chart.curves, start=3):
                _curve(axes, curve, order)
            middle, below = plot.left + PLOT / 2, plot.top + plot.height + 31
            page.text(middle, below, plot.chart.below, make_font(SMALL), PALE, align="center")
            _labels(page, plot)
        return page.figure


def draw(picture: Picture | Sheet | Analysis, mark: str) -> dict[str, bytes]:
    """Kind of file (see `KINDS`) -> its bytes.

    Args:
        picture: what to draw.
        mark: plain words that stand in the metadata of every file, as they are.
    """
    about = f"{mark}; shows {picture.digest}, drawn by {software()}"
    title = plain(picture.title, LONGEST_LINE)
    metadata: dict[str, dict[str, str | None]] = {
        "pdf": {"Subject": about, "Creator": None, "Producer": None, "CreationDate": None},
        "svg": {"Description": about, "Creator": None, "Date": None},
        "png": {"Description": about, "Software": None},
    }
    figure, files = make_figure(picture), {}
    with settings():
        for kind in KINDS:
            file = io.BytesIO()
            figure.savefig(file, format=kind, metadata={"Title": title, **metadata[kind]})
            files[kind] = file.getvalue()
    return files
