"""TIFF: what Pillow reads otherwise than the file says, put right or refused.

Specification: TIFF 6.0 (Adobe, 1992).
"""

from PIL import ImagePalette
from PIL.TiffImagePlugin import TiffImageFile

from .kinds import CONVERT, PictureError

WHITE_IS_ZERO = 0
BITS, PHOTOMETRIC, PLANAR, COLOUR_MAP, SAMPLE_FORMAT = 258, 262, 284, 320, 339
SIGNED = 2


def settle(image: TiffImageFile) -> None:
    """Makes Pillow read an opened TIFF, whose pixels are not loaded, as the file says.

    Raises:
        PictureError: grey values whose black is unknown, or channels that Pillow mixes up.
    """
    tags, xmp = image.tag_v2, image.info.pop("xmp", b"")
    if isinstance(xmp, str | bytes):  # Pillow looks into it as bytes, whatever type the tag has
        image.info["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    bits = max(tags.get(BITS, (1,)))
    if SIGNED in tags.get(SAMPLE_FORMAT, (1,)) and bits <= 16:
        raise PictureError("signed grey values, whose black and white are unknown", CONVERT)
    if image.mode in ("P", "PA") and max(tags[COLOUR_MAP]) < 256:
        # Colours of 8 bits where 16 are due, an old mistake that libtiff mends in the same way.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[COLOUR_MAP]))
    if tags.get(PLANAR, 1) == 2:
        _planes(image, bits)


def _planes(image: TiffImageFile, bits: int) -> None:
    """Of channels of 16 bits, one after the other, Pillow would take each byte for a sample."""
    for i, tile in enumerate(image.tile):
        if tile.codec_name != "raw" or not isinstance(tile.args, tuple):
            continue  # libtiff reads the others
        channel, *rest = tile.args
        if channel not in image.mode or (bits != 8 and image.mode not in ("RGB", "RGBA")):
            raise PictureError("TIFF whose channels lie one after the other", CONVERT)
        if bits == 16:
            order = "B" if image.tag_v2.prefix == b"MM" else "L"
            image.tile[i] = tile._replace(args=(f"{channel};16{order}", *rest))


def white_of(image: TiffImageFile) -> tuple[int, bool]:
    """The grey value of a 16-bit mode that is farthest from 0, and whether that is black."""
    bits = max(image.tag_v2.get(BITS, (16,)))
    return 2**bits - 1, image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
