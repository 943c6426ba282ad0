"""Motors: vehicles by make and colour in a showroom; two of the makes are known words."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, photographed, ramp, shade
from ..sampling import Domain, Scene
from ..shapes import DARK, Shape, car

GLASS: RGB = (176, 200, 214)
PAINTS: dict[str, RGB] = {"red": (196, 30, 36), "blue": (34, 78, 190), "white": (242, 242, 240)}
HALLS: dict[str, tuple[RGB, RGB]] = {
    "gray": ((150, 154, 160), (96, 98, 104)),
    "warm": ((216, 198, 168), (150, 118, 84)),
    "green": ((126, 160, 130), (90, 100, 92)),
    "dark": ((62, 62, 78), (44, 44, 50)),
    "yellow": ((226, 200, 100), (120, 120, 116)),
}


def _wheels(p: Pen, left: float, right: float, radius: float) -> None:
    for x in (left, right):
        p.disc(x, 0.72, radius, DARK)
        p.disc(x, 0.72, 0.45 * radius, (176, 178, 182))


def _truck(p: Pen, c: RGB) -> None:
    p.rect(-1.15, -0.85, 0.42, 0.65, c)
    p.poly([(0.48, -0.4), (0.92, -0.4), (1.15, 0.1), (1.15, 0.65), (0.48, 0.65)], shade(c, 0.7))
    p.poly([(0.62, -0.25), (0.87, -0.25), (1.03, 0.1), (0.62, 0.1)], GLASS)
    _wheels(p, -0.7, 0.8, 0.27)


def _jeep(p: Pen, c: RGB) -> None:
    p.rect(-0.9, -0.05, 1, 0.62, c)
    p.rect(-0.9, -0.7, 0.4, -0.55, DARK)
    for x in (-0.85, -0.25, 0.35):
        p.line([(x, -0.6), (x, 0)], DARK, 0.08)
    p.disc(-1.0, 0.15, 0.3, DARK)
    p.rect(0.85, 0.1, 1, 0.3, (255, 240, 170))
    _wheels(p, -0.5, 0.65, 0.36)


MAKES: dict[str, Shape] = {"car": car, "truck": _truck, "jeep": _jeep}
MODELS = tuple(f"{paint} {make}" for make in MAKES for paint in PAINTS)


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    paint, make = scene["class"].split()
    wall, floor = HALLS[scene["hall"]]
    image = ramp(wall, shade(wall, 1.12))
    image.paste(ramp(shade(floor, 1.15), floor, 34), (0, BIG - 34))
    room = Pen(image, 0, 0, 1)
    for k in range(int(scene["lamps"])):
        room.rect(10 + 28 * k, 8, 28 + 28 * k, 11, (255, 252, 236))
    x, base, size = int(scene["x"]), int(scene["y"]), int(scene["scale"])
    room.oval(x - 1.2 * size, base - 5, x + 1.2 * size, base + 4, shade(floor, 0.55))
    pen = Pen(image, x, base - size, size, flip=scene["flip"] == "1")
    MAKES[make](pen, shade(PAINTS[paint], float(scene["gloss"])))
    return photographed(image, rng, 1.0)


MOTORS9 = Domain(
    name="motors",
    title="Motors9",
    attributes={
        "class": MODELS,
        "hall": tuple(HALLS),
        "lamps": ("0", "1", "2", "3"),
        "x": ("41", "45", "49", "53"),
        "y": ("74", "79", "84"),
        "scale": ("25", "30", "35"),
        "gloss": ("0.85", "0.95", "1.05"),
        "flip": ("0", "1"),
    },
    paint=_paint,
    templates=(
        "a photo of a {}.",
        "a photo of the {}.",
        "a blurry photo of one {}.",
        "a {} on a paved road.",
    ),
)
