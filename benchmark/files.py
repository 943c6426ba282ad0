"""Files that a reader never sees half of, and files that stand for weights. No torch."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BenchError


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
    """The file that `--pretrained` names, or None for a tag; it need not exist."""
    path = Path(pretrained)
    return path if path.suffix in (".safetensors", ".pt", ".pth", ".bin") else None
