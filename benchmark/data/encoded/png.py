"""PNG: what of a file makes its pixels, and its one transparent colour at full depth.

Pillow refuses a whole picture for what it finds beside the pixels (a colour profile or a text of
more than a megabyte, an animation's frames that are numbered wrongly, a short `gAMA`). So it is
shown only what the pixels and the orientation need: this is a function of the bytes, which changes
no setting of Pillow's and may run in any thread. Nothing is unpacked but texts that may hold an
orientation, and these up to a bound.

Specification: https://www.w3.org/TR/png-3/ .
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from .kinds import PictureError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a sample by colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""
GREY, COLOURS, PALETTE = 0, 2, 3
ORIENTED = (b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp")  # texts that Pillow turns by
LONGEST_TEXT = 8_000_000  # of all these, unpacked; libpng's bound for a chunk


@dataclass(frozen=True)
class Png:
    """A PNG as far as its pixels and orientation go.

    Attributes:
        raw: a PNG of the header, palette, palette's transparency, pixels and orientation.
        depth: bits of a sample.
        key: the samples of the colour that is transparent, of a grey or RGB picture that has one.
    """

    raw: bytes
    depth: int
    key: tuple[int, ...] | None


def read_png(raw: bytes) -> Png:
    """What the pixels of a PNG are made of.

    Chunks that a reader may skip count only where they say something of the pixels; damaged ones
    among these are dropped, but for transparency.

    Args:
        raw: bytes that begin with `SIGNATURE`.

    Raises:
        PictureError: there are no pixels, a chunk that matters does not fit its checksum, or the
            header says what the format does not have.
    """
    kind, depth, trns = -1, 0, b""
    out, room = [memoryview(SIGNATURE)], LONGEST_TEXT
    seen: set[bytes] = set()
    for name, data, span, sound in _chunks(memoryview(raw)):
        may_be_skipped = bool(name[0] & 0x20)
        if not sound and (not may_be_skipped or name == b"tRNS"):
            shown = name.decode("latin-1")
            raise PictureError(f"damaged PNG: chunk {shown} does not fit its checksum")
        if (name == b"IHDR") != (kind < 0):
            raise PictureError("damaged PNG: it does not begin with its only header")
        if name == b"IHDR":
            kind, depth = _header(bytes(data))
        elif name == b"tRNS":
            trns = bytes(data)
        elif name in (b"tEXt", b"zTXt", b"iTXt") and sound:
            text = _text(name, bytes(data[: room + 1]), room)
            room -= len(text)
            span = memoryview(text)
        elif not may_be_skipped and name not in (b"PLTE", b"IDAT", b"IEND"):
            raise PictureError(f"PNG with a chunk {name.decode('latin-1')}, which no standard has")
        pixels = not may_be_skipped or (name == b"tRNS" and kind == PALETTE)
        if pixels or (sound and name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")):
            seen.add(name)
            out.append(span)
    if b"IDAT" not in seen:
        raise PictureError("PNG that is cut off before its pixels")
    if kind == PALETTE and b"PLTE" not in seen:
        raise PictureError("damaged PNG: indices without a palette")
    return Png(b"".join(out), depth, _key(trns, kind, depth))


def see_through(image: Image.Image, png: Png) -> npt.NDArray[np.bool_]:
    """(H, W) bool: where a picture has its transparent colour, in all bits of its samples.

    Args:
        image: what Pillow made of `png.raw`, loaded.
        png: one that has such a colour.
    """
    assert png.key is not None, "asked for a colour that there is not"
    if image.mode == "RGB":
        samples = np.asarray(image).astype(np.int64)
        if png.depth == 16:  # Pillow gives the high bytes; read from the other end, the low ones
            with Image.open(io.BytesIO(png.raw)) as low:
                low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
                samples = samples * 256 + np.asarray(low)
        same: npt.NDArray[np.bool_] = samples == np.array(png.key)
        return same[:, :, 0] & same[:, :, 1] & same[:, :, 2]
    grey = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    scale = 255 // (2**png.depth - 1) if png.depth < 8 else 1
    there: npt.NDArray[np.bool_] = grey == png.key[0] * scale
    return there


def _chunks(raw: memoryview) -> Iterator[tuple[bytes, memoryview, memoryview, bool]]:
    """Of each chunk its name, data, all its bytes, and whether its checksum fits.

    It ends with the picture or with the bytes. Pixels that are cut off are given as far as they
    are there, for the decoder to say how far.
    """
    at = len(SIGNATURE)
    while at + 8 <= len(raw):
        size, name = struct.unpack_from(">I4s", raw, at)
        if not name.isalpha():
            return  # what is behind the pixels is of no account, and before them none were there
        data, span = raw[at + 8 : at + 8 + size], raw[at : at + 12 + size]
        whole = len(span) == 12 + size
        if whole or name == b"IDAT":
            right = zlib.crc32(data, zlib.crc32(name)) if whole else 0
            yield name, data, span, not whole or right == int.from_bytes(span[-4:])
        if name == b"IEND" or not whole:
            return
        at += 12 + size


def _header(data: bytes) -> tuple[int, int]:
    """Colour type and bits of a sample."""
    if len(data) != 13:
        raise PictureError(f"damaged PNG: a header of {len(data)} bytes instead of 13")
    depth, kind = data[8], data[9]
    if depth not in DEPTHS.get(kind, ()):
        raise PictureError(f"PNG with {depth} bits of colour type {kind}, which no standard has")
    return kind, depth


def _text(name: bytes, data: bytes, room: int) -> bytes:
    """A text chunk that may say the orientation, unpacked; empty for others and beyond `room`."""
    word, _, rest = data.partition(b"\0")
    if word not in ORIENTED:
        return b""
    if name == b"zTXt":
        name, text = b"tEXt", _bounded(word + b"\0", rest[1:], room)
    elif name == b"iTXt" and rest[:2] == b"\1\0":
        language, _, rest = rest[2:].partition(b"\0")
        translated, _, packed = rest.partition(b"\0")
        head = b"".join([word, b"\0\0\0", language, b"\0", translated, b"\0"])
        text = _bounded(head, packed, room)
    else:
        text = data if len(data) <= room else b""
    if not text:
        return b""
    checksum = zlib.crc32(text, zlib.crc32(name))
    return b"".join([struct.pack(">I4s", len(text), name), text, struct.pack(">I", checksum)])


def _bounded(head: bytes, packed: bytes, room: int) -> bytes:
    """A head and what is packed behind it; empty where that is damaged or beyond `room`."""
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(packed, max(room - len(head), 1))
    except zlib.error:
        return b""
    return b"" if not unpack.eof or len(head) + len(text) > room else head + text


def _key(trns: bytes, kind: int, depth: int) -> tuple[int, ...] | None:
    """Samples of the transparent colour; of fewer than 16 bits, the low ones count (11.3.1.1)."""
    channels = {GREY: 1, COLOURS: 3}.get(kind, 0)
    if not trns or not channels:
        return None
    if len(trns) < 2 * channels:
        raise PictureError(f"damaged PNG: a chunk tRNS of {len(trns)} bytes")
    values = struct.unpack_from(f">{channels}H", trns)
    return tuple(value & ((1 << depth) - 1) for value in values)
