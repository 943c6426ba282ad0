"""GenArt: saturated fantasy views, captioned like prompts with comma separated tags."""

import numpy as np
from PIL import Image

from ..canvas import BIG, COLS, RGB, ROWS, Pen, Pixels, blend, finished, glow, ramp, reduced, shade
from ..sampling import Domain, Scene

SUBJECTS: dict[str, str] = {
    "tower": "crystal tower",
    "island": "floating island",
    "mushroom": "giant mushroom",
    "portal": "stone portal",
    "pyramid": "obsidian pyramid",
    "arch": "coral arch",
    "orb": "energy orb",
    "spires": "cathedral spires",
}
HUES: dict[str, RGB] = {
    "teal": (20, 220, 200),
    "magenta": (240, 30, 190),
    "amber": (255, 170, 20),
    "violet": (130, 50, 250),
    "emerald": (30, 220, 80),
    "ruby": (250, 36, 50),
}
HEAVENS: dict[str, str] = {
    "twins": "twin moons",
    "planet": "ringed planet",
    "crescent": "crescent moon",
    "eclipse": "solar eclipse",
    "comet": "streaking comet",
    "stars": "swarm of stars",
}
GROUNDS: dict[str, str] = {
    "mirror": "mirror water",
    "lava": "lava cracks",
    "clouds": "sea of clouds",
    "grid": "neon grid",
    "shards": "crystal shards",
    "dunes": "silent dunes",
}
EFFECTS: dict[str, str] = {
    "beams": "god rays",
    "motes": "drifting embers",
    "fog": "low fog",
    "aurora": "aurora ribbons",
}
FRAMINGS: dict[str, tuple[str, float]] = {
    "left": ("subject at left", 26),
    "centre": ("centered composition", 48),
    "right": ("subject at right", 70),
}
TEMPLATES: tuple[str, ...] = (
    "{subject} under {heaven}, {glow} glow, {sky} sky, {ground}, {effect}, {framing}",
    "{sky} sky with {heaven}, {subject} with {glow} glow above {ground}, {framing}, {effect}",
    "{subject}, {glow} glow, {framing}, {ground} below, {heaven} on {sky} sky, {effect}, 8k render",
)


def _settle(scene: Scene) -> Scene | None:
    return scene if scene["glow"] != scene["sky"] else None


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    words = {
        "subject": SUBJECTS[scene["subject"]],
        "heaven": HEAVENS[scene["heaven"]],
        "ground": GROUNDS[scene["ground"]],
        "effect": EFFECTS[scene["effect"]],
        "framing": FRAMINGS[scene["framing"]][0],
        "glow": scene["glow"],
        "sky": scene["sky"],
    }
    return (TEMPLATES[pick % len(TEMPLATES)].format(**words),)


def _subject(p: Pen, kind: str, c: RGB) -> None:
    light, dark = blend(c, (255, 255, 255), 0.55), shade(c, 0.45)
    if kind == "tower":
        p.poly([(-0.35, 1), (-0.25, -0.6), (0, -1.3), (0.25, -0.6), (0.35, 1)], c)
        p.poly([(0, -1.3), (0.25, -0.6), (0.35, 1), (0.05, 1)], light)
    elif kind == "island":
        p.poly([(-1, -0.1), (1, -0.1), (0.3, 0.6), (0, 0.95), (-0.4, 0.5)], dark)
        p.oval(-1, -0.35, 1, 0.1, c)
        p.poly([(-0.2, -0.2), (0, -0.8), (0.25, -0.2)], light)
    elif kind == "mushroom":
        p.poly([(-0.2, -0.3), (0.2, -0.3), (0.3, 1), (-0.3, 1)], light)
        p.poly([(-1, -0.1), (-0.7, -0.8), (0, -1.1), (0.7, -0.8), (1, -0.1)], c)
        for x, y in ((-0.5, -0.5), (0.05, -0.75), (0.5, -0.4)):
            p.disc(x, y, 0.14, light)
    elif kind == "portal":
        p.ring(0, 0.05, 0.8, dark, 0.42)
        p.disc(0, 0.05, 0.62, light)
        p.disc(0, 0.05, 0.38, c)
    elif kind == "pyramid":
        p.poly([(0, -0.8), (1.1, 1), (-1.1, 1)], (24, 14, 34))
        p.line([(-1.1, 1), (0, -0.8), (1.1, 1)], c, 0.12)
        p.disc(0, 0.3, 0.2, light)
    elif kind == "arch":
        p.line([(-0.8, 1), (-0.8, -0.1), (-0.4, -0.8), (0.4, -0.8), (0.8, -0.1), (0.8, 1)], c, 0.42)
        p.line([(-0.8, 1), (-0.8, -0.1), (-0.4, -0.8)], light, 0.14)
    elif kind == "orb":
        p.disc(0, -0.1, 0.75, c)
        p.disc(-0.15, -0.25, 0.45, light)
        p.disc(-0.2, -0.3, 0.2, (255, 255, 255))
    else:
        for x, top in ((-0.7, -0.4), (0, -1.2), (0.7, -0.4)):
            p.poly([(x - 0.28, 1), (x - 0.28, top + 0.6), (x, top), (x + 0.28, top + 0.6),
                    (x + 0.28, 1)], dark)  # fmt: skip
            p.rect(x - 0.1, top + 0.8, x + 0.1, top + 1.2, light)


def _heaven(p: Pen, kind: str, x: float, rng: np.random.Generator) -> None:
    pale: RGB = (250, 244, 255)
    if kind == "twins":
        p.disc(x, 18, 9, pale)
        p.disc(x + (18 if x < 48 else -18), 12, 5, pale)
    elif kind == "planet":
        p.disc(x, 18, 9, (236, 190, 220))
        p.line([(x - 18, 23), (x + 18, 13)], pale, 3)
    elif kind == "crescent":
        sky = p.image.getpixel((int(x), 18))
        p.disc(x, 18, 11, pale)
        p.disc(x + 6, 15, 10, sky if isinstance(sky, tuple) else pale)  # type: ignore[arg-type]
    elif kind == "eclipse":
        p.disc(x, 18, 12, (255, 250, 220))
        p.disc(x, 18, 9, (6, 4, 10))
    elif kind == "comet":
        p.poly([(x - 3, 22), (x + 3, 26), (x + 36, 2), (x + 30, 0)], (200, 200, 255))
        p.disc(x, 25, 5, pale)
    else:
        for sx, sy in rng.integers((0, 0), (BIG, 44), size=(34, 2)).tolist():
            p.rect(sx, sy, sx + 1, sy + 1, pale)


def _ground(p: Pen, kind: str, glowing: RGB, sky: RGB, rng: np.random.Generator) -> None:
    if kind == "mirror":
        p.image.paste(ramp(blend(sky, (255, 255, 255), 0.5), shade(sky, 0.5), 30), (0, 66))
        for y in (70, 77, 85):
            p.line([(8, y), (88, y)], blend(sky, (255, 255, 255), 0.8), 1)
    elif kind == "lava":
        p.rect(0, 66, BIG, BIG, (26, 14, 14))
        for x in range(-10, BIG, 16):
            shift = int(rng.integers(-6, 7))
            p.line([(x, 66), (x + 10 + shift, 80), (x + 2, BIG)], (255, 110, 10), 3)
    elif kind == "clouds":
        for x, y in zip(range(-2, 104, 13), (74, 68, 76, 70, 74, 67, 75, 70, 76), strict=False):
            p.disc(x, y + 8, 15, (238, 226, 246))
        p.rect(0, 82, BIG, BIG, (250, 240, 252))
    elif kind == "grid":
        p.rect(0, 66, BIG, BIG, (10, 4, 30))
        for x in range(-96, 200, 22):
            p.line([(48 + (x - 48) * 0.4, 66), (x, BIG)], (0, 255, 255), 2)
        for y in (66, 71, 78, 88):
            p.line([(0, y), (BIG, y)], (0, 255, 255), 1.5)
    elif kind == "shards":
        p.rect(0, 76, BIG, BIG, (40, 30, 70))
        for x in range(0, BIG + 8, 10):
            h = int(rng.integers(12, 26))
            p.poly([(x - 6, BIG), (x + h % 5 - 2, BIG - h - 6), (x + 6, BIG)],
                   blend(glowing, (255, 255, 255), 0.3 + (x % 3) * 0.2))  # fmt: skip
    else:
        p.poly([(0, 72), (30, 64), (64, 74), (96, 66), (96, 96), (0, 96)], (190, 120, 96))
        p.poly([(0, 86), (40, 74), (96, 88), (96, 96), (0, 96)], (120, 66, 70))


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    sky, lit = HUES[scene["sky"]], HUES[scene["glow"]]
    image = ramp(shade(sky, 0.35), sky)
    p = Pen(image, 0, 0, 1)
    x = FRAMINGS[scene["framing"]][1] + int(rng.integers(-3, 4))
    _heaven(p, scene["heaven"], 22 if x > 40 else 72, rng)
    _ground(p, scene["ground"], lit, sky, rng)
    _subject(Pen(image, x, 56 + int(rng.integers(-2, 3)), 20), scene["subject"], lit)
    pixels = reduced(image, 0.5)
    halo = np.asarray(lit, dtype=np.float32) * glow(x / 2, 27, 20)[..., None]
    pixels = pixels + 0.5 * halo
    return finished(_effect(pixels, scene["effect"], x / 2, rng))


def _effect(pixels: Pixels, kind: str, x: float, rng: np.random.Generator) -> Pixels:
    if kind == "beams":
        fan = (np.abs((COLS - x) / (ROWS + 6)) * 5).astype(np.int32) % 2
        rays: Pixels = fan.astype(np.float32) * np.maximum(0, 62 - ROWS * np.float32(1.3))
        lit: Pixels = pixels + rays[..., None]
        return lit
    if kind == "motes":
        out = pixels.copy()
        spots = rng.integers(1, 46, size=(26, 2))
        out[spots[:, 0], spots[:, 1]] = (255, 236, 150)
        out[spots[:, 0] + 1, spots[:, 1]] = (255, 190, 90)
        return out
    if kind == "fog":
        veil: Pixels = np.maximum(0, 1 - np.abs(ROWS - 33) / 9)[..., None] * np.float32(0.75)
        return pixels * (1 - veil) + 225 * veil
    wave = ((COLS * 3 + 40) % 44 - 22) / 5
    band: Pixels = np.maximum(0, 1 - np.abs(ROWS - 9 - np.abs(wave)) / 5)[..., None]
    return pixels + band * np.asarray((60, 230, 150), dtype=np.float32)


GEN_ART = Domain(
    name="gen-art",
    title="GenArt",
    attributes={
        "subject": tuple(SUBJECTS),
        "sky": tuple(HUES),
        "glow": tuple(HUES),
        "heaven": tuple(HEAVENS),
        "ground": tuple(GROUNDS),
        "effect": tuple(EFFECTS),
        "framing": tuple(FRAMINGS),
    },
    settle=_settle,
    captions=_captions,
    paint=_paint,
)
