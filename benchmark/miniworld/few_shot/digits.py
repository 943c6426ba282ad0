"""Digits: written by hand in white on black."""

import numpy as np
from PIL import Image

from ..canvas import BIG, CIRCLE, RGB, Pen, Point, finished, grain, reduced
from ..sampling import Domain, Scene

Stroke = tuple[Point, ...]
INKS: dict[str, RGB] = {"white": (250, 250, 250), "pale": (206, 206, 206)}


def _loop(x: float, y: float, rx: float, ry: float) -> Stroke:
    return tuple((x + c * rx, y + s * ry) for c, s in (*CIRCLE, CIRCLE[0]))


# Two ways to write each.
STROKES: dict[str, tuple[tuple[Stroke, ...], tuple[Stroke, ...]]] = {
    "zero": ((_loop(0, 0, 0.55, 0.9),), (_loop(0, 0, 0.65, 0.8),)),
    "one": (
        (((0, -0.9), (0, 0.9)),),
        (((-0.35, -0.5), (0.05, -0.9), (0.05, 0.9)), ((-0.3, 0.9), (0.4, 0.9))),
    ),
    "two": (
        (((-0.5, -0.5), (-0.25, -0.85), (0.3, -0.85), (0.5, -0.45), (-0.5, 0.85), (0.6, 0.85)),),
        (((-0.55, -0.6), (0, -0.9), (0.5, -0.6), (0.4, -0.1), (-0.45, 0.75), (-0.2, 0.6),
          (0.2, 0.85), (0.6, 0.7)),),
    ),
    "three": (
        (((-0.5, -0.8), (0.2, -0.85), (0.5, -0.5), (0, -0.05), (0.5, 0.4), (0.2, 0.85),
          (-0.5, 0.8)),),
        (((-0.5, -0.85), (0.5, -0.85), (0, -0.2), (0.5, 0.25), (0.35, 0.75), (-0.5, 0.85)),),
    ),
    "four": (
        (((0.2, -0.9), (-0.6, 0.3), (0.6, 0.3)), ((0.25, -0.3), (0.25, 0.9))),
        (((-0.5, -0.85), (-0.5, 0.1), (0.5, 0.1)), ((0.45, -0.85), (0.45, 0.9))),
    ),
    "five": (
        (((0.5, -0.85), (-0.45, -0.85), (-0.5, -0.1), (0.2, -0.15), (0.5, 0.3), (0.2, 0.85),
          (-0.5, 0.8)),),
        (((-0.4, -0.85), (-0.45, -0.1), (0.3, -0.1), (0.5, 0.4), (0, 0.85), (-0.5, 0.6)),
         ((-0.4, -0.85), (0.5, -0.8))),
    ),
    "six": (
        (((0.35, -0.9), (-0.3, -0.3), (-0.5, 0.4)), _loop(0, 0.42, 0.5, 0.45)),
        (((0.1, -0.9), (-0.4, 0.1), (-0.4, 0.5)), _loop(0.02, 0.48, 0.44, 0.38)),
    ),
    "seven": (
        (((-0.55, -0.85), (0.55, -0.85), (-0.1, 0.9)),),
        (((-0.5, -0.8), (0.5, -0.8), (0.05, 0.9)), ((-0.3, 0), (0.5, 0))),
    ),
    "eight": (
        (_loop(0, -0.45, 0.4, 0.42), _loop(0, 0.43, 0.5, 0.45)),
        (((0.4, -0.8), (-0.4, -0.75), (0.45, 0.6), (0, 0.9), (-0.45, 0.6), (0.4, -0.8)),),
    ),
    "nine": (
        (_loop(0, -0.42, 0.48, 0.45), ((0.48, -0.45), (0.3, 0.9))),
        (_loop(-0.05, -0.45, 0.42, 0.4), ((0.38, -0.5), (0.4, 0.5), (-0.3, 0.9))),
    ),
}  # fmt: skip


def _settle(scene: Scene) -> Scene | None:
    """A single stroke has no breadth."""
    plain = scene["class"] == "one" and scene["way"] == "0"
    return {**scene, "wide": "1.1"} if plain else scene


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG), (8, 8, 8))
    slant, wide = int(scene["slant"]) / 10, float(scene["wide"])
    pen = Pen(image, int(scene["x"]), int(scene["y"]), int(scene["scale"]), jitter=2, rng=rng)
    ink, width = INKS[scene["ink"]], float(scene["width"])
    for stroke in STROKES[scene["class"]][int(scene["way"])]:
        bent = [(wide * x - slant * y, y) for x, y in stroke]
        spots = pen.placed(bent)
        canvas = Pen(image, 0, 0, 1)
        canvas.line(spots, ink, width)
        for x, y in spots:
            canvas.disc(x, y, width / 2, ink)
    return finished(reduced(image, 1.2) + grain(rng, 5, 1))


DIGITS10 = Domain(
    name="digits",
    title="Digits10",
    attributes={
        "class": tuple(STROKES),
        "way": ("0", "1"),
        "slant": ("-1", "1", "3"),
        "wide": ("0.9", "1.1"),
        "x": ("45", "48", "51"),
        "y": ("45", "48", "51"),
        "scale": ("34", "38"),
        "width": ("7", "10"),
        "ink": tuple(INKS),
    },
    paint=_paint,
    settle=_settle,
    templates=('a photo of the number: "{}".',),
)
