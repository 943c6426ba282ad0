"""What bytes are that are no picture, or none that is read here."""

import re

from ...common.files import stand_in

UNKNOWN = "replace or remove the image"
CONVERT = "convert it to PNG or JPEG, or replace or remove the image"


class PictureError(ValueError):
    """Bytes that are not read as a picture: why, and what to do.

    Args:
        got: what they are, as a noun phrase.
        fix: an imperative clause.
    """

    def __init__(self, got: str, fix: str = UNKNOWN) -> None:
        super().__init__(got)
        self.fix = fix


SIGNS = {
    b"<?xml": "XML, as of an SVG drawing",
    b"<svg": "an SVG drawing",
    b"%PDF": "a PDF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\x93NUMPY": "an array of numpy",
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"II": "TIFF or a camera's raw picture, of a kind that Pillow does not read",
    b"MM": "TIFF or a camera's raw picture, of a kind that Pillow does not read",
    b"RIFF": "RIFF, damaged WebP or none",
    b"\xff\xd8": "damaged JPEG",
    b"GIF8": "damaged GIF",
    b"BM": "BMP of a kind that Pillow does not read, or damaged",
}
BASE64 = re.compile(rb"[A-Za-z0-9+/]{40}")
BRANDS = (b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1")  # of HEIF


def unknown(raw: bytes) -> PictureError:
    """What to say of bytes that no decoder takes for a picture."""
    if (found := stand_in(raw)) is not None:
        return PictureError(f"no image but {found[0]}", f"{found[1]}, or {UNKNOWN}")
    if raw[4:8] == b"ftyp" and raw[8:12] in BRANDS:
        return PictureError("HEIC, as phones make it, which Pillow does not read", CONVERT)
    for start, kind in SIGNS.items():
        if raw.startswith(start):
            return PictureError(kind, UNKNOWN if "damaged" in kind else CONVERT)
    if len(raw) > 40 and BASE64.match(raw):
        fix = f"decode the text to bytes, or {UNKNOWN}"
        return PictureError("no image but text, as of base64", fix)
    return PictureError("no image")
