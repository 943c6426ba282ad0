"""Paintings: framed landscapes and still lifes with few pigments and visible brushwork."""

import numpy as np
from PIL import Image

from ..canvas import BIG, COLS, RGB, ROWS, SIDE, Pen, Pixels, blend, finished, ramp, reduced, shade
from ..sampling import Domain, Scene

VIEWS: dict[str, str] = {
    "windmill": "a windmill",
    "church": "a steepled church",
    "castle": "a ruined castle",
    "viaduct": "a stone viaduct",
    "ship": "a sailing ship",
    "haystacks": "two haystacks",
}
STILLS: dict[str, str] = {
    "vase": "a vase of peonies",
    "fruit": "a bowl of pears",
    "candle": "a burning candle",
    "violin": "a violin",
}
PIGMENTS: dict[str, RGB] = {
    "ochre": (206, 152, 60),
    "cobalt": (44, 82, 168),
    "viridian": (44, 124, 100),
    "sienna": (160, 80, 44),
    "lavender": (150, 132, 178),
}
ACCENTS: dict[str, tuple[str, RGB]] = {
    "vermilion": ("vermilion", (216, 58, 34)),
    "ivory": ("ivory", (244, 234, 206)),
    "umber": ("umber", (62, 42, 30)),
}
STROKES: dict[str, str] = {
    "broad": "broad strokes",
    "dabs": "pointillist dabs",
    "swirls": "swirling strokes",
    "glaze": "smooth glazes",
}
FRAMES: dict[str, tuple[str, RGB]] = {
    "gilt": ("gilded frame", (222, 178, 56)),
    "ebony": ("ebony frame", (22, 20, 20)),
    "walnut": ("walnut frame", (112, 62, 32)),
    "mat": ("pale mat", (236, 232, 222)),
}
MOODS: dict[str, tuple[str, float]] = {
    "dawn": ("at dawn", 1.15),
    "storm": ("in a storm", 0.75),
    "moon": ("by moonlight", 0.55),
}
VIEW_MINORS: dict[str, str] = {
    "a": "a cypress",
    "b": "a shepherd",
    "c": "a flock of birds",
    "d": "a broken gate",
}
STILL_MINORS: dict[str, str] = {
    "a": "an open book",
    "b": "a skull",
    "c": "a cluster of grapes",
    "d": "a silver knife",
}
TEMPLATES: tuple[str, ...] = (
    "oil on canvas in {pigment} showing {subject} in {accent}, {minor} at {side}, {mood}, "
    "{stroke}, {frame}.",
    "{subject} in {accent} {mood}, {minor} on the {side}, {pigment} canvas in {stroke}, {frame}.",
    "this {pigment} canvas in {stroke} depicts {subject} of {accent} {mood}, and {minor} to the "
    "{side}, {frame}.",
)


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    still = scene["subject"] in STILLS
    words = {
        "subject": (STILLS if still else VIEWS)[scene["subject"]],
        "minor": (STILL_MINORS if still else VIEW_MINORS)[scene["minor"]],
        "pigment": scene["pigment"],
        "accent": ACCENTS[scene["accent"]][0],
        "mood": MOODS[scene["mood"]][0],
        "stroke": STROKES[scene["stroke"]],
        "frame": FRAMES[scene["frame"]][0],
        "side": scene["side"],
    }
    return (TEMPLATES[pick % len(TEMPLATES)].format(**words),)


def _view(p: Pen, kind: str, c: RGB) -> None:
    dark = shade(c, 0.6)
    if kind == "windmill":
        p.poly([(-0.35, 1), (-0.2, -0.3), (0.2, -0.3), (0.35, 1)], c)
        p.line([(-0.75, -0.95), (0.75, 0.45)], dark, 0.16)
        p.line([(0.75, -0.95), (-0.75, 0.45)], dark, 0.16)
    elif kind == "church":
        p.rect(-0.2, 0.1, 0.95, 1, c)
        p.rect(-0.75, -0.3, -0.15, 1, c)
        p.poly([(-0.85, -0.3), (-0.45, -1.3), (-0.05, -0.3)], dark)
        p.poly([(-0.2, 0.1), (0.1, -0.3), (0.8, -0.3), (1.05, 0.1)], dark)
    elif kind == "castle":
        p.poly([(-1, 1), (-1, -0.6), (-0.5, -0.6), (-0.5, 0), (0.1, 0.2), (0.4, -0.1), (0.4, -0.9),
                (0.9, -0.7), (0.9, 1)], c)  # fmt: skip
        p.rect(-0.2, 0.5, 0.2, 1, dark)
    elif kind == "viaduct":
        p.rect(-1.4, -0.3, 1.4, 0, c)
        for x in (-1.2, -0.45, 0.3, 1.05):
            p.rect(x, -0.1, x + 0.22, 1, c)
        p.line([(-1.4, -0.3), (1.4, -0.3)], dark, 0.12)
    elif kind == "ship":
        p.poly([(-1, 0.55), (1, 0.55), (0.7, 1), (-0.7, 1)], dark)
        for x, top in ((-0.5, -0.4), (0.1, -0.9), (0.6, -0.3)):
            p.poly([(x - 0.3, 0.4), (x - 0.2, top), (x + 0.2, top), (x + 0.3, 0.4)], c)
    else:
        for x, s in ((-0.5, 0.6), (0.6, 0.5)):
            p.poly(
                [(x - s, 1), (x - s * 0.8, 0.2), (x, 0.1 - s), (x + s * 0.8, 0.2), (x + s, 1)], c
            )
            p.line([(x - s * 0.8, 0.2), (x + s * 0.8, 0.2)], dark, 0.1)


def _still(p: Pen, kind: str, c: RGB) -> None:
    dark = shade(c, 0.6)
    if kind == "vase":
        p.poly([(-0.25, 0.1), (0.25, 0.1), (0.45, 0.5), (0.25, 1), (-0.25, 1), (-0.45, 0.5)], dark)
        for x, y in ((-0.5, -0.3), (0, -0.7), (0.5, -0.3), (0, -0.15)):
            p.disc(x, y, 0.34, c)
            p.disc(x, y, 0.14, dark)
    elif kind == "fruit":
        for x, y in ((-0.5, 0), (0, -0.25), (0.5, 0)):
            p.disc(x, y + 0.25, 0.34, c)
            p.disc(x, y - 0.1, 0.2, c)
        p.poly([(-1, 0.3), (1, 0.3), (0.5, 1), (-0.5, 1)], (226, 222, 214))
    elif kind == "candle":
        p.rect(-0.5, 0.8, 0.5, 1, (180, 150, 60))
        p.rect(-0.2, -0.4, 0.2, 0.8, c)
        p.poly([(-0.18, -0.55), (0, -1.2), (0.18, -0.55), (0, -0.4)], (255, 220, 90))
    else:
        p.line([(0, -0.1), (0, -1.3)], (30, 22, 18), 0.16)
        p.disc(0, 0.1, 0.36, c)
        p.disc(0, 0.62, 0.46, c)
        p.rect(-0.06, -0.2, 0.06, 0.8, (30, 22, 18))


def _minor(p: Pen, kind: str, still: bool) -> None:
    ink: RGB = (30, 26, 26)
    if still and kind == "a":
        p.poly([(-1, 0.4), (0, 0.6), (1, 0.4), (1, 0.9), (0, 1.1), (-1, 0.9)], (240, 232, 212))
        p.line([(0, 0.6), (0, 1.1)], ink, 0.12)
    elif still and kind == "b":
        p.disc(0, 0.2, 0.65, (232, 224, 200))
        p.rect(-0.35, 0.6, 0.35, 1, (232, 224, 200))
        p.disc(-0.25, 0.3, 0.2, ink)
        p.disc(0.25, 0.3, 0.2, ink)
    elif still and kind == "c":
        for x, y in ((-0.5, 0.2), (0, 0.2), (0.5, 0.2), (-0.25, 0.6), (0.25, 0.6), (0, 0.95)):
            p.disc(x, y, 0.3, (92, 40, 110))
    elif still:
        p.poly([(-0.2, -0.9), (0.2, -0.5), (0.15, 0.4), (-0.2, 0.4)], (220, 226, 232))
        p.rect(-0.22, 0.4, 0.18, 1.1, ink)
    elif kind == "a":
        p.poly([(0, -2.2), (0.5, -0.4), (0.4, 1), (-0.4, 1), (-0.5, -0.4)], (22, 52, 36))
    elif kind == "b":
        p.poly([(-0.4, 1), (0, -0.5), (0.4, 1)], (120, 30, 40))
        p.disc(0, -0.6, 0.26, (226, 190, 150))
        p.line([(0.6, -1), (0.6, 1)], ink, 0.14)
    elif kind == "c":
        for x, y in ((-0.6, -2.4), (0.3, -2.8), (0.1, -1.8)):
            p.line([(x - 0.5, y - 0.3), (x, y), (x + 0.5, y - 0.3)], ink, 0.2)
    else:
        p.line([(-0.9, 1), (-0.9, -0.4)], ink, 0.22)
        p.line([(0.9, 1), (0.8, -0.2)], ink, 0.22)
        p.line([(-0.9, -0.2), (0.9, 0.8)], ink, 0.2)
        p.line([(-0.9, 0.7), (0.3, 0.6)], ink, 0.2)


def _brushed(pixels: Pixels, kind: str, rng: np.random.Generator) -> Pixels:
    """Modulates brightness along the strokes, then keeps few tones."""
    if kind == "broad":
        rows = rng.integers(-24, 25, size=(16, 4)).repeat(3, axis=0).repeat(12, axis=1)
        pixels = pixels + rows[..., None]
    elif kind == "dabs":
        cells = rng.integers(-27, 28, size=(24, 24, 3)).repeat(2, axis=0).repeat(2, axis=1)
        pixels = pixels + cells
    elif kind == "swirls":
        x, y = float(rng.integers(8, 40)), float(rng.integers(6, 24))
        rings = ((np.abs(COLS - x) + np.abs(ROWS - y) + np.abs(COLS - ROWS)) / 5).astype(np.int32)
        pixels = pixels + ((rings % 2) * 34 - 17)[..., None]
    return np.floor(pixels / 30) * 30 + 15


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    pigment, (_, light) = PIGMENTS[scene["pigment"]], MOODS[scene["mood"]]
    still = scene["subject"] in STILLS
    sky = {
        "dawn": blend(pigment, (255, 214, 170), 0.5),
        "storm": blend(pigment, (96, 96, 104), 0.5),
    }
    top = sky.get(scene["mood"], shade(pigment, 0.5))
    image = ramp(top, blend(top, (250, 240, 220), 0.3))
    image.paste(ramp(pigment, shade(pigment, 0.55), 36), (0, 60))
    p = Pen(image, 0, 0, 1)
    sign = -1 if scene["side"] == "left" else 1
    if scene["mood"] == "moon":
        p.disc(48 + sign * 4, 18, 6, (250, 246, 220))
    elif scene["mood"] == "storm":
        for x in range(4, BIG, 14):
            p.line([(x + 8, 8), (x, 34)], (50, 50, 60), 1)
    else:
        p.disc(48 - sign * 30, 56, 9, (255, 240, 180))
    tone = ACCENTS[scene["accent"]][1]
    x = 48 - sign * 10 + int(rng.integers(-3, 4))
    main = Pen(image, x, 60 + int(rng.integers(-2, 3)), 18)
    (_still if still else _view)(main, scene["subject"], tone)
    _minor(Pen(image, 48 + sign * 27, 74, 9), scene["minor"], still)
    pixels = _brushed(reduced(image) * np.float32((light + 1) / 2), scene["stroke"], rng)
    weave = ((ROWS + COLS) % 2 * 8 - 4)[..., None]
    pixels = np.clip(pixels + weave, 0, 255)
    border = np.minimum(np.minimum(ROWS, SIDE - 1 - ROWS), np.minimum(COLS, SIDE - 1 - COLS))
    frame = np.asarray(FRAMES[scene["frame"]][1], dtype=np.float32)
    edge = (border < 4)[..., None]
    return finished(np.where(edge, frame * (0.85 + 0.05 * border)[..., None], pixels))


PAINTINGS = Domain(
    name="paintings",
    title="Paintings",
    attributes={
        "subject": (*VIEWS, *STILLS),
        "pigment": tuple(PIGMENTS),
        "accent": tuple(ACCENTS),
        "mood": tuple(MOODS),
        "stroke": tuple(STROKES),
        "frame": tuple(FRAMES),
        "minor": tuple(VIEW_MINORS),
        "side": ("left", "right"),
    },
    captions=_captions,
    paint=_paint,
)
