"""Encoded images: decoding to RGB, and the image column of a parquet file read on demand."""

import hashlib
import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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

KEPT_BYTES = 256 * 2**20
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
