"""Encoded images: decoding to RGB."""

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import BenchError, quoted
from .encoded.jpeg import SIGNATURE as JPEG
from .encoded.jpeg import read_jpeg
from .encoded.kinds import CONVERT, UNKNOWN, PictureError, unknown
from .encoded.png import SIGNATURE as PNG
from .encoded.png import read_png, see_through
from .encoded.rgb import to_rgb, upright
from .encoded.tiff import settle

# Long side over short side. The transform scales the short side up to the model's, so that a line
# of one pixel's width would need gigabytes.
LONGEST = 100


def short(path: Path) -> str:
    """A file's name with its folder's: several datasets may have a train.parquet."""
    return "/".join(path.parts[-2:])


def decode(raw: bytes, where: str) -> Image.Image:
    """An encoded image as RGB of 8 bits: upright by its EXIF, on white where it is transparent.

    The bytes alone decide, whatever thread it runs in. Colour profiles are not applied, as in
    torchvision and in the programs that CLIP was trained with. Grey of more than 8 bits is rounded
    to the nearest of 256 values; of colours and of alpha with 16 bits the high byte is taken, which
    is less than one value from the exact one (less than two, where half transparent). What a file
    holds beside its pixels (profile, texts, a damaged EXIF block) never spoils it.

    Args:
        raw: the bytes of an image file in any format that Pillow reads; of an animation, the
            first frame is taken, and of a file of several pages the first.
        where: file and row or path, for the error.

    Raises:
        BenchError: bytes that are no image, are cut off, have more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`, a side more than `LONGEST` times the other, or
            values whose white is unknown.
    """
    try:
        png, shown, said = None, raw, dict[str, bytes]()
        if raw.startswith(PNG):
            png = read_png(raw)
            shown = png.raw
        elif raw.startswith(JPEG):
            shown, said = read_jpeg(raw)
        with Image.open(io.BytesIO(shown)) as image:
            # Up to twice its limit, Pillow itself only warns.
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError
            if max(image.size) > LONGEST * min(image.size):
                size = f"{image.width} x {image.height} pixels"
                raise PictureError(f"{size}, too thin to be scaled")
            if isinstance(image, TiffImageFile):
                settle(image)
            # A PNG or PGM of this mode holds 16 bits, which Pillow has scaled to 65535.
            if image.mode == "I" and image.format not in ("PNG", "PPM"):
                raise PictureError("32-bit grey values, whose white is unknown", CONVERT)
            image.load()
            rgb = to_rgb(image)
            if png is not None and png.key is not None:
                rgb.paste("white", mask=Image.fromarray(see_through(image, png)))
            image.info.update(said)
            return upright(rgb, image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"an image of at most {Image.MAX_IMAGE_PIXELS} pixels in {where}"
        raise BenchError(limit, "a larger one", "scale it down") from error
    except Exception as error:  # Pillow's decoders raise many kinds on broken bytes
        known = unknown(raw) if isinstance(error, UnidentifiedImageError) else error
        got = quoted(str(known), 200)[1:-1] or type(known).__name__
        fix = known.fix if isinstance(known, PictureError) else UNKNOWN
        raise BenchError(f"a whole image in {where}", f"{len(raw)} bytes, {got}", fix) from error
