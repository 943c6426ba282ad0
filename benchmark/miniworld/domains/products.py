"""Products: catalogue shots on a pale backdrop."""

import numpy as np
from PIL import Image, ImageDraw

from ..canvas import BIG, RGB, Pen, Point, blend, finished, grain, reduced, shade
from ..sampling import Domain, Scene

# Contour of each article in its local frame, and the details that it can have.
CONTOURS: dict[str, tuple[Point, ...]] = {
    "handbag": ((-0.8, -0.2), (0.8, -0.2), (1, 0.9), (-1, 0.9)),
    "shirt": ((-0.4, -0.9), (0.4, -0.9), (1.1, -0.4), (0.85, 0), (0.55, -0.2), (0.55, 0.95),
              (-0.55, 0.95), (-0.55, -0.2), (-0.85, 0), (-1.1, -0.4)),
    "sneaker": ((-1, -0.3), (-0.4, -0.4), (0.1, 0.05), (0.8, 0.25), (1.1, 0.6), (1.1, 0.7),
                (-1, 0.7)),
    "mug": ((-0.7, -0.7), (0.5, -0.7), (0.5, 0.85), (-0.7, 0.85)),
    "cap": ((-0.7, 0.3), (-0.65, -0.2), (-0.2, -0.6), (0.3, -0.55), (0.6, -0.1), (0.65, 0.3)),
    "backpack": ((-0.6, -0.5), (-0.3, -0.85), (0.3, -0.85), (0.6, -0.5), (0.7, 0.95), (-0.7, 0.95)),
    "dress": ((-0.3, -0.95), (0.3, -0.95), (0.25, -0.2), (0.85, 1), (-0.85, 1), (-0.25, -0.2)),
    "sock": ((-0.5, -1), (0.1, -1), (0.1, 0.3), (0.75, 0.55), (0.75, 0.95), (-0.2, 0.95),
             (-0.5, 0.6)),
    "pillow": ((-1, -0.75), (0, -0.6), (1, -0.75), (0.88, 0), (1, 0.75), (0, 0.62), (-1, 0.75),
               (-0.88, 0)),
    "umbrella": ((-1.1, 0.1), (-0.8, -0.5), (0, -0.9), (0.8, -0.5), (1.1, 0.1)),
}  # fmt: skip
DETAILS: dict[str, tuple[str, str, str]] = {
    "handbag": ("brass buckle", "front pocket", "tassel"),
    "shirt": ("white collar", "chest pocket", "zipper"),
    "sneaker": ("thick sole", "ankle loop", "velcro straps"),
    "mug": ("dark rim", "heart logo", "cork base"),
    "cap": ("long visor", "pompom", "ear flaps"),
    "backpack": ("front pocket", "brass buckle", "top loop"),
    "dress": ("waist belt", "lace hem", "white collar"),
    "sock": ("dark toe", "ribbed cuff", "heart logo"),
    "pillow": ("tassel corners", "center button", "dark piping"),
    "umbrella": ("hooked handle", "straight handle", "pompom tip"),
}
COLOURS: dict[str, RGB] = {
    "crimson": (190, 22, 54),
    "azure": (58, 152, 232),
    "navy": (24, 36, 92),
    "olive": (112, 118, 40),
    "mustard": (222, 168, 30),
    "lilac": (184, 146, 214),
    "charcoal": (58, 60, 66),
    "coral": (250, 126, 104),
    "turquoise": (20, 186, 180),
    "chocolate": (92, 52, 30),
}
PATTERNS = ("plain", "striped", "dotted", "checked")
TRIMS: dict[str, RGB] = {"cream": (250, 240, 212), "mint": (150, 232, 190), "jet": (14, 14, 18),
                         "fuchsia": (236, 40, 150)}  # fmt: skip
BACKDROPS: dict[str, RGB] = {
    "white": (250, 250, 250),
    "blush": (250, 226, 226),
    "sky": (222, 236, 250),
    "sand": (242, 232, 204),
}
SIZES: dict[str, tuple[str, float]] = {"mini": ("mini", 20), "full": ("full size", 33)}
POSES: dict[str, tuple[str, float]] = {"straight": ("upright", 0.0), "tilted": ("tilted", 0.28)}

TEMPLATES: tuple[str, ...] = (
    "{size} {cloth} {kind} with {detail}, {pose}, {backdrop} backdrop.",
    "{kind} in {cloth}, {size}, featuring {detail}, shot {pose} on {backdrop}.",
    "shop this {size} {kind}, {cloth} finish, {detail}, displayed {pose} against {backdrop}.",
)


def _settle(scene: Scene) -> Scene | None:
    detail = DETAILS[scene["kind"]][int(scene["detail"])]
    trim = "" if scene["pattern"] == "plain" else scene["trim"]
    return {**scene, "detail": detail, "trim": trim}


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    cloth = f"{scene['pattern']} {scene['colour']}"
    words = {
        "kind": scene["kind"],
        "cloth": f"{cloth} and {scene['trim']}" if scene["trim"] else cloth,
        "detail": scene["detail"],
        "size": SIZES[scene["size"]][0],
        "pose": POSES[scene["pose"]][0],
        "backdrop": scene["backdrop"],
    }
    return (TEMPLATES[pick % len(TEMPLATES)].format(**words),)


def _cloth(scene: Scene) -> Image.Image:
    colour = COLOURS[scene["colour"]]
    cloth = Image.new("RGB", (BIG, BIG), colour)
    if scene["pattern"] == "plain":
        return cloth
    trim, pen = TRIMS[scene["trim"]], Pen(cloth, 0, 0, 1)
    if scene["pattern"] == "striped":
        for y in range(0, BIG, 12):
            pen.rect(0, y, BIG, y + 5, trim)
    elif scene["pattern"] == "dotted":
        for y in range(4, BIG, 10):
            for x in range(4 + y // 10 % 2 * 6, BIG, 12):
                pen.rect(x - 2, y - 2, x + 2, y + 2, trim)
    else:
        for y in range(0, BIG, 8):
            for x in range(y // 8 % 2 * 8, BIG, 16):
                pen.rect(x, y, x + 7, y + 7, trim)
    return cloth


def _behind(p: Pen, kind: str, tone: RGB) -> None:
    """The parts that the contour leaves out."""
    if kind == "handbag":
        p.line([(-0.5, -0.2), (-0.4, -0.8), (0.4, -0.8), (0.5, -0.2)], tone, 0.14)
    elif kind == "mug":
        p.ring(0.55, 0.05, 0.38, tone, 0.18)
    elif kind == "umbrella":
        p.line([(0, -0.8), (0, 0.9)], (90, 70, 50), 0.1)


def _detail(p: Pen, kind: str, detail: str) -> None:
    brass: RGB = (200, 150, 40)
    ink: RGB = (26, 24, 28)
    white: RGB = (255, 255, 255)
    if detail == "brass buckle":
        p.rect(-0.3, 0.1, 0.3, 0.5, brass)
        p.rect(-0.12, 0.22, 0.12, 0.38, white)
    elif detail == "front pocket":
        p.rect(-0.5, 0.25, 0.5, 0.8, ink)
        p.rect(-0.42, 0.33, 0.42, 0.72, (150, 150, 156))
    elif detail == "tassel":
        p.poly([(0.75, -0.1), (1.1, 0.6), (0.6, 0.6)], brass)
    elif detail == "white collar":
        p.poly([(-0.45, -1), (0, -0.45), (0.45, -1), (0.2, -1), (0, -0.75), (-0.2, -1)], white)
        p.line([(-0.4, -0.98), (0, -0.45), (0.4, -0.98)], ink, 0.05)
    elif detail == "chest pocket":
        p.rect(0.02, -0.43, 0.48, 0.08, ink)
        p.rect(0.1, -0.35, 0.4, 0, white)
    elif detail == "zipper":
        p.line([(0, -0.9), (0, 0.95)], ink, 0.16)
        p.line([(0, -0.9), (0, 0.95)], white, 0.06)
    elif detail == "thick sole":
        p.rect(-1.05, 0.6, 1.15, 0.95, ink)
    elif detail == "ankle loop":
        p.ring(-0.95, -0.45, 0.24, ink, 0.12)
    elif detail == "velcro straps":
        p.line([(-0.3, 0.2), (0.1, -0.1)], white, 0.16)
        p.line([(0.1, 0.45), (0.5, 0.1)], white, 0.16)
    else:
        _small_detail(p, kind, detail)


def _small_detail(p: Pen, kind: str, detail: str) -> None:
    brass: RGB = (200, 150, 40)
    ink: RGB = (26, 24, 28)
    white: RGB = (255, 255, 255)
    if detail == "dark rim":
        p.rect(-0.72, -0.75, 0.52, -0.5, ink)
    elif detail == "heart logo":
        x, y = (-0.1, 0.1) if kind == "mug" else (-0.2, -0.4)
        p.poly([(x, y + 0.32), (x - 0.32, y - 0.05), (x - 0.16, y - 0.25), (x, y - 0.1),
                (x + 0.16, y - 0.25), (x + 0.32, y - 0.05)], white)  # fmt: skip
    elif detail == "cork base":
        p.rect(-0.72, 0.55, 0.52, 0.87, (196, 146, 96))
    elif detail == "long visor":
        p.poly([(0.4, 0.1), (1.3, 0.3), (1.3, 0.45), (-0.1, 0.42)], ink)
    elif detail == "pompom":
        p.disc(0, -0.7, 0.26, white)
        p.ring(0, -0.7, 0.26, ink, 0.06)
    elif detail == "ear flaps":
        p.rect(-0.75, 0.1, -0.35, 0.85, brass)
        p.rect(0.3, 0.1, 0.68, 0.85, brass)
    elif detail == "top loop":
        p.ring(0, -0.95, 0.22, ink, 0.14)
    elif detail == "waist belt":
        p.rect(-0.32, -0.32, 0.32, -0.08, ink)
    elif detail == "lace hem":
        for x in (-0.75, -0.45, -0.15, 0.15, 0.45, 0.75):
            p.disc(x, 0.95, 0.16, white)
        p.line([(-0.85, 1.1), (0.85, 1.1)], (150, 150, 150), 0.06)
    elif detail == "dark toe":
        p.rect(0.4, 0.45, 0.8, 0.98, ink)
    elif detail == "ribbed cuff":
        p.rect(-0.55, -1.05, 0.15, -0.65, ink)
        for x in (-0.4, -0.2, 0):
            p.line([(x, -1.05), (x, -0.65)], white, 0.07)
    else:
        _odd_detail(p, detail)


def _odd_detail(p: Pen, detail: str) -> None:
    brass: RGB = (200, 150, 40)
    ink: RGB = (26, 24, 28)
    if detail == "tassel corners":
        for x, y in ((-1, -0.75), (1, -0.75), (-1, 0.75), (1, 0.75)):
            p.disc(x, y, 0.2, brass)
    elif detail == "center button":
        p.disc(0, 0, 0.24, ink)
        p.disc(0, 0, 0.1, brass)
    elif detail == "dark piping":
        contour = CONTOURS["pillow"]
        p.line([*contour, contour[0]], ink, 0.14)
    elif detail == "hooked handle":
        p.line([(0, 0.1), (0, 0.85), (0.15, 1), (0.4, 0.95), (0.45, 0.75)], ink, 0.16)
    elif detail == "straight handle":
        p.rect(-0.14, 0.6, 0.14, 1.1, brass)
    elif detail == "pompom tip":
        p.disc(0, -0.95, 0.22, brass)


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    backdrop = BACKDROPS[scene["backdrop"]]
    image = Image.new("RGB", (BIG, BIG), backdrop)
    scale, turn = SIZES[scene["size"]][1], POSES[scene["pose"]][1]
    x, y = 48 + int(rng.integers(-4, 5)), 48 + int(rng.integers(-3, 4))
    Pen(image, x, y, scale).oval(-1, 0.85, 1.1, 1.2, blend(backdrop, (120, 120, 130), 0.4))
    p = Pen(image, x, y, scale, turn=turn)
    tone = shade(COLOURS[scene["colour"]], 0.75)
    _behind(p, scene["kind"], tone)
    mask = Image.new("L", (BIG, BIG), 0)
    placed = p.placed(CONTOURS[scene["kind"]])
    ImageDraw.Draw(mask).polygon(placed, fill=255)
    image.paste(_cloth(scene), (0, 0), mask)
    p.line([*CONTOURS[scene["kind"]], CONTOURS[scene["kind"]][0]], shade(tone, 0.7), 0.04)
    if scene["kind"] == "sneaker":
        p.rect(-1, 0.62, 1.1, 0.78, (240, 240, 240))
    _detail(p, scene["kind"], scene["detail"])
    return finished(reduced(image, 0.3) + grain(rng, 2))


PRODUCTS = Domain(
    name="products",
    title="Products",
    attributes={
        "kind": tuple(CONTOURS),
        "colour": tuple(COLOURS),
        "pattern": PATTERNS,
        "trim": tuple(TRIMS),
        "detail": ("0", "1", "2"),
        "size": tuple(SIZES),
        "pose": tuple(POSES),
        "backdrop": tuple(BACKDROPS),
    },
    settle=_settle,
    captions=_captions,
    paint=_paint,
)
