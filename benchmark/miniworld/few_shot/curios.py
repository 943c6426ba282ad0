"""Curios: one thing of any kind, outdoors or in a studio; most names are known words."""

import numpy as np
from PIL import Image

from ..canvas import RGB, Pen, photographed, ramp, shade
from ..domains.labelled import GROUNDS
from ..domains.products import CONTOURS
from ..sampling import Domain, Scene
from ..shapes import DARK, Shape, bench, bicycle, sheep, tent
from .parts import corolla

TINTS: dict[str, RGB] = {
    "red": (200, 40, 40),
    "blue": (40, 80, 200),
    "green": (40, 130, 60),
    "orange": (240, 130, 30),
    "purple": (130, 60, 160),
    "white": (244, 242, 238),
}


def _anchor(p: Pen, c: RGB) -> None:
    p.ring(0, -0.75, 0.2, c, 0.12)
    p.line([(0, -0.55), (0, 0.9)], c, 0.18)
    p.line([(-0.45, -0.3), (0.45, -0.3)], c, 0.16)
    p.line([(-0.85, 0.2), (-0.65, 0.75), (0, 0.95), (0.65, 0.75), (0.85, 0.2)], c, 0.18)
    for x in (-0.85, 0.85):
        p.poly([(x - 0.25, 0.35), (x + 0.25, 0.35), (x, -0.05)], c)


def _backpack(p: Pen, c: RGB) -> None:
    p.ring(0, -0.8, 0.2, shade(c, 0.6), 0.1)
    p.poly(CONTOURS["backpack"], c)
    p.rect(-0.45, 0.2, 0.45, 0.75, shade(c, 0.75))
    p.line([(-0.45, 0.35), (0.45, 0.35)], shade(c, 0.5), 0.06)


def _handbag(p: Pen, c: RGB) -> None:
    p.ring(0, -0.3, 0.5, shade(c, 0.6), 0.12)
    p.poly(CONTOURS["handbag"], c)
    p.rect(-0.2, -0.1, 0.2, 0.2, (214, 176, 70))


def _sneaker(p: Pen, c: RGB) -> None:
    p.poly([(x, y + 0.2) for x, y in CONTOURS["sneaker"]], c)
    p.rect(-1.02, 0.78, 1.12, 1, (240, 240, 236))
    for x in (-0.3, -0.05, 0.2):
        p.line([(x - 0.1, 0.25), (x + 0.12, 0.05)], (240, 240, 236), 0.08)


def _sunflower(p: Pen, c: RGB) -> None:
    p.line([(0, -0.3), (0.05, 1)], (60, 130, 50), 0.14)
    p.oval(0.05, 0.45, 0.6, 0.75, (60, 140, 50))
    corolla(p, 0, -0.35, 14, 0.34, 0.68, 0.13, (250, 200, 30))
    p.disc(0, -0.35, 0.33, (96, 58, 28))


def _umbrella(p: Pen, c: RGB) -> None:
    p.poly([(-1.1, 0.1), (-0.8, -0.5), (0, -0.9), (0.8, -0.5), (1.1, 0.1), (0.55, -0.08), (0, 0.1),
            (-0.55, -0.08)], c)  # fmt: skip
    p.poly([(-0.4, 0), (0, -0.9), (0.4, 0), (0, 0.1)], shade(c, 0.75))
    p.line([(0, -0.05), (0, 0.8), (0.12, 0.95), (0.3, 0.85)], DARK, 0.1)


THINGS: dict[str, Shape] = {
    "anchor": _anchor,
    "backpack": _backpack,
    "bench": bench,
    "bicycle": bicycle,
    "handbag": _handbag,
    "sheep": sheep,
    "sneaker": _sneaker,
    "sunflower": _sunflower,
    "tent": tent,
    "umbrella": _umbrella,
}


def _settle(scene: Scene) -> Scene | None:
    """Blanks what cannot be seen: the side that most things face, the tint of the sunflower."""
    flip = scene["flip"] if scene["class"] in ("bicycle", "sheep", "sneaker", "tent") else "0"
    tint = "" if scene["class"] == "sunflower" else scene["tint"]
    return {**scene, "flip": flip, "tint": tint}


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    back, ground = GROUNDS[scene["ground"]]
    image = ramp(back, shade(back, 1.15))
    image.paste(ramp(shade(ground, 0.85), ground, 44), (0, 52))
    x, base, size = int(scene["x"]), int(scene["y"]), int(scene["scale"])
    Pen(image, x, base, size).oval(-1, -0.12, 1, 0.12, shade(ground, 0.6))
    pen = Pen(image, x, base - size, size, flip=scene["flip"] == "1")
    THINGS[scene["class"]](pen, TINTS.get(scene["tint"], DARK))
    return photographed(image, rng, float(scene["light"]))


CURIOS10 = Domain(
    name="curios",
    title="Curios10",
    attributes={
        "class": tuple(THINGS),
        "tint": tuple(TINTS),
        "ground": ("grass", "sand", "studio", "floor"),
        "x": ("38", "43", "48", "53", "58"),
        "y": ("80", "84", "88"),
        "scale": ("22", "27", "32"),
        "light": ("0.8", "0.92", "1.04"),
        "flip": ("0", "1"),
    },
    paint=_paint,
    settle=_settle,
    templates=(
        "a photo of a {}.",
        "a blurry photo of one {}.",
        "a drawing of a {}.",
        "there is a {} in the picture.",
    ),
)
