"""The words of a picture: its fonts, how long they may be, how wide they are, where labels go.

Lengths are points.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.textpath import text_to_path

from .charts import Curve

SMALL, TEXT, HEADING, TITLE = 11.0, 12.0, 14.0, 17.0  # sizes
LONGEST, LONGEST_TITLE, LONGEST_LINE = 36, 60, 160  # letters of a label, a chart's title, others
PITCH = 14.0  # from label to label
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_REGULAR, _BOLD = _FONTS / "DejaVuSans.ttf", _FONTS / "DejaVuSans-Bold.ttf"


def make_font(size: float, bold: bool = False) -> FontProperties:
    """DejaVu Sans from the file that comes with matplotlib, whatever else is installed."""
    return FontProperties(fname=_BOLD if bold else _REGULAR, size=size)


@cache
def _letters() -> frozenset[int]:
    """The characters that both fonts have."""
    regular, bold = (frozenset(get_font(path).get_charmap()) for path in (_REGULAR, _BOLD))
    return regular & bold


def plain(words: str, longest: int) -> str:
    """A text as it is written: one line, cut to a length, every character visible.

    A character that is no letter (a line break, say), or that the font lacks, is written as its
    escape in Python.

    Args:
        words: any text.
        longest: how many characters it may have.
    """
    seen = "".join(
        one if one.isprintable() and ord(one) in _letters() else ascii(one)[1:-1] for one in words
    )
    return seen if len(seen) <= longest else f"{seen[: longest - 1]}…"


def width_of(words: str, font: FontProperties) -> float:
    """How wide a line of text is."""
    width, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return float(width)


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


def words_of(curve: Curve) -> str:
    """What is written at a curve's end: its label, and its number unless the end is a hole."""
    stage, mean = curve.end()
    label = plain(curve.label, LONGEST)
    return f"{label} {mean:.1f}" if stage == len(curve.means) - 1 else label
