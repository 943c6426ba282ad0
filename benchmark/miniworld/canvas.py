"""Drawing at twice the final resolution, and the pixel looks that domains share.

Everything that is drawn is a polygon or a line: the same shape can then be flipped, turned,
outlined or jittered, so that one silhouette serves a photograph as well as a sketch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDE = 48
BIG = 2 * SIDE

RGB = tuple[int, int, int]
Point = tuple[float, float]
Pixels = npt.NDArray[np.float32]

# Rounded, so that the last bit of the platform's sine does not reach the pixels.
CIRCLE: tuple[Point, ...] = tuple(
    (round(float(np.cos(a)), 4), round(float(np.sin(a)), 4)) for a in np.arange(20) * (np.pi / 10)
)
ROWS: Pixels = np.arange(SIDE, dtype=np.float32)[:, None].repeat(SIDE, axis=1)
COLS: Pixels = np.ascontiguousarray(ROWS.T)
VIGNETTE: Pixels = np.asarray(
    0.36 * ((COLS / SIDE - 0.5) ** 2 + (ROWS / SIDE - 0.5) ** 2), dtype=np.float32
)


def shade(colour: RGB, factor: float) -> RGB:
    """The colour with its brightness multiplied, clipped to the valid range."""
    r, g, b = (max(0, min(255, int(c * factor))) for c in colour)
    return r, g, b


def blend(one: RGB, two: RGB, weight: float) -> RGB:
    """`one` moved towards `two` by `weight` in [0, 1]."""
    r, g, b = (int(a + (c - a) * weight) for a, c in zip(one, two, strict=True))
    return r, g, b


def ramp(top: RGB, bottom: RGB, height: int = BIG) -> Image.Image:
    """A vertical gradient over the full width of the big canvas."""
    steps = np.arange(height, dtype=np.float32)[:, None] / (height - 1)
    column = np.rint(np.asarray(top) * (1 - steps) + np.asarray(bottom) * steps)
    return Image.fromarray(column.astype(np.uint8)[:, None, :].repeat(BIG, axis=1))


def glow(x: float, y: float, radius: float) -> Pixels:
    """A soft bump of height 1 at (x, y) in final pixels, 0 beyond the radius; (SIDE, SIDE)."""
    fall = 1 - ((COLS - x) ** 2 + (ROWS - y) ** 2) / np.float32(radius * radius)
    return np.asarray(np.maximum(fall, 0) ** 2, dtype=np.float32)


def reduced(image: Image.Image, blur: float = 0.0) -> Pixels:
    """The big canvas box-averaged to (SIDE, SIDE, 3) float32; blur in pixels of the canvas."""
    small = image.reduce(2)
    soft = small.filter(ImageFilter.BoxBlur(blur / 2)) if blur else small
    return np.asarray(soft, dtype=np.float32)


def grain(rng: np.random.Generator, strength: int, channels: int = 3) -> Pixels:
    """Integer noise in [-strength, strength]; one channel means gray noise."""
    shape = (SIDE, SIDE, channels)
    return rng.integers(-strength, strength + 1, size=shape, dtype=np.int16).astype(np.float32)


def finished(pixels: Pixels) -> Image.Image:
    """Rounded and clipped to an RGB image."""
    return Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))


def photographed(image: Image.Image, rng: np.random.Generator, light: float = 1.0) -> Image.Image:
    """What a small cheap camera makes of the canvas: blur, side light, vignette, sensor noise."""
    pixels = reduced(image, 0.7)
    slope = float(rng.integers(-10, 11)) / 100
    falloff = np.asarray(light * (1 + slope * (COLS / SIDE - 0.5) - VIGNETTE), np.float32)
    return finished(pixels * falloff[..., None] + grain(rng, 7))


@dataclass
class Pen:
    """Draws in a local frame whose square [-1, 1] x [-1, 1] lies on the canvas (y points down).

    Attributes:
        image: the big canvas.
        x, y: the frame's origin in canvas pixels.
        scale: canvas pixels per local unit.
        flip: whether left and right are exchanged.
        turn: clockwise rotation in quarter-circle fractions (1.0 is 90 degrees).
        outline: colour of the contour that every filled shape gets, or None.
        width: contour width in canvas pixels.
        jitter: largest displacement of a vertex in canvas pixels, for hand-drawn lines.
        rng: needed for jitter only.
    """

    image: Image.Image
    x: float = BIG / 2
    y: float = BIG / 2
    scale: float = BIG / 2
    flip: bool = False
    turn: float = 0.0
    outline: RGB | None = None
    width: int = 2
    jitter: float = 0.0
    rng: np.random.Generator | None = None
    _draw: ImageDraw.ImageDraw = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Opens the canvas for drawing."""
        self._draw = ImageDraw.Draw(self.image)

    def placed(self, points: Sequence[Point]) -> list[Point]:
        """The points in canvas pixels."""
        x, y, wide, high = self.x, self.y, self.scale, self.scale
        if self.flip:
            wide = -wide
        if self.turn:
            angle = self.turn * np.pi / 2
            cos, sin = round(float(np.cos(angle)), 4), round(float(np.sin(angle)), 4)
            out = [
                (x + px * wide * cos - py * high * sin, y + px * wide * sin + py * high * cos)
                for px, py in points
            ]
        else:
            out = [(x + px * wide, y + py * high) for px, py in points]
        if self.jitter and self.rng is not None:
            shift = ((self.rng.random((len(out), 2)) * 2 - 1) * self.jitter).tolist()
            out = [(a + d, b + e) for (a, b), (d, e) in zip(out, shift, strict=True)]
        return out

    def poly(self, points: Sequence[Point], fill: RGB) -> None:
        """A filled polygon."""
        placed = self.placed(points)
        self._draw.polygon(placed, fill=fill)
        if self.outline is not None:
            self._draw.line([*placed, *placed[:2]], fill=self.outline, width=self.width)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """A filled ellipse inside the box."""
        cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        self.poly([(cx + c * rx, cy + s * ry) for c, s in CIRCLE], fill)

    def disc(self, x: float, y: float, radius: float, fill: RGB) -> None:
        """A filled circle."""
        self.oval(x - radius, y - radius, x + radius, y + radius, fill)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """A filled rectangle."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def line(self, points: Sequence[Point], fill: RGB, width: float) -> None:
        """An open stroke; the width is local, and at least one canvas pixel."""
        self._draw.line(self.placed(points), fill=fill, width=max(1, round(width * self.scale)))

    def ring(self, x: float, y: float, radius: float, fill: RGB, width: float) -> None:
        """A circle's contour."""
        points = [(x + c * radius, y + s * radius) for c, s in CIRCLE]
        self.line([*points, *points[:2]], fill, width)
