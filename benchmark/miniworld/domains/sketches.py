"""Sketches: shaky line drawings of three things in a layout."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, finished, reduced
from ..sampling import Domain, Scene

PAPER: RGB = (253, 253, 251)
LINE: RGB = (24, 24, 26)
HATCH = np.add.outer(np.arange(BIG), np.arange(BIG)) % 5 < 3


def _star(p: Pen, c: RGB) -> None:
    p.poly([(0, -1), (0.25, -0.3), (0.95, -0.3), (0.4, 0.15), (0.6, 0.85), (0, 0.45), (-0.6, 0.85),
            (-0.4, 0.15), (-0.95, -0.3), (-0.25, -0.3)], c)  # fmt: skip


def _heart(p: Pen, c: RGB) -> None:
    p.poly([(0, 0.9), (-0.9, -0.1), (-0.8, -0.7), (-0.4, -0.85), (0, -0.4), (0.4, -0.85),
            (0.8, -0.7), (0.9, -0.1)], c)  # fmt: skip


def _cube(p: Pen, c: RGB) -> None:
    p.rect(-0.85, -0.3, 0.4, 0.9, c)
    p.poly([(-0.85, -0.3), (-0.4, -0.85), (0.85, -0.85), (0.4, -0.3)], c)
    p.poly([(0.4, -0.3), (0.85, -0.85), (0.85, 0.4), (0.4, 0.9)], c)


def _fish(p: Pen, c: RGB) -> None:
    p.poly([(0.3, 0), (0.95, -0.6), (0.95, 0.6)], c)
    p.oval(-0.95, -0.5, 0.5, 0.5, c)
    p.disc(-0.6, -0.1, 0.08, LINE)


def _key(p: Pen, c: RGB) -> None:
    p.line([(-0.2, 0), (0.95, 0)], LINE, 0.22)
    p.line([(0.85, 0), (0.85, 0.5)], LINE, 0.2)
    p.line([(0.5, 0), (0.5, 0.4)], LINE, 0.2)
    p.disc(-0.5, 0, 0.45, c)


def _clock(p: Pen, c: RGB) -> None:
    p.disc(0, 0, 0.9, c)
    p.line([(0, -0.6), (0, 0), (0.45, 0.2)], LINE, 0.16)


def _leaf(p: Pen, c: RGB) -> None:
    p.poly([(-0.8, 0.8), (-0.6, -0.3), (0.1, -0.8), (0.9, -0.9), (0.8, 0), (0.2, 0.6)], c)
    p.line([(-0.95, 0.95), (0.6, -0.6)], LINE, 0.12)


def _arrow(p: Pen, c: RGB) -> None:
    p.poly([(-0.3, 0.95), (-0.3, 0), (-0.8, 0), (0, -0.95), (0.8, 0), (0.3, 0), (0.3, 0.95)], c)


def _ladder(p: Pen, c: RGB) -> None:
    p.rect(-0.5, -0.95, 0.5, 0.95, c)
    for y in (-0.5, 0, 0.5):
        p.line([(-0.5, y), (0.5, y)], LINE, 0.12)


def _cone(p: Pen, c: RGB) -> None:
    p.poly([(0, -0.95), (0.85, 0.7), (0.5, 0.9), (-0.5, 0.9), (-0.85, 0.7)], c)
    p.line([(-0.85, 0.7), (-0.4, 0.5), (0.4, 0.5), (0.85, 0.7)], LINE, 0.1)


def _cactus(p: Pen, c: RGB) -> None:
    p.poly([(-0.2, 0.95), (-0.2, 0.3), (-0.8, 0.3), (-0.8, -0.4), (-0.5, -0.4), (-0.5, 0),
            (-0.2, 0), (-0.2, -0.95), (0.2, -0.95), (0.2, -0.1), (0.5, -0.1), (0.5, -0.6),
            (0.8, -0.6), (0.8, 0.2), (0.2, 0.2), (0.2, 0.95)], c)  # fmt: skip


def _envelope(p: Pen, c: RGB) -> None:
    p.rect(-0.95, -0.6, 0.95, 0.65, c)
    p.line([(-0.95, -0.6), (0, 0.15), (0.95, -0.6)], LINE, 0.12)


ICONS: dict[str, tuple[str, Callable[[Pen, RGB], None]]] = {
    "star": ("a star", _star),
    "heart": ("a heart", _heart),
    "cube": ("a cube", _cube),
    "fish": ("a fish", _fish),
    "key": ("a key", _key),
    "clock": ("a clock", _clock),
    "leaf": ("a leaf", _leaf),
    "arrow": ("an arrow", _arrow),
    "ladder": ("a ladder", _ladder),
    "cone": ("a cone", _cone),
    "cactus": ("a cactus", _cactus),
    "envelope": ("an envelope", _envelope),
}
# Centre and scale of the three things in canvas pixels.
Spot = tuple[int, int, int]
LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[Spot, Spot, Spot]]] = {
    "row": (
        ("{a}, {b} and {c} in a row from left to right", "a row of {a}, then {b}, then {c}"),
        ((20, 48, 12), (48, 48, 12), (76, 48, 12)),
    ),
    "column": (
        ("{a} above {b} above {c} in one column", "a column with {a} on top, {b}, {c} lowest"),
        ((48, 20, 12), (48, 48, 12), (48, 76, 12)),
    ),
    "large": (
        ("a large {A} with small {B} and {C} beneath", "small {B} and {C} below one large {A}"),
        ((48, 34, 22), (28, 76, 11), (68, 76, 11)),
    ),
    "diagonal": (
        ("{a} upper left, {b} in the middle, {c} lower right",
         "diagonal of {a}, {b}, {c} running down to the right"),
        ((22, 22, 13), (48, 48, 13), (74, 74, 13)),
    ),
    "wedge": (
        ("{a} and {b} side by side over a large {C}", "a large {C} beneath {a} and {b}"),
        ((26, 24, 12), (70, 24, 12), (48, 62, 22)),
    ),
}  # fmt: skip
BORDERS: dict[str, str] = {
    "none": "no border",
    "box": "square border",
    "circle": "round border",
}
WEIGHTS: dict[str, tuple[str, int]] = {"thin": ("thin pen", 2), "thick": ("thick marker", 4)}


def _settle(scene: Scene) -> Scene | None:
    return scene if len({scene["a"], scene["b"], scene["c"]}) == 3 else None


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    a, b, c = scene["a"], scene["b"], scene["c"]
    phrases = LAYOUTS[scene["layout"]][0]
    layout = phrases[pick % len(phrases)].format(
        a=ICONS[a][0], b=ICONS[b][0], c=ICONS[c][0], A=a, B=b, C=c
    )
    shaded = f"{scene[scene['shaded']]} hatched" if scene["shaded"] != "none" else "no hatching"
    weight, border = WEIGHTS[scene["weight"]][0], BORDERS[scene["border"]]
    if pick // 2 % 2:
        return (f"{weight} drawing of {layout}, {border}, {shaded}.",)
    return (f"{layout}, {shaded}, {weight}, {border}.",)


def _hatched(p: Pen, draw: Callable[[Pen, RGB], None]) -> None:
    """Fills with a marking colour first, which hatching then replaces."""
    mark: RGB = (200, 200, 199)
    draw(p, mark)
    pixels = np.array(p.image)
    pixels[(pixels[..., 2] == mark[2]) & HATCH] = (70, 70, 72)
    p.image.paste(Image.fromarray(pixels))


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG), PAPER)
    width = WEIGHTS[scene["weight"]][1]
    frame = Pen(image, 48, 48, 1, outline=LINE, width=width, jitter=1.2, rng=rng)
    if scene["border"] == "box":
        frame.rect(-45, -45, 45, 45, PAPER)
    elif scene["border"] == "circle":
        frame.disc(0, 0, 46, PAPER)
    squeeze = 0.8 if scene["border"] == "circle" else 0.95
    for slot, (x, y, scale) in zip("abc", LAYOUTS[scene["layout"]][1], strict=True):
        cx = 48 + (x - 48) * squeeze + int(rng.integers(-2, 3))
        cy = 48 + (y - 48) * squeeze + int(rng.integers(-2, 3))
        p = Pen(image, cx, cy, scale * (0.9 if scene["border"] == "circle" else 1),
                outline=LINE, width=width, jitter=0.8, rng=rng)  # fmt: skip
        draw = ICONS[scene[slot]][1]
        if scene["shaded"] == slot:
            _hatched(p, draw)
        else:
            draw(p, PAPER)
    return finished(reduced(image))


SKETCHES = Domain(
    name="sketches",
    title="Sketches",
    attributes={
        "a": tuple(ICONS),
        "b": tuple(ICONS),
        "c": tuple(ICONS),
        "layout": tuple(LAYOUTS),
        "shaded": ("none", "a", "b", "c"),
        "border": tuple(BORDERS),
        "weight": tuple(WEIGHTS),
    },
    settle=_settle,
    captions=_captions,
    paint=_paint,
)
