"""Blossoms: one flower close up among leaves; colours are shared, so shape tells them apart."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, photographed, shade
from ..sampling import Domain, Scene
from ..shapes import DARK
from .parts import corolla

RED, PINK, WHITE = (206, 30, 44), (240, 140, 176), (246, 244, 240)
YELLOW, ORANGE, PURPLE = (250, 204, 40), (244, 128, 30), (126, 62, 170)
COLOURS: dict[str, tuple[RGB, RGB, RGB]] = {
    "rose": (RED, PINK, WHITE),
    "tulip": (RED, YELLOW, PURPLE),
    "daisy": (WHITE, PINK, YELLOW),
    "sunflower": (YELLOW, (240, 176, 24), (250, 190, 60)),
    "lily": (WHITE, ORANGE, PINK),
    "pansy": (PURPLE, YELLOW, WHITE),
    "poppy": (RED, ORANGE, PINK),
    "bluebell": ((70, 90, 210), PURPLE, PINK),
}
GROUNDS: dict[str, RGB] = {
    "grass": (74, 130, 56),
    "moss": (44, 86, 50),
    "soil": (104, 80, 54),
    "mist": (150, 172, 150),
}


def _rose(p: Pen, c: RGB) -> None:
    for k, r in enumerate((0.95, 0.76, 0.58, 0.4, 0.22)):
        corolla(p, 0, 0, 5, 0.1, r, 0.42 * r, shade(c, 1 - 0.2 * (k % 2)), start=0.07 * k)
        p.ring(0, 0, r * 0.6, shade(c, 0.6), 0.04)


def _tulip(p: Pen, c: RGB) -> None:
    p.line([(0, 0.3), (0, 1.3)], (70, 140, 60), 0.16)
    p.poly([(-0.6, -0.7), (-0.25, -0.35), (0, -0.9), (0.25, -0.35), (0.6, -0.7), (0.62, 0.2),
            (0.3, 0.6), (-0.3, 0.6), (-0.62, 0.2)], c)  # fmt: skip
    p.poly([(0, -0.9), (0.28, -0.1), (0, 0.6), (-0.28, -0.1)], shade(c, 0.75))


def _daisy(p: Pen, c: RGB) -> None:
    corolla(p, 0, 0, 11, 0.2, 1, 0.15, c)
    p.disc(0, 0, 0.28, (246, 190, 30) if c != YELLOW else (250, 240, 200))


def _sunflower(p: Pen, c: RGB) -> None:
    corolla(p, 0, 0, 18, 0.45, 1.05, 0.13, c)
    corolla(p, 0, 0, 18, 0.45, 0.92, 0.12, shade(c, 0.88), start=1 / 36)
    p.disc(0, 0, 0.55, (92, 56, 28))
    p.disc(0, 0, 0.28, (58, 34, 20))


def _lily(p: Pen, c: RGB) -> None:
    for k in range(6):
        corolla(p, 0, 0, 1, 0.05, 1.1, 0.24, shade(c, 1 - 0.14 * (k % 2)), start=k / 6)
    for k in range(6):
        corolla(p, 0, 0, 1, 0.05, 0.5, 0.05, (190, 110, 20), start=k / 6 + 1 / 12)


def _pansy(p: Pen, c: RGB) -> None:
    for x, y, r, f in ((-0.4, -0.45, 0.5, 0.7), (0.4, -0.45, 0.5, 0.7), (-0.5, 0.1, 0.45, 1.0),
                       (0.5, 0.1, 0.45, 1.0), (0, 0.5, 0.55, 1.0)):  # fmt: skip
        p.disc(x, y, r, shade(c, f))
    for x, y in ((-0.35, 0.12), (0.35, 0.12), (0, 0.42)):
        p.disc(x, y, 0.24, (40, 20, 60))
    p.disc(0, 0.08, 0.15, (250, 200, 40))


def _poppy(p: Pen, c: RGB) -> None:
    for x, y, f in ((0, -0.45, 0.85), (0, 0.45, 0.85), (-0.45, 0, 1.0), (0.45, 0, 1.0)):
        p.disc(x, y, 0.58, shade(c, f))
    p.disc(0, 0, 0.27, DARK)
    p.disc(0, 0, 0.12, (110, 150, 80))


def _bluebell(p: Pen, c: RGB) -> None:
    p.line([(-0.6, 1.2), (-0.4, -0.4), (0.1, -0.95), (0.7, -0.7)], (80, 150, 70), 0.1)
    for x, y in ((0.7, -0.45), (0.15, -0.6), (-0.3, -0.1), (0.35, 0.15), (-0.25, 0.6)):
        p.poly([(x - 0.12, y - 0.25), (x + 0.12, y - 0.25), (x + 0.3, y + 0.3), (x + 0.1, y + 0.2),
                (x, y + 0.35), (x - 0.1, y + 0.2), (x - 0.3, y + 0.3)], c)  # fmt: skip


FLOWERS = {
    "rose": _rose,
    "tulip": _tulip,
    "daisy": _daisy,
    "sunflower": _sunflower,
    "lily": _lily,
    "pansy": _pansy,
    "poppy": _poppy,
    "bluebell": _bluebell,
}


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    ground = GROUNDS[scene["ground"]]
    image = Image.new("RGB", (BIG, BIG), ground)
    back = Pen(image, 0, 0, 1)
    for x, y, k in rng.integers((-6, -6, 0), (BIG, BIG, 8), size=(26, 3)).tolist():
        corolla(back, x, y, 1, 0, 24, 5, shade(ground, 0.65 + 0.09 * k), start=k / 8)
    turn = int(scene["turn"]) / 24
    pen = Pen(image, int(scene["x"]), int(scene["y"]), int(scene["scale"]), turn=turn)
    FLOWERS[scene["class"]](pen, COLOURS[scene["class"]][int(scene["colour"])])
    return photographed(image, rng, float(scene["light"]))


BLOSSOMS8 = Domain(
    name="blossoms",
    title="Blossoms8",
    attributes={
        "class": tuple(FLOWERS),
        "colour": ("0", "1", "2"),
        "ground": tuple(GROUNDS),
        "turn": ("-5", "-3", "-1", "1", "3", "5"),
        "x": ("42", "48", "54"),
        "y": ("42", "48", "54"),
        "scale": ("26", "32", "38"),
        "light": ("0.8", "0.95", "1.1"),
    },
    paint=_paint,
    templates=("a photo of a {}, a kind of flower.",),
)
