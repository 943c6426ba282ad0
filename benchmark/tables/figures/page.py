"""The page of a picture: matplotlib's settings, lines and words at places in points.

On a page, lengths are points and y grows downwards. The settings are matplotlib's defaults and
those below, whatever the user's are.
"""

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import __freetype_version__
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D, Transform

from .charts import Style

INK, PALE, LINES = "#222222", "#595959", "#e4e4e4"
EDGE = 24.0  # around the picture
POINT = 1 / 72  # in inches, matplotlib's unit of length
PIXELS = 100  # of the PNG, an inch
_SETTINGS: Mapping[Any, Any] = {
    "path.simplify": False,
    "lines.scale_dashes": False,
    "text.parse_math": False,  # a label is text, whatever it holds
    "svg.fonttype": "path",  # looks the same where the font is not installed
    "svg.hashsalt": "cl-bench",
    "pdf.fonttype": 42,  # publishers refuse Type 3
    "pdf.compression": 0,  # what zlib makes of it depends on its version
}


def software() -> str:
    """What the bytes of a picture depend on: versions, and the machine that they were built for."""
    parts = [f"{name} {version(name)}" for name in ("matplotlib", "fonttools", "pillow")]
    machine = f"{platform.system()} {platform.machine()}"
    return ", ".join([*parts, f"FreeType {__freetype_version__}", machine])


@contextmanager
def settings() -> Iterator[None]:
    """Within it, matplotlib is as it comes, but for `_SETTINGS`."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


class Page:
    """A figure on which a place is in points from its upper left corner.

    Args:
        width, height: of the page.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width * POINT, height * POINT), dpi=PIXELS)
        down = Affine2D().scale(POINT, -POINT).translate(0, height * POINT)
        self.places: Transform = down + self.figure.dpi_scale_trans

    def text(
        self, x: float, y: float, words: str, font: FontProperties, colour: str = INK,
        align: Literal["left", "center"] = "left", rotation: float = 0,
    ) -> None:  # fmt: skip
        """Words from a place on their base line, or around it."""
        self.figure.text(
            x,
            y,
            words,
            transform=self.places,
            fontproperties=font,
            color=colour,
            ha=align,
            rotation=rotation,
            rotation_mode="anchor",
        )

    def line(
        self, start: tuple[float, float], end: tuple[float, float], style: Style, alpha: float = 1
    ) -> None:
        """A straight line."""
        line = Line2D(
            *zip(start, end, strict=True), transform=self.places, color=style.colour, alpha=alpha,
            linestyle=dashes(style), linewidth=style.width,
        )  # fmt: skip
        self.figure.add_artist(line)

    def dot(
        self, x: float, y: float, colour: str, marker: str, size: float, hollow: bool = False
    ) -> None:
        """A point of a legend, of that size in points."""
        line = Line2D(
            [x], [y], transform=self.places, marker=marker, markersize=size, linewidth=0,
            markerfacecolor="#ffffff" if hollow else colour, markeredgecolor=colour,
            markeredgewidth=1.3,
        )  # fmt: skip
        self.figure.add_artist(line)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes in a rectangle of the page."""
        bottom = self.height - top - height
        return self.figure.add_axes((
            left / self.width, bottom / self.height, width / self.width, height / self.height,
        ))  # fmt: skip


def dashes(style: Style) -> tuple[float, tuple[float, ...]] | Literal["-"]:
    """The dash pattern of a style, as matplotlib takes it."""
    return (0, style.dash) if style.dash else "-"
