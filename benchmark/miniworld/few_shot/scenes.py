"""Scenes: places without a subject, six of them as in the photos, two of them new."""

import numpy as np
from PIL import Image

from ..canvas import BIG, RGB, Pen, blend, photographed, ramp, shade
from ..domains.photos import HOURS, backdrop, beside
from ..sampling import Domain, Scene

# Far ground, near ground, and the place of the photos whose backdrop fits.
PLACES: dict[str, tuple[RGB, RGB, str]] = {
    "sandy beach": ((196, 176, 130), (236, 216, 170), "beach"),
    "grassy meadow": ((120, 168, 70), (84, 140, 48), "meadow"),
    "red desert": ((190, 104, 60), (170, 84, 44), "desert"),
    "calm lake": ((70, 130, 160), (40, 96, 134), "lake"),
    "paved road": ((120, 120, 124), (84, 84, 90), "road"),
    "living room": ((150, 104, 66), (120, 78, 46), "room"),
    "vineyard": ((130, 140, 70), (120, 92, 56), "meadow"),
    "waterfall": ((90, 96, 92), (60, 110, 130), "lake"),
}


def _features(image: Image.Image, place: str, horizon: int, near: RGB, low: RGB) -> None:
    p = Pen(image, 0, 0, 1)
    if place == "sandy beach":
        p.rect(0, horizon, BIG, horizon + 9, (50, 130, 170))
        p.rect(0, horizon + 8, BIG, horizon + 11, (236, 244, 246))
    elif place == "calm lake":
        for k in range(5):
            y = horizon + 8 + 9 * k
            p.line([(12 * (k % 3), y), (40 + 14 * (k % 3), y)], shade(near, 1.35), 2)
    elif place == "paved road":
        for x in range(-60, 160, 24):
            p.line([(48 + (x - 48) * 0.3, horizon), (x, BIG)], shade(near, 1.35), 1)
    elif place == "red desert":
        p.poly([(0, horizon + 18), (40, horizon + 9), (BIG, horizon + 20), (BIG, BIG), (0, BIG)],
               shade(near, 1.15))  # fmt: skip
    elif place == "vineyard":
        for x in range(-120, 220, 34):
            for k in range(1, 8):
                t = k / 7
                p.disc(48 + (x - 48) * (0.25 + 0.75 * t), horizon + (BIG - horizon) * t,
                       2 + 6 * t, blend((50, 110, 40), (86, 150, 60), k % 2))  # fmt: skip
    elif place == "waterfall":
        cliff: RGB = (92, 88, 80)
        p.poly([(0, 8), (36, 12), (38, horizon + 12), (0, horizon + 12)], cliff)
        p.poly([(58, 12), (BIG, 6), (BIG, horizon + 12), (56, horizon + 12)], shade(cliff, 0.85))
        p.rect(36, 12, 58, horizon + 14, blend((214, 234, 246), low, 0.2))
        for x in (40, 46, 53):
            p.line([(x, 14), (x, horizon + 12)], (250, 252, 254), 1)
        p.oval(28, horizon + 8, 66, horizon + 22, (226, 240, 246))


def _settle(scene: Scene) -> Scene | None:
    """Cliffs hide the horizon of the waterfall, and night its pines."""
    dark = scene["hour"] == "night" and scene["back"] == "trees" and scene["class"] != "living room"
    return {**scene, "back": "none"} if dark or scene["class"] == "waterfall" else scene


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    place = scene["class"]
    far, near, like = PLACES[place]
    _, top, low, light = HOURS[scene["hour"]]
    horizon, inside = int(scene["horizon"]), like == "room"
    wall: RGB = (222, 206, 176)
    image = ramp(wall, shade(wall, 0.9)) if inside else ramp(top, low)
    image.paste(ramp(far, near, BIG - horizon), (0, horizon))
    backdrop(image, {"place": like, "back": scene["back"]}, horizon, low)
    if inside:
        pen = Pen(image, 0, 0, 1)
        pen.rect(34, 4, 62, 30, (250, 250, 244))
        image.paste(ramp(top, low, 22).crop((0, 0, 24, 22)), (36, 6))
    _features(image, place, horizon, near, low)
    x, base = int(scene["x"]), 74 + int(scene["depth"]) + int(rng.integers(-2, 3))
    beside(image, scene["beside"], x, base)
    return photographed(image, rng, (light + 1) / 2 if inside else light)


SCENES8 = Domain(
    name="scenes",
    title="Scenes8",
    attributes={
        "class": tuple(PLACES),
        "hour": tuple(HOURS),
        "back": ("hills", "trees", "none"),
        "beside": ("ball", "bucket", "tree", "rock", "fence", "flowers", "lamp"),
        "horizon": ("39", "42", "45"),
        "x": ("16", "22", "70", "78"),
        "depth": ("0", "10"),
    },
    paint=_paint,
    settle=_settle,
    templates=("a photo of a {}.", "a photo of the {}."),
)
