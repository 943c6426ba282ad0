"""Encoded images: decoding to RGB."""

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import BenchError

# Long side over short side. The transform scales the short side up to the model's, so that a line
# of one pixel's width would need gigabytes.
LONGEST = 100


def short(path: Path) -> str:
    """A file's name with its folder's: several datasets may have a train.parquet."""
    return "/".join(path.parts[-2:])


def decode(raw: bytes, where: str) -> Image.Image:
    """An encoded image as RGB: upright by its EXIF, on white where it is transparent.

    Args:
        raw: the bytes of an image file in any format that Pillow reads; of an animation, the
            first frame is taken.
        where: file and row or path, for the error.

    Raises:
        BenchError: bytes that are no image, are cut off, have more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`, a side more than `LONGEST` times the other, or grey
            values whose white is unknown.
    """
    try:
        with Image.open(io.BytesIO(raw)) as image:
            # Up to twice its limit, Pillow itself only warns.
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError
            if max(image.size) > LONGEST * min(image.size):
                raise ValueError(f"{image.width} x {image.height} pixels, too thin to be scaled")
            # A PNG or PGM of this mode holds 16 bits, which Pillow has scaled to 65535.
            if image.mode == "I" and image.format not in ("PNG", "PPM"):
                raise ValueError("32-bit grey values, whose white is unknown")
            image.load()
            return _rgb(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"an image of at most {Image.MAX_IMAGE_PIXELS} pixels in {where}"
        raise BenchError(limit, "a larger one", "scale it down") from error
    except Exception as error:  # Pillow's decoders raise many kinds on broken bytes
        got = "no image" if isinstance(error, UnidentifiedImageError) else f"'{error}'"
        fix = "replace or remove the image"
        raise BenchError(f"a whole image in {where}", f"{len(raw)} bytes, {got}", fix) from error


def _upright(image: Image.Image) -> Image.Image:
    # A damaged EXIF block says nothing of the orientation and does not spoil the pixels.
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        # Pillow would clip 16-bit grey at 255; 65535 / 257 is 255.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point grey values, whose white is unknown")
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    # A copy, so that the caller never holds an object tied to the closed stream.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()
