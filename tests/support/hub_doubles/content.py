"""Pictures and words of the doubles: noise, from a generator that is given."""

import io
from typing import Any

import numpy as np
from PIL import Image

from .kinds import Odd

ADJECTIVES = ["old", "red", "quiet", "tall", "wet", "bright", "broken", "empty", "golden", "small"]
NOUNS = ["boat", "dog", "bridge", "violin", "tower", "market", "child", "lamp", "horse", "garden"]
VERBS = ["stands", "waits", "leans", "shines", "sleeps", "turns", "falls", "drifts"]
PLACES = ["by the river", "in the snow", "at a café", "on a table", "under trees", "near a wall"]


def picture(
    rng: np.random.Generator,
    *,
    suffix: str = "jpg",
    mode: str = "RGB",
    size: tuple[int, int] | None = None,
    odd: Odd | None = None,
    hue: int = 0,
) -> tuple[bytes, tuple[int, int]]:
    """Encoded noise around a colour, and its stored width and height."""
    width, height = size or (int(n) for n in rng.integers(20, 61, 2))
    base = np.random.default_rng(hue).integers(40, 216, 3)
    pixels = (base + rng.integers(-40, 40, (height, width, 3))).astype(np.uint8)
    image = Image.fromarray(pixels).convert(mode) if mode != "RGB" else Image.fromarray(pixels)
    options: dict[str, Any] = {}
    match odd:
        case "exif":
            exif = Image.Exif()
            exif[0x0112] = 6  # orientation: to be turned by 90 degrees
            options["exif"] = exif
        case "rgba":
            image.putalpha(Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)))
        case "palette":
            image = image.quantize(16)
            options["transparency"] = 0
        case "cmyk":
            image = image.convert("CMYK")
        case "grey":
            image = image.convert("L")
        case "grey16":
            image = Image.fromarray(rng.integers(0, 1 << 16, (height, width), dtype=np.uint16))
    file = io.BytesIO()
    png = odd in {"rgba", "palette", "grey16"} or (suffix == "png" and odd not in {"exif", "cmyk"})
    image.save(file, "PNG" if png else "JPEG", **options)
    data = file.getvalue()
    if odd == "truncated":
        data = data[: len(data) // 2]
    elif odd == "junk":
        data = b"<html><body>404 Not Found</body></html>"
    return data, (width, height)


def sentence(rng: np.random.Generator, number: int) -> str:
    """A caption no other row has."""
    words = [str(rng.choice(words)) for words in (ADJECTIVES, NOUNS, VERBS, PLACES)]
    return f"A {' '.join(words)}, view {number}."
