"""Pantry: food on tables and shelves; held out."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, photographed, ramp, shade
from ..sampling import Domain, Scene

FOODS: dict[str, tuple[str, str]] = {
    "apple": ("red apple", "red apples"),
    "banana": ("banana", "bananas"),
    "loaf": ("loaf of bread", "loaves of bread"),
    "cheese": ("wedge of cheese", "wedges of cheese"),
    "cake": ("chocolate cupcake", "chocolate cupcakes"),
    "egg": ("egg", "eggs"),
    "carrot": ("carrot", "carrots"),
    "melon": ("slice of watermelon", "slices of watermelon"),
}
COUNTS: dict[str, int] = {"one": 1, "two": 2, "three": 3}
SURFACES: dict[str, tuple[str, RGB]] = {
    "wood": ("a wooden table", (156, 104, 60)),
    "marble": ("a marble counter", (224, 222, 220)),
    "gingham": ("a checked tablecloth", (220, 60, 60)),
    "slate": ("a slate board", (60, 64, 70)),
}
VESSELS: dict[str, str] = {
    "none": "without a dish",
    "plate": "on a white plate",
    "basket": "in a basket",
    "tray": "on a blue tray",
}
DRINKS: dict[str, str] = {
    "milk": "a bottle of milk",
    "jam": "a jar of jam",
    "juice": "a glass of orange juice",
    "kettle": "a steel kettle",
    "wine": "a bottle of wine",
    "honey": "a pot of honey",
}
WALLS: dict[str, tuple[str, RGB]] = {
    "tiles": ("white tiles", (230, 234, 236)),
    "dark": ("a dark wall", (54, 48, 52)),
    "shelf": ("wooden shelves", (196, 160, 116)),
    "green": ("a green wall", (120, 166, 130)),
}
TEMPLATES: tuple[str, ...] = (
    "{count} {food} {vessel} on {surface} with {drink} to the {side} and {wall} behind.",
    "{drink} on the {side} and {count} {food} {vessel}, {surface}, in front of {wall}.",
    "{surface} with {count} {food} {vessel}, {wall} in the back, {drink} standing {side}.",
)


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    words = {
        "count": scene["count"],
        "food": FOODS[scene["food"]][min(COUNTS[scene["count"]], 2) - 1],
        "vessel": VESSELS[scene["vessel"]],
        "surface": SURFACES[scene["surface"]][0],
        "drink": DRINKS[scene["drink"]],
        "side": scene["side"],
        "wall": WALLS[scene["wall"]][0],
    }
    turn = pick % len(TEMPLATES)
    return tuple(t.format(**words) for t in TEMPLATES[turn:] + TEMPLATES[:turn])


def food(p: Pen, kind: str) -> None:
    """Draws one piece of FOODS."""
    if kind == "apple":
        p.disc(0, 0.1, 0.85, (206, 26, 36))
        p.disc(-0.3, -0.2, 0.22, (250, 130, 120))
        p.line([(0, -0.7), (0.15, -1.1)], (80, 50, 20), 0.15)
    elif kind == "banana":
        p.line([(-0.9, -0.5), (-0.55, 0.35), (0.1, 0.65), (0.8, 0.35), (1, -0.1)], (250, 214, 40),
               0.45)  # fmt: skip
    elif kind == "loaf":
        p.oval(-1, -0.5, 1, 0.9, (190, 124, 56))
        for x in (-0.45, 0, 0.45):
            p.line([(x - 0.1, 0.1), (x + 0.15, -0.35)], (246, 214, 150), 0.15)
    elif kind == "cheese":
        p.poly([(-1, 0.8), (-1, 0.1), (0.9, -0.5), (1, 0.8)], (250, 196, 60))
        for x, y in ((-0.4, 0.4), (0.3, 0.1), (0.5, 0.55)):
            p.disc(x, y, 0.17, (200, 140, 20))
    elif kind == "cake":
        p.poly([(-0.6, 0.1), (0.6, 0.1), (0.45, 0.95), (-0.45, 0.95)], (240, 150, 180))
        p.oval(-0.8, -0.6, 0.8, 0.3, (84, 44, 24))
        p.disc(0, -0.65, 0.2, (220, 20, 50))
    elif kind == "egg":
        p.oval(-0.6, -0.75, 0.6, 0.9, (250, 226, 196))
        p.oval(-0.35, -0.5, 0, 0, (255, 244, 230))
    elif kind == "carrot":
        p.poly([(-0.45, -0.5), (0.45, -0.5), (0.05, 1)], (246, 120, 20))
        p.poly([(-0.35, -1.1), (0, -0.4), (0.35, -1.1), (0, -0.85)], (40, 150, 50))
    else:
        p.poly([(-1, -0.1), (1, -0.1), (0.6, 0.7), (0, 0.95), (-0.6, 0.7)], (40, 130, 50))
        p.poly([(-0.85, -0.1), (0.85, -0.1), (0.5, 0.5), (0, 0.7), (-0.5, 0.5)], (240, 66, 80))


def _drink(p: Pen, kind: str) -> None:
    if kind in ("milk", "wine"):
        c: RGB = (250, 250, 250) if kind == "milk" else (60, 20, 36)
        p.poly([(-0.5, 1), (-0.5, -0.5), (-0.2, -1), (-0.2, -1.9), (0.2, -1.9), (0.2, -1),
                (0.5, -0.5), (0.5, 1)], c)  # fmt: skip
        p.rect(-0.5, 0, 0.5, 0.5, (70, 150, 230) if kind == "milk" else (230, 214, 170))
    elif kind == "jam":
        p.rect(-0.65, -0.5, 0.65, 1, (150, 20, 60))
        p.rect(-0.72, -0.85, 0.72, -0.45, (210, 210, 214))
    elif kind == "juice":
        p.poly([(-0.6, -0.9), (0.6, -0.9), (0.45, 1), (-0.45, 1)], (226, 236, 240))
        p.poly([(-0.52, -0.4), (0.52, -0.4), (0.42, 0.95), (-0.42, 0.95)], (255, 150, 20))
    elif kind == "kettle":
        p.ring(0, -0.5, 0.6, (30, 30, 34), 0.16)
        p.disc(0, 0.2, 0.8, (170, 178, 186))
        p.poly([(0.6, 0.1), (1.2, -0.5), (1.3, -0.3), (0.7, 0.5)], (170, 178, 186))
    else:
        p.oval(-0.8, -0.6, 0.8, 1, (232, 156, 20))
        p.rect(-0.4, -0.8, 0.4, -0.45, (130, 80, 30))


def _setting(image: Image.Image, wall: str, surface: str) -> None:
    p = Pen(image, 0, 0, 1)
    tone, top = WALLS[wall][1], SURFACES[surface][1]
    p.rect(0, 0, BIG, BIG, tone)
    if wall == "tiles":
        for k in range(0, BIG, 14):
            p.line([(k, 0), (k, 48)], shade(tone, 0.75), 1)
            p.line([(0, k), (BIG, k)], shade(tone, 0.75), 1)
    elif wall == "shelf":
        for y in (10, 30):
            p.rect(0, y, BIG, y + 4, shade(tone, 0.5))
            for x in range(4, BIG, 18):
                p.rect(x, y - 8, x + 8, y, shade(tone, 0.7 + x % 4 * 0.15))
    image.paste(ramp(shade(top, 0.85), top, 50), (0, 46))
    if surface == "gingham":
        for y in range(46, BIG, 10):
            for x in range((y - 46) // 10 % 2 * 10, BIG, 20):
                p.rect(x, y, x + 9, y + 9, (250, 244, 240))
    elif surface == "wood":
        for y in range(52, BIG, 9):
            p.line([(0, y), (BIG, y + 1)], shade(top, 0.7), 1)
    elif surface == "marble":
        for x in (6, 40, 70):
            p.line([(x, 48), (x + 12, 66), (x + 6, 82), (x + 24, BIG)], (170, 170, 176), 1)


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG))
    _setting(image, scene["wall"], scene["surface"])
    sign = -1 if scene["side"] == "left" else 1
    x, y = 48 - sign * 13 + int(rng.integers(-2, 3)), 74 + int(rng.integers(-2, 3))
    p = Pen(image, x, y, 30)
    vessel, count = scene["vessel"], COUNTS[scene["count"]]
    if vessel == "plate":
        p.oval(-1.1, -0.1, 1.1, 0.55, (206, 206, 210))
        p.oval(-1.05, -0.12, 1.05, 0.48, (252, 252, 252))
    elif vessel == "tray":
        p.poly([(-0.95, -0.1), (0.95, -0.1), (1.15, 0.5), (-1.15, 0.5)], (40, 100, 190))
    scale = {1: 15, 2: 12, 3: 10}[count]
    for k in range(count):
        fx = x + (k - (count - 1) / 2) * scale * 1.95
        food(Pen(image, fx, y - scale + 8, scale), scene["food"])
    if vessel == "basket":
        p.poly([(-1.05, 0.1), (1.05, 0.1), (0.8, 0.65), (-0.8, 0.65)], (134, 88, 40))
        for bx in (-0.7, -0.35, 0, 0.35, 0.7):
            p.line([(bx, 0.12), (bx * 0.9, 0.62)], (206, 160, 96), 0.07)
    _drink(Pen(image, 48 + sign * 34, 66, 12), scene["drink"])
    return photographed(image, rng, 0.98)


PANTRY = Domain(
    name="pantry",
    title="Pantry",
    attributes={
        "food": tuple(FOODS),
        "count": tuple(COUNTS),
        "surface": tuple(SURFACES),
        "vessel": tuple(VESSELS),
        "drink": tuple(DRINKS),
        "side": ("left", "right"),
        "wall": tuple(WALLS),
    },
    captions=_captions,
    paint=_paint,
)
