"""Files that are written whole or not at all, their digests, and where caches lie. No torch."""

import codecs
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from ..errors import BenchError, quoted

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent  # of the checkout, where there is one
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
BYTE_ORDER_MARKS = {  # that of UTF-32 first, as it begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is synced and takes `path`'s place.

    Raises:
        BenchError: the folder cannot be written or the disk is full; `path` is as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as e:
        raise BenchError(
            f"to write '{path}'",
            e.strerror or type(e).__name__,
            "free some space or choose another folder; what was finished before is kept",
            code=6,
        ) from e
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def weights_file(pretrained: str) -> Path | None:
    """The file that `--pretrained` names, or None for a tag; it need not exist.

    It is a file by its ending, in letters of any size, or by the way to it: "./weights", or a
    name with a slash or a dot where there is such a file. No tag has either.
    """
    path = Path(pretrained)
    if path.suffix.lower() in WEIGHTS or pretrained.lower().endswith(".index.json"):
        return path
    if path.is_absolute() or pretrained.startswith(("./", "../")):
        return path
    return path if ("/" in pretrained or "." in pretrained) and path.is_file() else None


def file_bytes(path: Path) -> bytes:
    """A file's bytes; BenchError where it is missing or may not be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def file_text(path: Path) -> str:
    """The text of a file, without its byte order mark; line ends are as they are in the file.

    It is UTF-8, or UTF-16 or UTF-32 with a byte order mark, as Notepad, PowerShell and Excel write
    them, or UTF-16 without one where every second byte is mostly zero, as in no other text.

    Raises:
        BenchError: a file that is missing or may not be read, or that is none of these.
    """
    raw, where = file_bytes(path), "/".join(path.parts[-2:])
    encoding, mark = next(
        ((e, len(m)) for m, e in BYTE_ORDER_MARKS.items() if raw.startswith(m)),
        (_without_mark(raw), 0),
    )
    name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
    fix = "save the file as UTF-8"
    try:
        text = raw[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        at = mark + error.start
        got = f"{error.reason} at byte {at} of {len(raw)} ({quoted(raw[at : at + 4])})"
        raise BenchError(f"{name} text in {where}", got, fix) from error
    if (at := text.find("\0")) >= 0:
        got = f"a zero byte after {at} characters, as in a file that is no text, or in UTF-16"
        raise BenchError(f"{name} text in {where}", got, fix)
    return text.lstrip("\ufeff")


def _without_mark(raw: bytes) -> str:
    """What a text without a byte order mark is most likely in.

    In UTF-16, the high byte of all that is in Latin-1 is zero; the low byte never is, in a text.
    """
    for low, high, encoding in ((0, 1, "utf-16-le"), (1, 0, "utf-16-be")):
        if len(raw) % 2 == 0 and 0 not in raw[low::2] and 4 * raw[high::2].count(0) > len(raw):
            return encoding
    return "utf-8"


def stand_in(raw: bytes) -> tuple[str, str] | None:
    """What has been saved in the place of a file, and how to get it; None where nothing is known.

    Args:
        raw: the first bytes of the file, some hundred at least.
    """
    head = raw[:400].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not raw:
        return "an empty file", "fetch it again"
    if not raw.strip(b"\0"):
        return "nothing but zeros, as of a download that was cut off", "fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs", "fetch the file itself: run `git lfs pull` where it is from"
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a page in HTML", "fetch the file itself, not the page about it"
    if head.startswith((b"<?xml", b"<error")) and b"<error>" in head:
        return "a server's error message", "fetch it again"
    return None


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks; BenchError where it is missing or not readable."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> BenchError:
    """The error for a file that cannot be read."""
    if isinstance(error, PermissionError):
        return BenchError("a readable file", f"no permission for {path}", "grant it", 6)
    reason = "no file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    return BenchError(f"a file {path}", reason, "correct the path or put the file there", 4)


def cache_root(given: Path | None) -> Path:
    """The cache folder: --cache-dir, else CL_BENCH_CACHE, else XDG's cache folder."""
    if given is not None:
        return given
    if env := os.environ.get("CL_BENCH_CACHE"):
        return Path(env)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cl-bench"


def in_source_tree(root: Path = ROOT) -> bool:
    """Whether the program runs from its source tree, and not as a package that was installed."""
    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")
        return bool(tomllib.loads(text)["project"]["name"] == "cl-bench")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def module_file(module: str) -> Path:
    """The file of a module, found without importing it or its packages; of none, just its name."""
    parent, _, name = module.rpartition(".")
    folder = module_file(parent).parent if parent else None
    spec = PathFinder.find_spec(module, [str(folder)]) if folder else find_spec(name)
    return Path(spec.origin if spec is not None and spec.origin else name)
