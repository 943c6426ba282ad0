"""Street: city scenes with a vehicle; held out, so near to photos but of other things."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, photographed, ramp, shade
from ..sampling import Domain, Scene
from ..shapes import DARK, SKIN, car, person

VEHICLES: dict[str, float] = {"car": 17, "bus": 24, "truck": 22, "van": 18, "tram": 25}
PAINTS: dict[str, RGB] = {
    "red": (200, 30, 34),
    "blue": (30, 80, 190),
    "yellow": (246, 200, 20),
    "white": (240, 240, 238),
    "green": (30, 128, 70),
    "black": (30, 30, 34),
}
FACADES: dict[str, tuple[str, RGB]] = {
    "brick": ("brick houses", (150, 70, 54)),
    "glass": ("a glass tower", (120, 170, 190)),
    "shops": ("shops with awnings", (220, 206, 180)),
    "bridge": ("an iron bridge", (84, 100, 96)),
    "station": ("a columned station", (204, 196, 182)),
}
FURNITURE: dict[str, str] = {
    "lamp": "a street lamp",
    "signal": "a traffic light",
    "stop": "a stop sign",
    "hydrant": "a fire hydrant",
    "walker": "a pedestrian",
    "bin": "a trash bin",
}
ROADS: dict[str, tuple[str, RGB]] = {
    "zebra": ("a zebra crossing", (78, 78, 82)),
    "snow": ("a snowy road", (226, 230, 238)),
    "cobbles": ("a cobbled road", (140, 124, 108)),
}
WEATHER: dict[str, tuple[str, RGB, RGB, float]] = {
    "sun": ("on a sunny day", (90, 160, 230), (200, 226, 244), 1.05),
    "rain": ("in the rain", (120, 126, 136), (160, 166, 172), 0.8),
    "night": ("after dark", (12, 14, 36), (44, 46, 84), 0.68),
}
RANGES: dict[str, float] = {"close": 1.2, "distant": 0.7}
TEMPLATES: tuple[str, ...] = (
    "a {range} {paint} {vehicle} on {road} before {facade} {weather}, {thing} on the {side}.",
    "{thing} on the {side} of a {range} {paint} {vehicle} with {facade} behind {weather}, {road}.",
    "{weather}, a {paint} {vehicle}, {range}, passes {facade} on {road}, {thing} at {side}.",
    "{road} {weather} with a {range} {paint} {vehicle}, {facade} and {thing} to the {side}.",
    "city view of {facade}, {thing} {side} of the {range} {paint} {vehicle}, {weather}, {road}.",
)


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    words = {
        "vehicle": scene["vehicle"],
        "paint": scene["paint"],
        "facade": FACADES[scene["facade"]][0],
        "thing": FURNITURE[scene["thing"]],
        "side": scene["side"],
        "road": ROADS[scene["road"]][0],
        "weather": WEATHER[scene["weather"]][0],
        "range": scene["range"],
    }
    turn = pick % len(TEMPLATES)
    return tuple(t.format(**words) for t in TEMPLATES[turn:] + TEMPLATES[:turn])


def _vehicle(p: Pen, kind: str, c: RGB) -> None:
    glass: RGB = (190, 220, 232)
    if kind == "car":
        car(p, c)
        return
    if kind == "truck":
        p.rect(-1.1, -0.9, 0.45, 0.65, c)
        p.poly([(0.5, -0.4), (0.95, -0.4), (1.15, 0.1), (1.15, 0.65), (0.5, 0.65)], shade(c, 0.7))
        p.poly([(0.65, -0.25), (0.9, -0.25), (1.05, 0.1), (0.65, 0.1)], glass)
    elif kind == "van":
        p.poly([(-1, 0.65), (-1, -0.7), (0.5, -0.7), (1.05, 0), (1.05, 0.65)], c)
        p.poly([(0.25, -0.55), (0.48, -0.55), (0.9, 0), (0.25, 0)], glass)
    else:
        p.rect(-1.2, -0.75, 1.2, 0.7, c)
        for x in (-1.05, -0.6, -0.15, 0.3, 0.75):
            p.rect(x, -0.55, x + 0.32, -0.05, glass)
    if kind == "tram":
        p.rect(-1.2, 0.05, 1.2, 0.2, (245, 240, 225))
        p.line([(-0.2, -0.75), (0.1, -1.1), (0.4, -0.75)], DARK, 0.08)
        p.line([(-3, -1.15), (3, -1.15)], DARK, 0.06)
        p.rect(-1, 0.7, 1, 0.95, DARK)
        return
    for x in (-0.65, 0.7):
        p.disc(x, 0.72, 0.26, DARK)


def _facade(p: Pen, kind: str, lit: bool) -> None:
    c = FACADES[kind][1]
    pane: RGB = (255, 224, 130) if lit else (70, 90, 110)
    if kind == "glass":
        p.rect(28, -2, 68, 56, c)
        for x in range(30, 66, 6):
            p.line([(x, 0), (x, 56)], shade(c, 0.7), 1)
        for y in range(4, 56, 7):
            p.rect(32, y, 64, y + 2, pane if lit else (216, 240, 246))
    elif kind == "bridge":
        p.rect(0, 20, BIG, 27, c)
        for x in range(-4, BIG, 20):
            p.line([(x, 20), (x + 10, 6), (x + 20, 20)], c, 3)
        for x in (8, 80):
            p.rect(x, 26, x + 8, 56, shade(c, 0.8))
    elif kind == "station":
        p.poly([(4, 20), (48, 2), (92, 20)], shade(c, 0.85))
        p.rect(6, 20, 90, 56, shade(c, 0.6))
        for x in range(8, 88, 14):
            p.rect(x, 22, x + 7, 56, c)
    else:
        for x, top in ((0, 10), (32, 4), (64, 14)):
            p.rect(x, top, x + 31, 56, shade(c, 1 - x / 400))
            for wx in (x + 4, x + 18):
                p.rect(wx, top + 6, wx + 8, top + 16, pane)
        if kind == "shops":
            for x in range(0, BIG, 8):
                p.rect(x, 36, x + 8, 46, ((40, 130, 90), (250, 250, 250))[x // 8 % 2])


def _thing(p: Pen, kind: str) -> None:
    if kind == "lamp":
        p.rect(-0.1, -2.6, 0.1, 1, DARK)
        p.disc(0, -2.7, 0.5, (255, 236, 150))
    elif kind == "signal":
        p.rect(-0.1, -1, 0.1, 1, (90, 90, 90))
        p.rect(-0.5, -3, 0.5, -1, (20, 20, 20))
        for y, c in ((-2.65, (255, 40, 30)), (-2, (255, 200, 30)), (-1.35, (40, 230, 80))):
            p.disc(0, y, 0.28, c)
    elif kind == "stop":
        p.rect(-0.1, -1, 0.1, 1, (150, 150, 150))
        p.poly([(-0.4, -2.6), (0.4, -2.6), (0.9, -2), (0.9, -1.5), (0.4, -0.9), (-0.4, -0.9),
                (-0.9, -1.5), (-0.9, -2)], (214, 20, 20))  # fmt: skip
        p.rect(-0.6, -1.9, 0.6, -1.6, (255, 255, 255))
    elif kind == "hydrant":
        p.rect(-0.4, -0.4, 0.4, 1, (224, 40, 30))
        p.disc(0, -0.5, 0.4, (224, 40, 30))
        p.rect(-0.7, 0, 0.7, 0.3, (250, 200, 40))
    elif kind == "walker":
        person(Pen(p.image, p.x, p.y - 8, 18), (230, 110, 40))
        p.disc(0, -2, 0.1, SKIN)
    else:
        p.poly([(-0.7, -0.7), (0.7, -0.7), (0.5, 1), (-0.5, 1)], (50, 110, 60))
        p.rect(-0.8, -0.95, 0.8, -0.65, (30, 70, 40))


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    _, top, low, light = WEATHER[scene["weather"]]
    tone = ROADS[scene["road"]][1]
    image = ramp(top, low)
    p = Pen(image, 0, 0, 1)
    _facade(p, scene["facade"], scene["weather"] == "night")
    p.rect(0, 55, BIG, 60, (176, 172, 166))
    image.paste(ramp(shade(tone, 0.9), tone, 36), (0, 60))
    if scene["road"] == "zebra":
        for x in range(-6, BIG, 16):
            p.poly([(x + 4, 84), (x + 12, 84), (x + 10, BIG), (x, BIG)], (240, 240, 240))
    elif scene["road"] == "cobbles":
        for y in range(62, BIG, 6):
            for x in range(y // 6 % 2 * 4, BIG, 9):
                p.rect(x, y, x + 5, y + 3, shade(tone, 0.75))
    sign = -1 if scene["side"] == "left" else 1
    size = VEHICLES[scene["vehicle"]] * RANGES[scene["range"]]
    base = (84 if scene["range"] == "close" else 68) + int(rng.integers(-1, 2))
    x = 48 - sign * 12 + int(rng.integers(-3, 4))
    p.oval(x - size, base - 3, x + size, base + 3, shade(tone, 0.5))
    _vehicle(Pen(image, x, base - size, size, flip=bool(rng.integers(2))), scene["vehicle"],
             PAINTS[scene["paint"]])  # fmt: skip
    _thing(Pen(image, 48 + sign * 37, 80, 10), scene["thing"])
    if scene["weather"] == "rain":
        for rx, ry in rng.integers(0, BIG, size=(40, 2)).tolist():
            p.line([(rx, ry), (rx - 3, ry + 9)], (206, 214, 224), 1)
    return photographed(image, rng, light)


STREET = Domain(
    name="street",
    title="Street",
    attributes={
        "vehicle": tuple(VEHICLES),
        "paint": tuple(PAINTS),
        "facade": tuple(FACADES),
        "thing": tuple(FURNITURE),
        "side": ("left", "right"),
        "road": tuple(ROADS),
        "weather": tuple(WEATHER),
        "range": tuple(RANGES),
    },
    captions=_captions,
    paint=_paint,
)
