"""The decoded cache: every image once through the eval transform, as uint8 in a memory map.

Resizing and cropping CLIP images ends in uint8, so that the cache is exact. A cache file is named
by what it derives from (source content, transform); it is written whole or not at all, and every
byte of it is compared with its sha256 before one is used.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from ...common.digests import digest
from ...common.files import atomic
from ...common.report import Advance, Say, ignore, silent
from ...errors import BenchError
from ..pixels import PixelRows, Pixels
from ..split import ImageSource, StoredImages
from .arrays import Array, CachedArrays, Note

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


def _key(note: Note, array: Array) -> str:
    """What the note of an array says that it is of; the eval transform goes without saying."""
    made_by = note.get("transform", transform_id(array.shape[1]))
    return digest([str(note["content"]), str(made_by)])


PIXELS = CachedArrays("pixels", None, _key)
Fit = Callable[[int, Image.Image], Pixels]
"""A source's index and its image -> pixels (S, S, 3) as they are kept."""


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
    source: ImageSource | StoredImages,
    size: int,
    root: Path,
    advance: Advance = ignore,
    say: Say = silent,
) -> Decoded:
    """The source's images after the transform, from the cache or decoded now.

    Args:
        source: images to decode, or decoded ones.
        size: side in pixels.
        root: cache folder.
        advance: is called with the number of images that were decoded.
        say: is told of a damaged file that is made again.

    Raises:
        BenchError: an image cannot be decoded, the cache cannot be written, or a stored source
            was not prepared at that size or is damaged.
    """
    if isinstance(source, StoredImages):
        return Decoded(*source.pixels(size))
    path = PIXELS.path(root, digest([source.content, transform_id(size)]))
    found = mapped(path, source.size, size, say)
    if found is None:
        build(source, size, path, lambda _, image: fit(image, size), advance)
        found = mapped(path, source.size, size, say)
    return found or unread(path)


def check_ahead(sources: Iterable[ImageSource | StoredImages], size: int, root: Path) -> None:
    """Read the cached files of several sources at once, a thread for each.

    A digest is taken from one end of a file to the other, so that only several files keep several
    cores busy. `decoded` then finds each compared; what is not there or damaged is left to it.

    Args:
        sources: as for `decoded`; stored ones compare their rows in threads of their own.
        size: side in pixels.
        root: cache folder.
    """
    contents = {source.content for source in sources if isinstance(source, ImageSource)}
    paths = [PIXELS.path(root, digest([one, transform_id(size)])) for one in sorted(contents)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(PIXELS.trouble, paths))


def unread(path: Path) -> NoReturn:
    """Raises the BenchError for a file that cannot be read where it was just written."""
    raise BenchError(
        f"a readable cache file '{path}'", "one that changed while it was written", "run again"
    )


def mapped(path: Path, n: int, size: int, say: Say = silent) -> Decoded | None:
    """Decoded images as they lie in the cache; None where they have to be made.

    Args:
        path: of the array.
        n: number of images.
        size: side in pixels.
        say: is told of a file that is there and of no use.
    """
    found = PIXELS.load(path, (n, size, size, 3), np.uint8, say)
    if found is None:
        return None
    return Decoded(PixelRows.of([found[0]], (size, size, 3)), found[1])


def build(
    source: ImageSource,
    size: int,
    path: Path,
    fit: Fit,
    advance: Advance = ignore,
    **about: str,
) -> None:
    """Decode every image of a source into one array (N, size, size, 3), with its note.

    Args:
        source: the images.
        size: side in pixels.
        path: of the array.
        fit: makes an image's pixels; in several threads at a time.
        advance: is called with the number of images that were decoded.
        about: what the note says beside the source's content.

    Raises:
        BenchError: an image cannot be decoded, or the cache cannot be written.
    """
    workers = os.cpu_count() or 1
    shape = (source.size, size, size, 3)
    waiting: deque[tuple[int, Future[bytes]]] = deque()

    def pixels(i: int, opened: Callable[[], Image.Image]) -> bytes:
        return fit(i, opened()).tobytes()

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
                waiting.append((i, pool.submit(pixels, i, opened)))
                if len(waiting) >= workers * AHEAD:
                    write()
            while waiting:
                write()
        finally:
            for _, block in waiting:
                block.cancel()
        out.seek(first)
        sha256 = hashlib.file_digest(out, "sha256").hexdigest()
    PIXELS.note(path, sha256, content=source.content, **about)
