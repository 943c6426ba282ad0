"""Dishes: food on a plate, seen from above; half of it is also in the pantry."""

import numpy as np
from PIL import Image

from ..canvas import BIG, CIRCLE, RGB, Pen, photographed, shade
from ..domains.pantry import food
from ..sampling import Domain, Scene
from .parts import corolla

TABLES: dict[str, RGB] = {
    "wood": (150, 102, 62),
    "slate": (66, 70, 76),
    "linen": (222, 214, 198),
    "blue": (70, 110, 160),
}
PLATES: dict[str, RGB] = {
    "white": (246, 246, 244),
    "gray": (178, 182, 186),
    "green": (150, 190, 160),
    "terracotta": (206, 130, 90),
}
Spots = list[tuple[float, float]]


def _spots(rng: np.random.Generator, count: int, radius: float) -> Spots:
    """Places in a disc, drawn anew for every picture."""
    found = rng.integers((1, 0), (9, len(CIRCLE)), size=(count, 2)).tolist()
    return [(radius * r / 8 * CIRCLE[k][0], radius * r / 8 * CIRCLE[k][1]) for r, k in found]


def _pizza(p: Pen, rng: np.random.Generator) -> None:
    p.disc(0, 0, 0.82, (204, 146, 74))
    p.disc(0, 0, 0.7, (246, 206, 96))
    for x, y in _spots(rng, 9, 0.55):
        p.disc(x, y, 0.13, (186, 40, 30))
    for x, y in (CIRCLE[0], CIRCLE[3], CIRCLE[7]):
        p.line([(-0.8 * x, -0.8 * y), (0.8 * x, 0.8 * y)], (170, 110, 50), 0.03)


def _salad(p: Pen, rng: np.random.Generator) -> None:
    for k, (x, y) in enumerate(_spots(rng, 26, 0.68)):
        tone: RGB = ((60, 130, 40), (110, 180, 60), (150, 204, 90))[k % 3]
        corolla(p, x, y, 1, -0.2, 0.25, 0.13, tone, start=0.13 * k)
    for x, y in _spots(rng, 5, 0.55):
        p.disc(x, y, 0.14, (220, 44, 40))


def _sushi(p: Pen, rng: np.random.Generator) -> None:
    for x in (-0.5, 0, 0.5):
        for y in (-0.3, 0.3):
            p.disc(x, y, 0.24, (24, 36, 30))
            p.disc(x, y, 0.18, (248, 246, 240))
            p.disc(x, y, 0.09, (250, 120, 80) if y < 0 else (90, 170, 70))


def _donut(p: Pen, rng: np.random.Generator) -> None:
    p.disc(0, 0, 0.72, (200, 140, 80))
    p.disc(0, 0, 0.64, (236, 120, 170))
    for x, y in _spots(rng, 22, 0.6):
        p.line([(x, y), (x + 0.07, y + 0.06)], (250, 250, 130), 0.05)
    p.disc(0, 0, 0.24, (130, 84, 46))
    p.disc(0, 0, 0.18, (220, 220, 220))


NEW = {"pizza": _pizza, "salad": _salad, "sushi": _sushi, "donut": _donut}
KNOWN = {"apple": "apple", "banana": "banana", "carrot": "carrot", "watermelon": "melon"}


def _served(image: Image.Image, scene: Scene, x: int, y: int, size: int, turn: float) -> None:
    """One or two pieces of what the pantry has."""
    count = 1 + int(scene["turn"]) % 2
    for k in range(count):
        side = (k - (count - 1) / 2) * 0.85 * size
        piece = Pen(image, x + side, y + 0.2 * side, size * (0.62, 0.38)[count - 1], turn=turn)
        food(piece, KNOWN[scene["class"]])


def _settle(scene: Scene) -> Scene | None:
    """Round food looks the same from all sides."""
    return {**scene, "turn": "0"} if scene["class"] in ("pizza", "salad", "donut") else scene


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    table, plate = TABLES[scene["table"]], PLATES[scene["plate"]]
    image = Image.new("RGB", (BIG, BIG), table)
    ground = Pen(image, 0, 0, 1)
    for y in range(4, BIG, 12):
        ground.line([(0, y), (BIG, y + int(rng.integers(-2, 3)))], shade(table, 0.88), 2)
    x, y, size = int(scene["x"]), int(scene["y"]), int(scene["scale"])
    p = Pen(image, x, y, size)
    p.disc(0.05, 0.07, 1.08, shade(table, 0.6))
    p.disc(0, 0, 1.08, plate)
    p.ring(0, 0, 0.92, shade(plate, 0.86), 0.05)
    fork = 4 if scene["fork"] == "left" else BIG - 4
    ground.line([(fork, y - 20), (fork, y + 24)], shade(table, 0.45), 7)
    ground.line([(fork, y - 20), (fork, y + 24)], (206, 210, 214), 3)
    if scene["class"] in KNOWN:
        _served(image, scene, x, y, size, (int(scene["turn"]) - 7.5) / 24)
    else:
        NEW[scene["class"]](Pen(image, x, y, size, turn=int(scene["turn"]) / 4), rng)
    return photographed(image, rng, float(scene["light"]))


DISHES8 = Domain(
    name="dishes",
    title="Dishes8",
    attributes={
        "class": (*KNOWN, *NEW),
        "table": tuple(TABLES),
        "plate": tuple(PLATES),
        "turn": tuple(str(k) for k in range(16)),
        "x": ("44", "48", "52"),
        "y": ("44", "48", "52"),
        "scale": ("28", "32", "36"),
        "light": ("0.8", "0.92", "1.04"),
        "fork": ("left", "right"),
    },
    paint=_paint,
    settle=_settle,
    templates=("a photo of a {}, a kind of food.",),
)
