"""Encoded images: decoding to RGB, and the image column of a parquet file read on demand."""

import contextlib
import hashlib
import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import BenchError

KEPT_BYTES = 256 * 2**20
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


class ImageColumn:
    """The image column of one parquet file: encoded bytes or paths to files.

    Bytes are read one row group at a time, and the groups used last are kept, up to `KEPT_BYTES`
    of encoded images and at least one group. A file within that size is read once; of a larger
    one, reading in file order still reads each group once, while reading at random reads a
    group for nearly every image (write row groups of some hundred rows). Safe with threads.

    Args:
        file: the parquet file.
        name: its name in errors.
        column: a column of type struct{bytes, path}, binary (encoded bytes) or string (path).

    Raises:
        BenchError: a column of any other type.
    """

    def __init__(self, file: pq.ParquetFile, name: str, column: str) -> None:
        kind = file.schema_arrow.field(column).type
        fields = [field.name for field in kind] if pa.types.is_struct(kind) else []
        self._bytes = f"{column}.bytes" if "bytes" in fields else column
        self._path = f"{column}.path" if "path" in fields else column
        self._has_bytes = "bytes" in fields or _binary(kind)
        self._has_path = "path" in fields or _text(kind)
        if not (self._has_bytes or self._has_path):
            raise BenchError(
                f"encoded bytes, paths or {{bytes, path}} in column '{column}' of {name}",
                f"type {kind}",
                "name the image column with the key `image`",
            )
        self._file, self._name = file, name
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Any] = OrderedDict()
        sizes = (file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))
        self._starts = [0, *accumulate(sizes)]

    def cells(self) -> list[tuple[str | None, str | None]]:
        """Every row's path, and the hex sha256 of its bytes; None for what it lacks."""
        rows = range(self._starts[-1])
        paths: list[str | None] = [None for _ in rows]
        if self._has_path:
            paths = _flat(self._file.read(columns=[self._path]).column(0)).to_pylist()
        raws = (self._cell(row) if self._has_bytes else None for row in rows)
        digests = [None if raw is None else hashlib.sha256(raw).hexdigest() for raw in raws]
        return list(zip(paths, digests, strict=True))

    def fetch(self, row: int) -> bytes:
        """The encoded bytes of a row, in [0, rows), that has some."""
        raw = self._cell(row)
        assert raw is not None, "the row holds a path"
        return raw

    def _cell(self, row: int) -> bytes | None:
        g = bisect_right(self._starts, row) - 1
        with self._lock:
            if g not in self._kept:
                self._kept[g] = self._group(g)
                while len(self._kept) > 1 and self._size() > KEPT_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(g)
            raw: bytes | None = self._kept[g][row - self._starts[g]].as_py()
        return raw

    def _size(self) -> int:
        return sum(group.nbytes for group in self._kept.values())

    def _group(self, g: int) -> Any:
        # In batches, because arrow cannot build a struct column of more than 2 GiB in one piece.
        try:
            batches = self._file.iter_batches(512, row_groups=[g], columns=[self._bytes])
            return _flat(pa.chunked_array([batch.column(0) for batch in batches]))
        except (pa.ArrowException, OSError) as error:
            raise damaged(self._name, error) from error


def damaged(name: str, error: Exception) -> BenchError:
    """The error for a file that pyarrow cannot read."""
    reason = str(error).split("\n")[0].rstrip(". ")
    return BenchError(f"a readable parquet file {name}", f"'{reason}'", "write the file again")


def _binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _text(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _flat(column: Any) -> Any:
    """The only field of a struct column as a plain column, with nulls where the struct is null."""
    if not pa.types.is_struct(column.type):
        return column
    return pa.chunked_array([chunk.flatten()[0] for chunk in column.chunks], column.type[0].type)
