"""Planes: aircraft in flight by type; the words for them are new to the bundled models."""

import numpy as np
from PIL import Image

from ..canvas import RGB, Pen, Point, blend, photographed, ramp, shade
from ..sampling import Domain, Scene
from ..shapes import DARK

GLASS: RGB = (70, 96, 124)
LIVERIES: dict[str, RGB] = {
    "white": (244, 244, 240),
    "silver": (150, 158, 168),
    "red": (196, 40, 44),
    "green": (70, 96, 60),
}
SKIES: dict[str, tuple[RGB, RGB]] = {
    "clear": ((70, 140, 220), (190, 220, 244)),
    "pale": ((186, 206, 220), (226, 232, 236)),
    "dusk": ((96, 84, 140), (244, 176, 130)),
    "storm": ((92, 100, 112), (148, 152, 158)),
}
CLOUDS: dict[str, tuple[Point, ...]] = {
    "none": (),
    "low": ((16, 80), (34, 86), (70, 82)),
    "high": ((14, 14), (60, 10), (80, 20)),
}


def _airliner(p: Pen, c: RGB) -> None:
    p.poly([(-0.95, 0), (-1.2, -0.62), (-0.95, -0.62), (-0.55, 0)], shade(c, 0.7))
    p.oval(-1.15, -0.2, 1.15, 0.2, c)
    p.line([(-0.75, -0.04), (0.8, -0.04)], GLASS, 0.07)
    p.poly([(-0.1, 0.08), (0.35, 0.08), (-0.35, 0.72), (-0.55, 0.72)], shade(c, 0.6))
    p.oval(-0.1, 0.28, 0.25, 0.46, DARK)


def _biplane(p: Pen, c: RGB) -> None:
    for x in (-0.25, 0.4):
        p.line([(x, -0.6), (x, 0.3)], DARK, 0.06)
    p.poly([(-1, -0.1), (0.7, -0.25), (0.7, 0.2), (-1, 0.05)], c)
    p.poly([(-0.95, 0), (-1.15, -0.4), (-0.75, -0.4), (-0.65, 0)], shade(c, 0.7))
    p.rect(-0.5, -0.72, 0.7, -0.56, shade(c, 0.75))
    p.rect(-0.5, 0.24, 0.7, 0.4, shade(c, 0.75))
    p.line([(0.8, -0.5), (0.8, 0.45)], DARK, 0.07)
    p.disc(0.35, 0.65, 0.16, DARK)


def _glider(p: Pen, c: RGB) -> None:
    p.poly([(0.25, 0), (-0.05, 0), (-0.75, -1.1), (-0.6, -1.1)], shade(c, 0.85))
    p.poly([(0.25, 0), (-0.05, 0), (-0.6, 1.1), (-0.45, 1.1)], shade(c, 0.7))
    p.poly([(-1.1, -0.02), (0.3, -0.14), (0.75, 0), (0.3, 0.14), (-1.1, 0.04)], c)
    p.poly([(-1, 0), (-1.2, -0.3), (-1.1, -0.3), (-0.9, 0)], c)
    p.oval(0.25, -0.1, 0.6, 0.08, GLASS)


def _helicopter(p: Pen, c: RGB) -> None:
    p.poly([(-1.15, -0.2), (0, -0.2), (0, 0.15), (-1.15, -0.08)], shade(c, 0.8))
    p.line([(-1.15, -0.5), (-1.15, 0.2)], DARK, 0.07)
    p.oval(-0.35, -0.4, 0.8, 0.5, c)
    p.oval(0.3, -0.28, 0.78, 0.2, GLASS)
    p.line([(0.15, -0.4), (0.15, -0.65)], DARK, 0.08)
    p.line([(-0.95, -0.66), (1.2, -0.66)], DARK, 0.08)
    p.line([(-0.4, 0.75), (0.75, 0.75)], DARK, 0.08)
    for x in (-0.05, 0.4):
        p.line([(x, 0.45), (x, 0.75)], DARK, 0.06)


def _airship(p: Pen, c: RGB) -> None:
    for y in (-0.55, 0.4):
        p.poly([(-0.6, y * 0.5), (-1.2, y), (-1.2, y * 0.3)], shade(c, 0.6))
    p.oval(-1.1, -0.6, 1.1, 0.45, c)
    p.oval(-0.9, -0.4, 0.7, 0.0, shade(c, 1.15))
    p.line([(-1.05, -0.08), (1.05, -0.08)], shade(c, 0.65), 0.06)
    p.rect(-0.25, 0.45, 0.3, 0.66, DARK)


def _jet(p: Pen, c: RGB) -> None:
    p.poly([(-1, 0), (-1.05, -0.6), (-0.75, -0.6), (-0.3, -0.05)], shade(c, 0.75))
    p.poly([(-1, -0.14), (0.3, -0.18), (1.25, 0.06), (0.3, 0.18), (-1, 0.18)], c)
    p.poly([(-0.85, 0.05), (0.35, 0.05), (-0.75, 0.62)], shade(c, 0.6))
    p.oval(0.15, -0.26, 0.6, -0.05, GLASS)
    p.poly([(-1, -0.1), (-1.3, 0.02), (-1, 0.14)], (255, 170, 60))


def _seaplane(p: Pen, c: RGB) -> None:
    p.poly([(-0.85, 0), (-1.1, -0.5), (-0.8, -0.5), (-0.55, 0)], shade(c, 0.7))
    p.poly([(-1.05, -0.1), (0.6, -0.22), (0.85, 0), (0.55, 0.2), (-1.05, 0)], c)
    p.rect(0.12, -0.2, 0.42, -0.02, GLASS)
    p.rect(-0.3, -0.46, 0.55, -0.3, shade(c, 0.6))
    p.line([(0.9, -0.3), (0.9, 0.3)], DARK, 0.06)
    for x in (-0.3, 0.4):
        p.line([(x, 0.15), (x, 0.6)], DARK, 0.06)
    p.poly([(-0.8, 0.55), (0.8, 0.5), (1.05, 0.6), (0.8, 0.8), (-0.6, 0.8)], shade(c, 0.8))


def _drone(p: Pen, c: RGB) -> None:
    for x in (-0.85, 0.85):
        p.line([(0, 0), (x, -0.25)], shade(c, 0.6), 0.14)
        p.rect(x - 0.07, -0.42, x + 0.07, -0.18, DARK)
        p.oval(x - 0.48, -0.52, x + 0.48, -0.4, DARK)
    p.poly([(-0.4, -0.2), (0.4, -0.2), (0.3, 0.2), (-0.3, 0.2)], c)
    p.disc(0, 0.32, 0.17, DARK)
    p.line([(-0.25, 0.15), (-0.5, 0.65)], DARK, 0.07)
    p.line([(0.25, 0.15), (0.5, 0.65)], DARK, 0.07)


TYPES = {
    "airliner": _airliner,
    "biplane": _biplane,
    "glider": _glider,
    "helicopter": _helicopter,
    "airship": _airship,
    "fighter jet": _jet,
    "seaplane": _seaplane,
    "drone": _drone,
}


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    top, low = SKIES[scene["sky"]]
    image = ramp(top, low)
    sky = Pen(image, 0, 0, 1)
    for x, y in CLOUDS[scene["clouds"]]:
        sky.oval(x - 16, y - 5, x + 16, y + 5, blend(low, (255, 255, 255), 0.6))
    x, y, turn = int(scene["x"]), int(scene["y"]), int(scene["climb"]) / 16
    pen = Pen(image, x, y, int(scene["scale"]), turn=-turn)
    TYPES[scene["class"]](pen, LIVERIES[scene["livery"]])
    return photographed(image, rng, 1.02)


PLANES8 = Domain(
    name="planes",
    title="Planes8",
    attributes={
        "class": tuple(TYPES),
        "livery": tuple(LIVERIES),
        "sky": tuple(SKIES),
        "clouds": tuple(CLOUDS),
        "x": ("45", "48", "51"),
        "y": ("45", "48", "51"),
        "scale": ("29", "33", "37"),
        "climb": ("-1", "0", "1"),
    },
    paint=_paint,
    templates=("a photo of a {}, a kind of aircraft.", "a photo of the {}, a kind of aircraft."),
)
