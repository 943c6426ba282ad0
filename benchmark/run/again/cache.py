"""A cache that lends what was read and decoded, and nothing that a model has computed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...common.files import cache_root
from ...errors import BenchError

_COMPUTED = frozenset({"features", "trained"})
_LENT = ("pixels", "tokens")  # that the next run finds again, whoever made them


@contextmanager
def fresh_cache(given: Path | None, beside: Path) -> Iterator[Path]:
    """A cache folder for one run, with links to the parts of the user's that are no model's.

    Args:
        given: the user's cache folder, see `common.files.cache_root`.
        beside: folder in which the new one is made; it is removed at the end.

    Raises:
        BenchError: code 6, it cannot be written.
    """
    root = cache_root(given).absolute()
    with suppress(OSError):  # then the run keeps them in its own
        for name in _LENT:
            (root / name).mkdir(parents=True, exist_ok=True)
    try:
        beside.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=beside, prefix=".cache-")
    except OSError as e:
        raise BenchError(
            f"to write into '{beside}'", e.strerror or type(e).__name__,
            "give --output-dir another folder", 6,
        ) from e  # fmt: skip
    with folder as name:
        for part in sorted(root.iterdir()) if root.is_dir() else ():
            if part.name not in _COMPUTED:
                (Path(name) / part.name).symlink_to(part)
        yield Path(name).absolute()
