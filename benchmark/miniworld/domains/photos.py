"""Photos: a subject in a place at some time of day, with something beside it."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, blend, photographed, ramp, shade
from ..sampling import Domain, Scene
from ..shapes import Shape, bench, bicycle, boat, chair, child, dog, duck, horse, sheep, tent, tree

SUBJECTS: dict[str, tuple[Shape, str, float]] = {
    "dog": (dog, "coat", 13),
    "horse": (horse, "coat", 20),
    "sheep": (sheep, "coat", 15),
    "duck": (duck, "coat", 11),
    "child": (child, "dye", 17),
    "bicycle": (bicycle, "dye", 17),
    "tent": (tent, "dye", 18),
    "bench": (bench, "dye", 15),
    "sailboat": (boat, "dye", 18),
    "chair": (chair, "dye", 15),
}
COATS: tuple[tuple[str, RGB], ...] = (
    ("brown", (122, 74, 38)),
    ("black", (34, 32, 36)),
    ("white", (246, 244, 240)),
    ("golden", (226, 170, 62)),
    ("gray", (138, 138, 142)),
)
DYES: tuple[tuple[str, RGB], ...] = (
    ("red", (206, 36, 36)),
    ("blue", (36, 76, 196)),
    ("yellow", (244, 210, 40)),
    ("green", (30, 120, 56)),
    ("pink", (240, 130, 170)),
)
# Far ground, near ground, and whether there is a roof above.
PLACES: dict[str, tuple[str, RGB, RGB, bool]] = {
    "beach": ("on a sandy beach", (196, 176, 130), (236, 216, 170), False),
    "meadow": ("in a grassy meadow", (120, 168, 70), (84, 140, 48), False),
    "snow": ("on fresh snow", (206, 216, 230), (240, 244, 250), False),
    "desert": ("on red desert soil", (190, 104, 60), (170, 84, 44), False),
    "lake": ("at a calm lake", (70, 130, 160), (40, 96, 134), False),
    "road": ("on a paved road", (120, 120, 124), (84, 84, 90), False),
    "room": ("in a living room", (150, 104, 66), (120, 78, 46), True),
    "tiles": ("on a tiled terrace", (190, 150, 130), (170, 120, 100), False),
}
# Sky at the top, sky at the horizon, strength of the light.
HOURS: dict[str, tuple[str, RGB, RGB, float]] = {
    "noon": ("on a clear day", (84, 150, 226), (190, 220, 244), 1.05),
    "dusk": ("at sunset", (120, 80, 130), (250, 160, 80), 0.95),
    "overcast": ("under gray clouds", (150, 156, 164), (196, 200, 204), 0.85),
    "night": ("at night", (14, 18, 44), (46, 54, 100), 0.66),
}
BESIDES: dict[str, str] = {
    "ball": "a beach ball",
    "bucket": "a tin bucket",
    "tree": "a leafy tree",
    "rock": "a big rock",
    "fence": "a wooden fence",
    "parasol": "a parasol",
    "flowers": "some flowers",
    "lamp": "a lit lamp",
}
BACKS: dict[str, str] = {"hills": "hills", "trees": "dark pines", "none": "open sky"}
ROOM_BACKS: dict[str, str] = {"hills": "a curtain", "trees": "a bookcase", "none": "a bare wall"}
RANGES: dict[str, str] = {"near": "up close", "far": "far away"}

TEMPLATES: tuple[str, ...] = (
    "a {who} {range} {place} {hour}, {beside} on the {side} and {back} behind.",
    "{beside} on the {side} of a {who} {place} {hour}, {back} in the background.",
    "{hour} {place} there is a {who} {range} with {beside} to its {side}.",
    "photo of a {who} seen {range} {place} {hour}, next to {beside} on the {side}.",
    "{back} behind a {who}, {range} {place} {hour}, and {beside} at the {side} edge.",
)


def _settle(scene: Scene) -> Scene | None:
    palette = COATS if SUBJECTS[scene["kind"]][1] == "coat" else DYES
    return {**scene, "colour": palette[int(scene["colour"])][0]}


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    child_first = scene["kind"] == "child"
    backs = ROOM_BACKS if PLACES[scene["place"]][3] else BACKS
    words = {
        "who": f"child in {scene['colour']}"
        if child_first
        else f"{scene['colour']} {scene['kind']}",
        "place": PLACES[scene["place"]][0],
        "hour": HOURS[scene["hour"]][0],
        "beside": BESIDES[scene["beside"]],
        "side": scene["side"],
        "range": RANGES[scene["range"]],
        "back": backs[scene["back"]],
    }
    turn = pick % len(TEMPLATES)
    order = TEMPLATES[turn:] + TEMPLATES[:turn]
    return tuple(template.format(**words) for template in order)


def backdrop(image: Image.Image, scene: Scene, horizon: int, sky: RGB) -> None:
    """What stands at the horizon of `scene["place"]`: `scene["back"]`, or nothing."""
    pen = Pen(image, 0, 0, 1)
    inside = PLACES[scene["place"]][3]
    if scene["back"] == "hills" and inside:
        for x in range(0, BIG, 12):
            pen.rect(x, 0, x + 6, horizon, (168, 60, 70))
            pen.rect(x + 6, 0, x + 12, horizon, (138, 40, 54))
    elif scene["back"] == "hills":
        tone = blend((92, 104, 130), sky, 0.25)
        pen.poly([(0, horizon), (0, horizon - 16), (22, horizon - 30), (46, horizon)], tone)
        pen.poly([(30, horizon), (68, horizon - 26), (96, horizon - 8), (96, horizon)], tone)
    elif scene["back"] == "trees" and inside:
        for x in range(2, BIG, 8):
            pen.rect(x, 4, x + 6, horizon - 4, ((60, 40, 30), (40, 70, 96))[x // 8 % 2])
        pen.rect(0, horizon // 2, BIG, horizon // 2 + 3, (90, 60, 36))
    elif scene["back"] == "trees":
        for x in range(-4, BIG, 12):
            pen.poly([(x, horizon), (x + 9, horizon - 26), (x + 18, horizon)], (24, 56, 40))


def beside(image: Image.Image, kind: str, x: float, y: float) -> None:
    """One of BESIDES, standing on (x, y) in canvas pixels."""
    p = Pen(image, x, y - 12, 12)
    if kind == "ball":
        p.disc(0, 0.4, 0.6, (240, 240, 240))
        p.poly([(0, -0.2), (0.5, 0.1), (0.1, 0.4)], (220, 40, 40))
        p.poly([(0, 1), (-0.55, 0.6), (-0.1, 0.4)], (40, 80, 210))
    elif kind == "bucket":
        p.poly([(-0.6, -0.1), (0.6, -0.1), (0.4, 1), (-0.4, 1)], (160, 170, 180))
        p.ring(0, -0.1, 0.55, (90, 96, 104), 0.1)
        p.oval(-0.6, -0.25, 0.6, 0.05, (80, 86, 94))
    elif kind == "tree":
        tree(Pen(image, x, y - 24, 24), (40, 104, 40))
    elif kind == "rock":
        p.poly([(-1, 1), (-0.8, 0.2), (-0.1, -0.4), (0.7, 0), (1, 1)], (112, 108, 104))
        p.poly([(-0.1, -0.4), (0.7, 0), (0.1, 0.3)], (150, 146, 140))
    elif kind == "fence":
        for sx in (-1, -0.4, 0.2, 0.8):
            p.rect(sx, -0.5, sx + 0.25, 1, (176, 130, 84))
        p.rect(-1.2, -0.1, 1.2, 0.15, (150, 106, 66))
        p.rect(-1.2, 0.5, 1.2, 0.7, (150, 106, 66))
    elif kind == "parasol":
        p.rect(-0.06, -1.4, 0.06, 1, (230, 230, 220))
        p.poly([(-1.2, -1), (-0.6, -1.7), (0, -1.9), (0, -1)], (230, 60, 50))
        p.poly([(1.2, -1), (0.6, -1.7), (0, -1.9), (0, -1)], (250, 240, 230))
    elif kind == "flowers":
        for sx, sy, c in ((-0.6, 0, (250, 90, 160)), (0, -0.4, (250, 220, 60)),
                          (0.6, 0.1, (200, 90, 230))):  # fmt: skip
            p.line([(sx, sy), (sx * 0.6, 1)], (40, 130, 50), 0.12)
            p.disc(sx, sy, 0.28, c)
    else:
        p.rect(-0.08, -1.6, 0.08, 1, (50, 50, 54))
        p.disc(0, -1.6, 0.7, (255, 226, 130))
        p.disc(0, -1.6, 0.4, (255, 250, 220))


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    _, far, near, inside = PLACES[scene["place"]]
    _, top, low, light = HOURS[scene["hour"]]
    horizon = 42 + int(rng.integers(-3, 4))
    wall: RGB = (222, 206, 176)
    image = ramp(wall, shade(wall, 0.9)) if inside else ramp(top, low)
    image.paste(ramp(far, near, BIG - horizon), (0, horizon))
    pen = Pen(image, 0, 0, 1)
    backdrop(image, scene, horizon, low)
    if inside:
        pen.rect(34, 4, 62, 30, (250, 250, 244))
        image.paste(ramp(top, low, 22).crop((0, 0, 24, 22)), (36, 6))
    if scene["place"] in ("road", "tiles"):
        for x in range(-60, 160, 24):
            pen.line([(48 + (x - 48) * 0.3, horizon), (x, BIG)], shade(near, 1.35), 1)
    shape, _, size = SUBJECTS[scene["kind"]]
    rgb = dict(COATS + DYES)[scene["colour"]]
    sign = -1 if scene["side"] == "left" else 1
    scale, base = (size * 1.25, 88) if scene["range"] == "near" else (size * 0.85, 68)
    x = 48 - sign * 14 + int(rng.integers(-3, 4))
    base += int(rng.integers(-2, 3))
    pen.oval(x - scale, base - 3, x + scale * 1.2, base + 3, shade(near, 0.7))
    beside(image, scene["beside"], 48 + sign * 31, base + int(rng.integers(-1, 4)))
    shape(Pen(image, x, base - scale, scale, flip=bool(rng.integers(2))), rgb)
    return photographed(image, rng, light if not inside else (light + 1) / 2)


PHOTOS = Domain(
    name="photos",
    title="Photos",
    attributes={
        "kind": tuple(SUBJECTS),
        "colour": ("0", "1", "2", "3", "4"),
        "place": tuple(PLACES),
        "hour": tuple(HOURS),
        "beside": tuple(BESIDES),
        "side": ("left", "right"),
        "range": tuple(RANGES),
        "back": tuple(BACKS),
    },
    settle=_settle,
    captions=_captions,
    paint=_paint,
)
