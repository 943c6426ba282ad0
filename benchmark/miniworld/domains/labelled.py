"""Objects10 and Land8: held-out classification sets; their scenes are nuisance parameters."""

import numpy as np
from PIL import Image

from ..canvas import BIG, COLS, RGB, ROWS, Pen, finished, grain, photographed, ramp, reduced, shade
from ..sampling import Domain, Scene
from ..shapes import DARK, Shape, bicycle, boat, car, chair, dog, duck, horse, house, mug, tree

OBJECTS: dict[str, Shape] = {
    "dog": dog,
    "horse": horse,
    "duck": duck,
    "bicycle": bicycle,
    "boat": boat,
    "chair": chair,
    "tree": tree,
    "car": car,
    "mug": mug,
    "house": house,
}
TINTS: dict[str, RGB] = {
    "red": (200, 40, 40),
    "blue": (40, 80, 200),
    "yellow": (240, 206, 40),
    "green": (40, 130, 60),
    "brown": (120, 76, 40),
    "white": (244, 242, 238),
    "purple": (130, 60, 160),
}
GROUNDS: dict[str, tuple[RGB, RGB]] = {
    "grass": ((120, 180, 230), (90, 150, 60)),
    "sand": ((160, 200, 236), (226, 204, 156)),
    "studio": ((150, 150, 156), (120, 120, 126)),
    "floor": ((216, 200, 170), (140, 96, 60)),
    "water": ((200, 214, 226), (60, 120, 160)),
    "night": ((20, 24, 50), (50, 54, 70)),
}
PLACES = ("34", "41", "48", "55", "62")
HEIGHTS = ("76", "80", "84", "88")
SCALES = ("17", "21", "25")
LIGHTS = ("0.75", "0.9", "1.05")


def _object(scene: Scene, rng: np.random.Generator) -> Image.Image:
    back, ground = GROUNDS[scene["ground"]]
    image = ramp(back, shade(back, 1.15))
    image.paste(ramp(shade(ground, 0.85), ground, 44), (0, 52))
    x, base, size = int(scene["x"]), int(scene["y"]), int(scene["scale"])
    Pen(image, x, base, size).oval(-1, -0.15, 1.1, 0.15, shade(ground, 0.6))
    pen = Pen(image, x, base - size, size, flip=scene["flip"] == "1")
    OBJECTS[scene["class"]](pen, TINTS[scene["tint"]])
    return photographed(image, rng, float(scene["light"]))


LAND = (
    "forest",
    "a river",
    "a highway",
    "a harbor",
    "farmland",
    "residential blocks",
    "a beach",
    "an airport runway",
)


def _tract(p: Pen, kind: str, s: float, rng: np.random.Generator) -> None:
    """Draws the class on a field of [-70, 70] around the centre; `s` scales its parts."""
    if kind == "forest":
        p.rect(-70, -70, 70, 70, (30, 66, 34))
        for x, y, k in rng.integers((-60, -60, 0), (60, 60, 4), size=(80, 3)).tolist():
            p.poly([(x, y - 5 * s), (x + 5 * s, y), (x, y + 5 * s), (x - 5 * s, y)],
                   (24 + 10 * k, 70 + 14 * k, 36))  # fmt: skip
    elif kind == "a river":
        p.rect(-70, -70, 70, 70, (112, 140, 76))
        bend = 8 * s
        p.line([(-70, -10), (-30, bend), (0, -bend), (30, bend), (70, 0)], (46, 92, 140), 17 * s)
        for x, y in ((-30, bend), (0, -bend), (30, bend)):
            p.disc(x, y, 8.5 * s, (46, 92, 140))
    elif kind == "a highway":
        p.rect(-70, -70, 70, 70, (150, 146, 112))
        p.rect(-70, -9 * s, 70, 9 * s, (92, 92, 96))
        p.rect(-70, -1, 70, 1, (240, 220, 90))
        for x in rng.integers(-60, 60, size=9).tolist():
            y = 5 * s if x % 2 else -5 * s
            p.rect(x, y - 2, x + 7, y + 2, ((220, 40, 40), (245, 245, 245), (30, 50, 120))[x % 3])
    elif kind == "a harbor":
        p.rect(-70, -70, 70, 70, (34, 76, 116))
        p.rect(-70, -70, -20, 70, (150, 148, 146))
        for y in range(-56, 60, 22):
            p.rect(-22, y, 34, y + 5, (176, 168, 156))
            for x in (-10, 8, 26):
                p.poly([(x, y + 7), (x + 5, y + 7), (x + 5, y + 15 * s), (x, y + 15 * s)],
                       (246, 246, 246))  # fmt: skip
    else:
        _built(p, kind, s, rng)


def _built(p: Pen, kind: str, s: float, rng: np.random.Generator) -> None:
    if kind == "farmland":
        tones: tuple[RGB, ...] = ((190, 170, 80), (110, 150, 60), (150, 110, 66), (210, 196, 120))
        step = round(26 * s)
        for x in range(-72, 72, step):
            for y in range(-72, 72, step):
                tone = tones[int(rng.integers(4))]
                p.rect(x, y, x + step - 2, y + step - 2, tone)
                for k in range(4, step, 6):
                    p.line([(x, y + k), (x + step - 2, y + k)], shade(tone, 0.8), 1)
    elif kind == "residential blocks":
        p.rect(-70, -70, 70, 70, (120, 132, 100))
        step = round(17 * s)
        for x in range(-70, 70, step):
            p.rect(x, -70, x + 3, 70, (112, 112, 116))
            for y in range(-70, 70, step):
                roof = ((190, 90, 66), (150, 130, 120), (110, 70, 60))[int(rng.integers(3))]
                p.rect(x + 5, y + 3, x + step - 2, y + step - 5, roof)
        for y in range(-70, 70, 2 * step):
            p.rect(-70, y - 2, 70, y + 2, (112, 112, 116))
    elif kind == "a beach":
        p.rect(-70, -70, 70, 70, (40, 130, 170))
        p.poly(
            [(-70, -4), (-20, 2 * s), (20, -3 * s), (70, 4), (70, 70), (-70, 70)], (240, 246, 246)
        )
        p.poly(
            [(-70, 4), (-20, 9 * s), (20, 5 * s), (70, 11), (70, 70), (-70, 70)], (228, 206, 156)
        )
    else:
        p.rect(-70, -70, 70, 70, (126, 140, 90))
        p.rect(-70, -12 * s, 70, 12 * s, (70, 70, 76))
        for x in range(-66, 66, 14):
            p.rect(x, -1.5, x + 7, 1.5, (250, 250, 250))
        for y in (-9, -5, 5, 9):
            p.rect(-38, y * s - 1, -26, y * s + 1, (250, 250, 250))
        p.rect(-70, 22 * s, 70, 30 * s, (150, 150, 152))
        p.rect(10, 12 * s, 18, 30 * s, (150, 150, 152))


def _land(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG), DARK)
    x, y = 48 + int(scene["x"]), 48 + int(scene["y"])
    pen = Pen(image, x, y, 1, turn=int(scene["turn"]) / 4)
    _tract(pen, scene["class"], float(scene["scale"]), rng)
    haze = np.float32(scene["haze"])
    pixels = reduced(image, 0.4) * (1 - haze) + np.asarray((190, 200, 214), np.float32) * haze
    slope = 1 + int(scene["sun"]) * (COLS + ROWS - 48) / np.float32(400)
    return finished(pixels * slope[..., None] + grain(rng, 8))


OBJECTS10 = Domain(
    name="objects",
    title="Objects10",
    attributes={
        "class": tuple(OBJECTS),
        "tint": tuple(TINTS),
        "ground": tuple(GROUNDS),
        "x": PLACES,
        "y": HEIGHTS,
        "scale": SCALES,
        "light": LIGHTS,
        "flip": ("0", "1"),
    },
    paint=_object,
    templates=("a photo of a {}.", "a blurry photo of one {}.", "there is a {} in the picture."),
)
LAND8 = Domain(
    name="land",
    title="Land8",
    attributes={
        "class": LAND,
        "turn": tuple(str(k) for k in range(16)),
        "x": ("-8", "-4", "0", "4", "8"),
        "y": ("-8", "-4", "0", "4", "8"),
        "scale": ("0.8", "0.95", "1.1", "1.3"),
        "haze": ("0.0", "0.15", "0.3"),
        "sun": ("-1", "0", "1"),
    },
    paint=_land,
    templates=("a satellite photo of {}.", "an aerial view of {}.", "{} seen from above."),
)
