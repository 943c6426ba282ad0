"""Image files put together byte by byte from their specifications: no encoder's opinion is in them.

PNG: https://www.w3.org/TR/png-3/ ; TIFF: TIFF 6.0 (Adobe, 1992).
"""

import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int64]
PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # colour type by the number of channels; 3 is a palette


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """A PNG chunk, with a right checksum unless another is given."""
    right = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", right)


def packed(row: Samples, depth: int, order: str) -> bytes:
    """The samples of one row, of 1, 2, 4, 8, 12, 16 or 32 bits each, from the high bit on."""
    if depth % 8 == 0:
        return row.astype(f"{order}u{depth // 8}").tobytes()
    bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def adam7(samples: Samples) -> list[Samples]:
    """The seven reduced images of an interlaced PNG (section 8.1), without empty ones."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in starts]
    return [one for one in passes if one.size]


def png(
    samples: Samples,
    depth: int = 8,
    before: bytes = b"",
    after: bytes = b"",
    *,
    palette: bool = False,
    interlaced: bool = False,
    pieces: int = 1,
) -> bytes:
    """A PNG.

    Args:
        samples: (height, width, channels) with values below 2 ** depth.
        depth: bits of a sample.
        before: chunks before the pixels.
        after: chunks behind them.
        palette: the one channel is of indices.
        interlaced: by Adam7.
        pieces: the number of IDAT chunks.
    """
    height, width, channels = samples.shape
    kind = 3 if palette else PNG_KINDS[channels]
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    images = adam7(samples) if interlaced else [samples]
    rows = [b"\0" + packed(row.reshape(-1), depth, ">") for one in images for row in one]
    data = zlib.compress(b"".join(rows))
    cuts = [len(data) * i // pieces for i in range(pieces + 1)]
    parts = [chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts)]
    body = b"".join([before, *parts, after])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def tiff(
    samples: Samples,
    depth: int = 8,
    photometric: int = 2,
    *,
    order: str = "<",
    planar: bool = False,
    extra: Sequence[int] = (),
    tags: Sequence[tuple[int, int, bytes]] = (),
    pages: int = 1,
    sample_format: int | None = None,
) -> bytes:
    """An uncompressed TIFF of one strip (of one strip a channel, where planar).

    Args:
        samples: (height, width, channels).
        depth: bits of a sample.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK.
        order: "<" or ">".
        planar: channel after channel.
        extra: ExtraSamples: 0 unspecified, 1 premultiplied alpha, 2 alpha.
        tags: further ones: number, type, values as they are in the file.
        pages: the second and later ones are black.
        sample_format: 1 unsigned, 2 signed, 3 floating point.
    """
    height, width, channels = samples.shape
    size = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}

    def shorts(*values: int) -> tuple[int, bytes]:
        return 3, struct.pack(f"{order}{len(values)}H", *values)

    def longs(*values: int) -> tuple[int, bytes]:
        return 4, struct.pack(f"{order}{len(values)}I", *values)

    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    link = 4
    for page in range(pages):
        shown = samples if page == 0 else np.zeros_like(samples)
        planes = [shown[:, :, c : c + 1] for c in range(channels)] if planar else [shown]
        strips = [b"".join(packed(row.reshape(-1), depth, order) for row in p) for p in planes]
        starts = []
        for strip in strips:
            starts.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        entries = {
            256: longs(width), 257: longs(height), 258: shorts(*[depth] * channels),
            259: shorts(1), 262: shorts(photometric), 273: longs(*starts),
            277: shorts(channels), 278: longs(height), 279: longs(*map(len, strips)),
            284: shorts(2 if planar else 1),
        }  # fmt: skip
        if extra:
            entries[338] = shorts(*extra)
        if sample_format is not None:
            entries[339] = shorts(*[sample_format] * channels)
        entries |= {number: (kind, raw) for number, kind, raw in tags}
        table = b""
        for number, (kind, raw) in sorted(entries.items()):
            value = raw.ljust(4, b"\0")
            if len(raw) > 4:
                value = struct.pack(f"{order}I", len(out))
                out += raw + b"\0" * (len(raw) % 2)
            table += struct.pack(f"{order}HHI", number, kind, len(raw) // size[kind]) + value
        struct.pack_into(f"{order}I", out, link, len(out))
        out += struct.pack(f"{order}H", len(entries)) + table + b"\0\0\0\0"
        link = len(out) - 4
    return bytes(out)
