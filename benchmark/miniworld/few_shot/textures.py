"""Textures: two colours and a pattern that fills the picture, at any angle."""

import numpy as np
from PIL import Image

from ..canvas import BIG, COLS, RGB, ROWS, Pen, blend, finished, grain, reduced, shade
from ..sampling import Domain, Scene

INKS: dict[str, RGB] = {
    "red": (186, 44, 44),
    "blue": (40, 74, 170),
    "teal": (24, 130, 130),
    "brown": (110, 70, 40),
    "black": (36, 36, 40),
    "sand": (214, 190, 140),
    "white": (240, 238, 230),
    "gray": (138, 138, 142),
}
FIELD = 75  # half the side that covers the canvas at any angle


def _lines(p: Pen, kind: str, c: RGB, step: int) -> None:
    """Patterns of straight bands."""
    if kind == "striped":
        for y in range(-FIELD, FIELD, 2 * step):
            p.rect(-FIELD, y, FIELD, y + step, c)
    elif kind == "checked":
        for y in range(-FIELD, FIELD, step):
            for x in range(-FIELD + (y // step) % 2 * step, FIELD, 2 * step):
                p.rect(x, y, x + step, y + step, c)
    elif kind == "zigzag":
        for y in range(-FIELD, FIELD, 2 * step):
            tops = range(-FIELD, FIELD + step, step)
            bend = [(x, y + (k % 2) * step) for k, x in enumerate(tops)]
            p.line(bend, c, 0.55 * step)
    else:
        for i, y in enumerate(range(-FIELD, FIELD, step)):
            for j, x in enumerate(range(-FIELD, FIELD, step)):
                long, short = (step, 0.55 * step) if (i + j) % 2 else (0.55 * step, step)
                a, b = (step - long) / 2, (step - short) / 2
                p.rect(x + a, y + b, x + a + long, y + b + short, c)
                tone = shade(c, 0.6)
                if (i + j) % 2:
                    p.line([(x, y + step / 2), (x + step, y + step / 2)], tone, 1.5)
                else:
                    p.line([(x + step / 2, y), (x + step / 2, y + step)], tone, 1.5)


def _curves(p: Pen, kind: str, c: RGB, ground: RGB, step: int, rng: np.random.Generator) -> None:
    """Patterns of discs and cracks."""
    if kind == "dotted":
        for i, y in enumerate(range(-FIELD, FIELD, step)):
            for x in range(-FIELD + i % 2 * step // 2, FIELD, step):
                p.disc(x, y, 0.3 * step, c)
    elif kind == "scaly":
        for i, y in enumerate(range(-FIELD, FIELD, step)):
            for x in range(-FIELD + i % 2 * step, FIELD, 2 * step):
                p.disc(x, -y, 1.15 * step, ground)
                p.disc(x, -y - 2, 0.95 * step, shade(c, 0.85 + 0.1 * (i % 3)))
    elif kind == "bubbly":
        for x, y, r in rng.integers((-60, -60, 3), (60, 60, step + 2), size=(46, 3)).tolist():
            p.disc(x, y, r, c)
            p.disc(x, y, 0.8 * r, shade(c, 1.3))
            p.disc(x - 0.3 * r, y - 0.3 * r, 0.22 * r, (250, 250, 250))
    else:
        for x in range(-FIELD, FIELD, 2 * step):
            bends = rng.integers(-step, step + 1, size=(10, 2)).tolist()
            p.line([(x + a, -FIELD + 16 * k + b / 2) for k, (a, b) in enumerate(bends)], c, 2.5)
            for k, (a, b) in enumerate(bends):
                y = -FIELD + 16 * k + b / 2
                p.line([(x + a, y), (x + step + b, y + a), (x + 2 * step, y + b)], c, 1.6)


KINDS = ("striped", "dotted", "checked", "zigzag", "woven", "cracked", "bubbly", "scaly")


def _settle(scene: Scene) -> Scene | None:
    """Stripes and checks look the same with their colours exchanged."""
    inks = scene["ink"], scene["ground"]
    exchanged = scene["class"] in ("striped", "checked") and inks != tuple(sorted(inks))
    return None if exchanged or inks[0] == inks[1] else scene


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    kind, step = scene["class"], int(scene["step"])
    ink, ground = INKS[scene["ink"]], INKS[scene["ground"]]
    image = Image.new("RGB", (BIG, BIG), ground)
    shift = rng.integers(-6, 7, size=2).tolist()
    pen = Pen(image, 48 + shift[0], 48 + shift[1], 1, turn=int(scene["turn"]) / 8)
    if kind in ("striped", "checked", "zigzag", "woven"):
        _lines(pen, kind, ink, step)
    else:
        tone = blend(ink, ground, 0.15)
        _curves(pen, kind, tone, ground, step, rng)
    slope = 1 + int(scene["sun"]) * (COLS - ROWS) / np.float32(260)
    return finished(reduced(image, 0.5) * slope[..., None] + grain(rng, 10, 1))


TEXTURES8 = Domain(
    name="textures",
    title="Textures8",
    attributes={
        "class": KINDS,
        "ink": tuple(INKS),
        "ground": tuple(INKS),
        "turn": tuple(str(k) for k in range(-4, 4)),
        "step": ("12", "15", "18"),
        "sun": ("-1", "0", "1"),
    },
    paint=_paint,
    settle=_settle,
    templates=("a {} texture.", "a photo of a {} texture.", "a {} pattern.", "{} cloth."),
)
