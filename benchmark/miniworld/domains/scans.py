"""Scans: gray radiology-like images. Sides are those of the picture, not of a patient."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..canvas import BIG, COLS, ROWS, Pen, Pixels, finished, glow, grain, reduced
from ..sampling import Domain, Scene

STUDIES: dict[str, str] = {
    "chest": "frontal chest radiograph",
    "head": "axial head ct",
    "abdomen": "axial abdomen ct",
    "knee": "frontal knee radiograph",
    "pelvis": "pelvis radiograph",
}
FINDINGS: dict[str, tuple[str, str]] = {
    "nodule": ("nodule", "nodules"),
    "ring": ("rim enhancing cyst", "rim enhancing cysts"),
    "streak": ("linear density", "linear densities"),
    "cluster": ("calcification cluster", "calcification clusters"),
    "lucency": ("lucent lesion", "lucent lesions"),
}
EXTENTS: dict[str, tuple[str, float]] = {
    "small": ("subcentimeter", 3.2),
    "medium": ("moderate", 5.0),
    "large": ("bulky", 7.0),
}
# Wording, and where the lesions lie around the centre in units of the radius.
NUMBERS: dict[str, tuple[str, tuple[tuple[float, float], ...]]] = {
    "one": ("solitary", ((0, 0),)),
    "two": ("paired", ((-0.8, 0), (0.8, 0))),
    "three": ("triple", ((-0.85, 0.6), (0.85, 0.6), (0, -0.9))),
}
SIDES: dict[str, float] = {"left": -8.0, "right": 8.0}
ZONES: dict[str, float] = {"superior": -10.0, "central": 0.0, "inferior": 10.0}
DEVICES: dict[str, str] = {
    "none": "no hardware",
    "wire": "pacing lead",
    "tube": "midline tube",
    "clips": "surgical clips",
    "marker": "corner marker",
}
EXPOSURES: dict[str, tuple[str, float, float]] = {
    "good": ("adequate exposure", 1.0, 0.0),
    "under": ("underexposed", 0.62, -6.0),
    "over": ("overexposed", 0.85, 62.0),
}
BASES: dict[str, str] = {
    "clear": "clear margins",
    "fluid": "dependent effusion",
    "shutter": "collimated margins",
}
TEMPLATES: tuple[str, ...] = (
    "{study}, {number} {extent} {finding} in the {side} {zone} region, {device}, {base}, "
    "{exposure}.",
    "{exposure} {study} demonstrates {number} {extent} {finding}, {zone} {side}, {base}, {device}.",
    "findings, {extent} {number} {finding} of the {zone} {side} zone on {study}, {exposure}, "
    "{device}, {base}.",
)


def _captions(scene: Scene, pick: int) -> tuple[str, ...]:
    words = {
        "study": STUDIES[scene["study"]],
        "number": NUMBERS[scene["number"]][0],
        "extent": EXTENTS[scene["extent"]][0],
        "finding": FINDINGS[scene["finding"]][scene["number"] != "one"],
        "side": scene["side"],
        "zone": scene["zone"],
        "device": DEVICES[scene["device"]],
        "base": BASES[scene["base"]],
        "exposure": EXPOSURES[scene["exposure"]][0],
    }
    return (TEMPLATES[pick % len(TEMPLATES)].format(**words),)


def _gray(level: int) -> tuple[int, int, int]:
    return level, level, level


def _anatomy(p: Pen, study: str) -> None:
    if study == "chest":
        p.poly([(-0.75, 1), (-0.9, -0.5), (-0.3, -0.95), (0.3, -0.95), (0.9, -0.5), (0.75, 1)],
               _gray(120))  # fmt: skip
        for s in (-1, 1):
            p.poly([(s * 0.15, -0.55), (s * 0.4, -0.75), (s * 0.7, -0.2), (s * 0.68, 0.75),
                    (s * 0.15, 0.6)], _gray(58))  # fmt: skip
            for y in (-0.4, -0.1, 0.2, 0.5):
                p.line([(s * 0.12, y), (s * 0.7, y + 0.15)], _gray(84), 0.05)
        p.rect(-0.1, -0.95, 0.1, 1, _gray(168))
    elif study == "head":
        p.oval(-0.72, -0.92, 0.72, 0.92, _gray(225))
        p.oval(-0.62, -0.82, 0.62, 0.82, _gray(98))
        p.line([(0, -0.8), (0, 0.8)], _gray(130), 0.04)
        for s in (-1, 1):
            p.oval(s * 0.14 - 0.08, -0.35, s * 0.14 + 0.08, 0.3, _gray(48))
    elif study == "abdomen":
        p.oval(-0.95, -0.68, 0.95, 0.68, _gray(66))
        p.oval(-0.86, -0.6, 0.86, 0.6, _gray(112))
        p.oval(-0.78, -0.5, -0.1, 0.3, _gray(136))
        p.disc(0, 0.38, 0.15, _gray(222))
        for s in (-1, 1):
            p.oval(s * 0.42 - 0.15, 0.18, s * 0.42 + 0.15, 0.46, _gray(150))
    elif study == "knee":
        p.rect(-0.6, -1, 0.6, 1, _gray(84))
        p.poly([(-0.25, -1), (0.25, -1), (0.3, -0.4), (0.5, -0.1), (-0.5, -0.1), (-0.3, -0.4)],
               _gray(140))  # fmt: skip
        p.poly([(-0.5, 0.02), (0.5, 0.02), (0.28, 0.4), (0.22, 1), (-0.22, 1), (-0.28, 0.4)],
               _gray(140))  # fmt: skip
        p.rect(0.36, 0.25, 0.48, 1, _gray(120))
    else:
        p.rect(-1, -0.8, 1, 0.9, _gray(60))
        for s in (-1, 1):
            p.poly([(s * 0.15, -0.2), (s * 0.5, -0.75), (s * 0.9, -0.4), (s * 0.6, 0.1),
                    (s * 0.3, 0.2)], _gray(142))  # fmt: skip
            p.ring(s * 0.3, 0.4, 0.2, _gray(142), 0.1)
            p.line([(s * 0.62, 0.15), (s * 0.75, 1)], _gray(142), 0.2)
        p.rect(-0.12, -0.8, 0.12, 0, _gray(150))


def _device(p: Pen, kind: str) -> None:
    metal = _gray(250)
    if kind == "wire":
        p.rect(0.6, -0.95, 0.9, -0.7, metal)
        p.line([(0.6, -0.75), (0.2, -0.6), (0.05, -0.1), (0.25, 0.25)], metal, 0.04)
    elif kind == "tube":
        p.line([(-0.04, -1), (-0.04, 0.5)], metal, 0.08)
    elif kind == "clips":
        for x, y in ((-0.2, 0.75), (0.05, 0.85), (0.25, 0.7)):
            p.line([(x - 0.06, y), (x + 0.06, y - 0.12)], metal, 0.07)
    elif kind == "marker":
        p.rect(-0.98, -0.98, -0.74, -0.74, metal)


def _stamped(pixels: Pixels, where: npt.NDArray[np.bool_], level: int) -> Pixels:
    return np.where(where, np.float32(level), pixels)


def _lesion(pixels: Pixels, kind: str, x: float, y: float, r: float) -> Pixels:
    distance = (COLS - x) ** 2 + (ROWS - y) ** 2
    if kind == "nodule":
        return np.asarray(pixels + 170 * np.sqrt(glow(x, y, r)), dtype=np.float32)
    if kind == "ring":
        edge = (distance < r * r) & (distance > (r - 1.5) ** 2)
        core = np.where(distance < r * r, pixels * 0.6, pixels)
        return _stamped(core, edge, 235)
    if kind == "streak":
        near = np.abs(COLS - x + (ROWS - y)) < 1.5
        return _stamped(pixels, near & (distance < (r * 1.3) ** 2), 240)
    if kind == "cluster":
        dots = (COLS.astype(np.int32) % 2 == 0) & (ROWS.astype(np.int32) % 2 == 0)
        return _stamped(pixels, dots & (distance < r * r), 255)
    return np.asarray(pixels * (1 - np.sqrt(glow(x, y, r * 1.1))), dtype=np.float32)


def _paint(scene: Scene, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (BIG, BIG), _gray(6))
    scale = 44 + int(rng.integers(-1, 2))
    p = Pen(image, 48 + int(rng.integers(-2, 3)), 48 + int(rng.integers(-2, 3)), scale)
    _anatomy(p, scene["study"])
    if scene["base"] == "fluid":
        p.poly([(-0.8, 0.62), (0, 0.72), (0.8, 0.62), (0.8, 0.98), (-0.8, 0.98)], _gray(190))
    _device(p, scene["device"])
    pixels = reduced(image, 0.6)[..., 0]
    x = 23.5 + SIDES[scene["side"]] + int(rng.integers(-1, 2))
    y = 23.5 + ZONES[scene["zone"]] + int(rng.integers(-1, 2))
    r = EXTENTS[scene["extent"]][1]
    offsets = NUMBERS[scene["number"]][1]
    for dx, dy in offsets:
        each = r if len(offsets) == 1 else r * 0.75
        pixels = _lesion(pixels, scene["finding"], x + dx * r, y + dy * r, each)
    _, gain, offset = EXPOSURES[scene["exposure"]]
    if scene["base"] == "shutter":
        pixels = _stamped(pixels, (COLS < 3) | (COLS > 44), 255)
    noisy = pixels[..., None] * gain + offset + grain(rng, 6, channels=1)
    return finished(np.repeat(noisy, 3, axis=2))


SCANS = Domain(
    name="scans",
    title="Scans",
    attributes={
        "study": tuple(STUDIES),
        "finding": tuple(FINDINGS),
        "extent": tuple(EXTENTS),
        "number": tuple(NUMBERS),
        "side": tuple(SIDES),
        "zone": tuple(ZONES),
        "device": tuple(DEVICES),
        "base": tuple(BASES),
        "exposure": tuple(EXPOSURES),
    },
    captions=_captions,
    paint=_paint,
)
