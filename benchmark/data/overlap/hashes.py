"""What is compared of a picture: the digest of its pixels, a perceptual hash, its contrast.

The hash is the one of ImageHash called `phash`, on 16 x 16 coefficients: the image in grey at
64 x 64 pixels, its discrete cosine transform, and for each of the 256 lowest frequencies whether
it is above their median. It changes little when a picture is scaled or stored as JPEG again, and
much when it is cropped, turned or mirrored. A picture without any detail, a mere gradient, may
lose it by being stored as JPEG: what is counted as near is a lower bound.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...common.report import Advance
from ...errors import BenchError
from ..pixels import PixelRows, Pixels

COEFFICIENTS = 16  # a side: 256 bits
BITS = COEFFICIENTS**2
SIDE = 4 * COEFFICIENTS  # of the grey image that ImageHash transforms
NAME = f"phash of {BITS} bits"
# Grey levels. Below it many bits are noise: of 132 such pictures (sea, forest, tiles) stored as
# JPEG of quality 75, 63 % keep their hash within the radius of `near.py`, of 2,651 others 99.8 %.
FLAT = 6.0
CHUNK = 256  # pictures that are read at a time
# Each 16 bits that `near` looks up are a diagonal of the coefficients (which goes on at the other
# side): of all frequencies. Rows, say, would be all alike in smooth pictures.
_DIAGONALS = [
    row * COEFFICIENTS + (row + k) % COEFFICIENTS
    for k in range(COEFFICIENTS)
    for row in range(COEFFICIENTS)
]


@dataclass(frozen=True)
class Hashed:
    """The pictures of one split.

    Attributes:
        pixels_N: sha256 of each picture's pixels at the suite's image side.
        code_N4: (N, 4) uint64, the 256 bits of its perceptual hash.
        flat_N: whether its contrast is below `FLAT`, so that its hash says nothing.
    """

    pixels_N: tuple[bytes, ...]
    code_N4: npt.NDArray[np.uint64]
    flat_N: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pixels_N)


def library() -> str:
    """Name and version of the library of the hash.

    Raises:
        BenchError: it is not installed.
    """
    return f"ImageHash {_imagehash().__version__}"


def hash_pictures(pixels: PixelRows, advance: Advance) -> Hashed:
    """Read every picture once.

    Args:
        pixels: (N, S, S, 3) uint8.
        advance: is told how many pictures are done.

    Raises:
        BenchError: the library is not installed.
    """
    phash = _imagehash().phash

    def one(picture: Pixels) -> tuple[bytes, bytes, float]:
        # The library's own first step, taken here as the contrast is that of the same image.
        grey = Image.fromarray(picture).convert("L")
        grey = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        bits = phash(grey, hash_size=COEFFICIENTS).hash
        code = np.packbits(np.asarray(bits).ravel()[_DIAGONALS]).tobytes()
        return hashlib.sha256(picture.tobytes()).digest(), code, float(np.std(np.asarray(grey)))

    found: list[tuple[bytes, bytes, float]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pixels), CHUNK):
            found += pool.map(one, pixels[start : start + CHUNK])
            advance(min(CHUNK, len(pixels) - start))
    codes = np.frombuffer(b"".join(code for _, code, _ in found), np.uint64)
    flat = np.asarray([contrast < FLAT for _, _, contrast in found], dtype=np.bool_)
    return Hashed(tuple(sha for sha, _, _ in found), codes.reshape(-1, BITS // 64), flat)


def _imagehash() -> ModuleType:
    try:
        import imagehash
    except ImportError as error:
        raise BenchError(
            "ImageHash, which finds pictures that are nearly equal",
            "none",
            "install the extra: pip install 'cl-bench[overlap]' (in a checkout, -e '.[overlap]')",
        ) from error
    return imagehash
