"""The decoded cache: every image once through the eval transform, as uint8 in a memory map.

Resizing and cropping CLIP images ends in uint8, so that the cache is exact. A cache file is named
by what it derives from (source content, transform); it is written whole or not at all.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...common.digests import digest
from ...common.files import atomic
from ...common.report import Advance, ignore
from ...errors import BenchError
from ..pixels import PixelRows, Pixels
from ..split import ImageSource, StoredImages
from .arrays import PIXELS

VERSION = "1"  # of the transform below; a change makes every cache stale
AHEAD = 16  # images per worker that wait to be written


@dataclass(frozen=True)
class Decoded:
    """Decoded images: pixels (N, S, S, 3) uint8, memory-mapped, and their sha256."""

    pixels: PixelRows
    digest: str


def transform_id(size: int) -> str:
    """Name of the eval transform, part of every cache key and of the record."""
    return f"shortest-{size}-bicubic-centre-crop-uint8-v{VERSION}"


def fit(image: Image.Image, size: int) -> Pixels:
    """CLIP's eval transform up to uint8: shortest side to `size` (bicubic), centre crop.

    Args:
        image: RGB, any size.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8, equal to torchvision's Resize and CenterCrop.
    """
    w, h = image.size
    if min(w, h) != size:
        w, h = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
        image = image.resize((w, h), Image.Resampling.BICUBIC)
    left, top = round((w - size) / 2), round((h - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.uint8)


def decoded(
    source: ImageSource | StoredImages, size: int, root: Path, advance: Advance = ignore
) -> Decoded:
    """The source's images after the transform, from the cache or decoded now.

    Args:
        source: images to decode, or decoded ones.
        size: side in pixels.
        root: cache folder.
        advance: is called with the number of images that were decoded.

    Raises:
        BenchError: an image cannot be decoded, the cache cannot be written, or a stored source
            was not prepared at that size.
    """
    if isinstance(source, StoredImages):
        return Decoded(*source.pixels(size))
    path = PIXELS.path(root, digest([source.content, transform_id(size)])[:32])
    found = _mapped(path, source.size, size)
    if found is None:
        _build(source, size, path, advance)
        found = _mapped(path, source.size, size)
    if found is None:
        raise BenchError(
            f"a readable cache file '{path}'", "one that changed while it was written", "run again"
        )
    return found


def _mapped(path: Path, n: int, size: int) -> Decoded | None:
    found = PIXELS.load(path)
    if found is None or found[0].shape != (n, size, size, 3) or found[0].dtype != np.uint8:
        return None
    return Decoded(PixelRows.of([found[0]], (size, size, 3)), found[1])


def _pixels(opened: Callable[[], Image.Image], size: int) -> bytes:
    return fit(opened(), size).tobytes()


def _build(source: ImageSource, size: int, path: Path, advance: Advance) -> None:
    workers = os.cpu_count() or 1
    shape = (source.size, size, size, 3)
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    # Plain writes: a memory map of a full disk would end the process instead of raising.
    with (
        atomic(path) as temporary,
        temporary.open("wb+") as out,
        ThreadPoolExecutor(workers) as pool,
    ):
        np.lib.format.write_array_header_2_0(
            out, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        first = out.tell()

        def write() -> None:
            i, block = waiting.popleft()
            out.seek(first + i * size * size * 3)
            out.write(block.result())
            advance(1)

        try:
            for i, opened in source.each():
                waiting.append((i, pool.submit(_pixels, opened, size)))
                if len(waiting) >= workers * AHEAD:
                    write()
            while waiting:
                write()
        finally:
            for _, block in waiting:
                block.cancel()
        out.seek(first)
        sha256 = hashlib.file_digest(out, "sha256").hexdigest()
    PIXELS.note(path, sha256, content=source.content)
