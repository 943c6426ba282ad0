"""RGB of 8 bits from what Pillow has decoded, upright and on white."""

import contextlib

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from .kinds import CONVERT, PictureError
from .tiff import white_of

ORIENTATION = 0x0112  # of EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as RGB, on white where it is transparent.

    Grey of more than 8 bits is scaled and rounded to the nearest value.

    Raises:
        PictureError: values whose white is unknown, or colours that are not converted.
    """
    if image.mode.startswith("I"):
        white, inverted = 65535, False
        if isinstance(image, TiffImageFile):
            white, inverted = white_of(image)
        values = np.asarray(image).astype(np.int64)
        grey = (values * 255 + white // 2) // white  # Pillow would clip at 255
        return Image.fromarray((255 - grey if inverted else grey).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise PictureError("floating-point grey values, whose white is unknown", CONVERT)
    if image.mode in ("LAB", "HSV"):
        raise PictureError(f"colours of the kind {image.mode}, not RGB", CONVERT)
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        layer = straight.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    # A copy, so that the caller never holds an object tied to the closed stream.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    """An RGB image turned as the EXIF block, or the XMP text, of its loaded source says."""
    orientation = 1
    # A damaged EXIF block says nothing of the orientation and does not spoil the pixels.
    with contextlib.suppress(Exception):
        orientation = source.getexif().get(ORIENTATION, 1)
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return rgb if turn is None else rgb.transpose(turn)
