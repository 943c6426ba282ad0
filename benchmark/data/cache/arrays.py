"""Arrays that are kept on the disk: decoded images, tokens, features. No torch.

Each is a file NAME.npy and beside it a note NAME.json with its sha256 and what it was made of,
which is written last: an array without its note is half written. Nothing is taken from an array
before its bytes were compared with the note, and the note with the name: one that is damaged, lies
under another's name or has another shape or type than asked for is made anew, and that is said.
"""

import ast
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.checked import stream_sha256
from ...common.digests import digest
from ...common.files import atomic
from ...common.report import Say

Array = npt.NDArray[Any]
Note = Mapping[str, Any]
SHORT = 32  # digits of a key that are a file's name
ELDER = "has a note of an earlier version, which does not say what it is of"


class DamagedArray(Exception):
    """An array that is no use, and why: words that follow the name of its file."""


_TOLD: set[tuple[Path, int, str]] = set()


def _is_news(path: Path, why: str) -> bool:
    """Whether nobody was told yet that this file, as it was last written, is no use."""
    try:
        what = path, path.stat().st_mtime_ns, why
    except OSError:
        return True
    known = what in _TOLD
    _TOLD.add(what)
    return not known


@dataclass(frozen=True)
class CachedArrays:
    """The arrays of one kind, in a folder of their own.

    Attributes:
        folder: its name in the cache folder.
        sha256: (the file's header, the array) -> what the note says of them; None where it is the
            sha256 of the elements alone, and the arrays, which may be larger than the memory, are
            mapped into it.
        key: (note, array) -> the key that it was made for, whose first digits name the file.
    """

    folder: str
    sha256: Callable[[bytes, Array], str] | None
    key: Callable[[Note, Array], str] = lambda note, _: str(note["key"])

    def path(self, root: Path, key: str) -> Path:
        """The file of an array in a cache folder, by a hex key of at least 32 digits."""
        return root / self.folder / f"{key[:SHORT]}.npy"

    def load(
        self, path: Path, shape: tuple[int | None, ...], dtype: npt.DTypeLike, say: Say
    ) -> tuple[Array, str] | None:
        """An array and its sha256, compared; None where it has to be made.

        Args:
            path: of the array.
            shape: its shape, with None where any length is right.
            dtype: its type.
            say: is told of an array that is there and of no use.
        """
        try:
            array, sha256 = self._checked(path)
            fits = len(array.shape) == len(shape) and all(
                want in (None, n) for n, want in zip(array.shape, shape, strict=True)
            )
            if not fits or array.dtype != np.dtype(dtype):
                raise DamagedArray(f"holds {array.dtype} of shape {array.shape}")
            return array, sha256
        except FileNotFoundError:
            return None
        except DamagedArray as why:
            if _is_news(path, str(why)):
                say(f"{path} {why}; it is made again")
            return None

    def trouble(self, path: Path) -> str | None:
        """What is wrong with an array that has a note: words that follow its name."""
        try:
            self._checked(path)
        except DamagedArray as why:
            return None if str(why) == ELDER else str(why)
        except FileNotFoundError:  # removed meanwhile
            return None
        return None

    def paths(self, root: Path) -> Iterator[Path]:
        """Every array with its note, by name; half-written ones are left out."""
        for path in sorted((root / self.folder).glob("*.npy")):
            if not path.name.startswith(".") and path.with_suffix(".json").is_file():
                yield path

    def save(self, path: Path, array: Array, **about: str) -> None:
        """Write an array and its note, which says what it is of: `key`, or what gives it.

        Raises:
            BenchError: the disk is full, or the folder cannot be written.
        """
        head, array = io.BytesIO(), np.ascontiguousarray(array)
        form = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(head, form)
        raw = head.getvalue()
        with atomic(path) as temporary, temporary.open("wb") as out:
            out.write(raw)
            out.write(array.tobytes())
        of = self.sha256 or (lambda _, a: hashlib.sha256(a.tobytes()).hexdigest())
        self.note(path, of(raw, array), **about)

    def note(self, path: Path, sha256: str, **about: str) -> None:
        """Write the note of an array that lies at `path`; raises as `save`."""
        with atomic(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"sha256": sha256, **about}))

    def _checked(self, path: Path) -> tuple[Array, str]:
        """An array as it was written for the file's name, and its sha256.

        Raises:
            FileNotFoundError: there is none.
            DamagedArray: it is another one.
        """
        try:
            with path.open("rb") as stream:
                note = _note(path)
                shape, dtype = _header(stream)
                array, found = self._read(stream, shape, dtype)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DamagedArray(f"cannot be read ({error.strerror or error})") from error
        if found != note["sha256"]:
            raise DamagedArray("has other bytes than when it was written")
        try:
            key = self.key(note, array)
        except KeyError as error:
            raise DamagedArray(ELDER) from error
        except IndexError as error:
            raise DamagedArray(f"holds {array.dtype} of shape {array.shape}") from error
        if key[:SHORT] != path.stem:
            raise DamagedArray("has a note that is of something else")
        return array, found

    def _read(
        self, stream: BufferedReader, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> tuple[Array, str]:
        """The array behind a header, and the sha256 of the very bytes that it consists of."""
        start, count = stream.tell(), int(np.prod(shape, dtype=object))
        size = os.fstat(stream.fileno()).st_size
        if size != start + count * dtype.itemsize:
            raise DamagedArray(f"has {size} bytes, not {start + count * dtype.itemsize}")
        if self.sha256 is None:
            found = stream_sha256(stream)
            if not count:
                return np.empty(shape, dtype), found
            mapped: Array = np.memmap(stream, dtype, "r", start, shape)
            return mapped, found
        stream.seek(0)
        head = stream.read(start)
        array = np.fromfile(stream, dtype, count).reshape(shape)
        return array, self.sha256(head, array)


def _note(path: Path) -> Note:
    try:
        note = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError as error:
        raise DamagedArray("is half written: it has no note") from error
    except ValueError as error:
        raise DamagedArray("has a damaged note") from error
    if not isinstance(note, dict) or not isinstance(note.get("sha256"), str):
        raise DamagedArray("has a damaged note")
    return note


def _header(stream: BufferedReader) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in a .npy file; the stream stands at its first byte after.

    As numpy.lib.format describes versions 1.0 and 2.0. numpy's own reader takes what Python 2 might
    have written for such a header, and warns; here it is damaged.
    """
    try:
        magic, (major, _) = stream.read(6), stream.read(2)
        digits = stream.read({1: 2, 2: 4}[major])
        form = ast.literal_eval(stream.read(int.from_bytes(digits, "little")).decode("latin1"))
        dtype = np.dtype(form.pop("descr"))
        shape, by_column = form.pop("shape"), form.pop("fortran_order")
        plain = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if magic != b"\x93NUMPY" or form or by_column or not plain or dtype.hasobject:
            raise ValueError
    except OSError:
        raise
    except Exception as error:  # bytes of any kind go through Python's parser and numpy's
        raise DamagedArray("has a damaged header") from error
    return shape, dtype


FEATURES = CachedArrays("features", lambda _, array: digest([array.tobytes()]))
SIZES = CachedArrays("sizes", lambda _, array: digest([array.tobytes()]))
TOKENS = CachedArrays(
    "tokens", lambda head, array: hashlib.sha256(head + array.tobytes()).hexdigest()
)
