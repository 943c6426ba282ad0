"""Pieces that several few-shot domains draw."""

import numpy as np

from ..canvas import CIRCLE, RGB, Pen, Point


def petal(x: float, y: float, angle: float, near: float, far: float, width: float) -> list[Point]:
    """An ellipse that points away from (x, y).

    Args:
        x: of the flower's centre.
        y: of the flower's centre.
        angle: direction in turns, 0 to the right, clockwise.
        near: distance of its inner end from the centre.
        far: distance of its outer end.
        width: half its breadth.
    """
    cos, sin = (round(float(f(angle * 2 * np.pi)), 4) for f in (np.cos, np.sin))
    middle, half = (near + far) / 2, (far - near) / 2
    spots = [(middle + c * half, s * width) for c, s in CIRCLE]
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in spots]


def corolla(
    p: Pen, x: float, y: float, count: int, near: float, far: float, width: float, fill: RGB,
    start: float = 0.0,
) -> None:  # fmt: skip
    """`count` petals around (x, y), the first at `start` turns; lengths as in `petal`."""
    for k in range(count):
        p.poly(petal(x, y, start + k / count, near, far, width), fill)
