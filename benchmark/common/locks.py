"""Locks between processes, by files that the system releases when their holder dies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BenchError

CACHE = "give --cache-dir (or CL_BENCH_CACHE) a folder that can be written"


@contextmanager
def held(path: Path, waiting: Callable[[], None], remedy: str = CACHE) -> Iterator[None]:
    """Holds a lock between processes; the system releases it when its holder dies.

    Args:
        path: the lock's file. It is never removed: one process could wait for the removed file
            while another makes it anew, and both would hold the lock.
        waiting: called once if another process holds the lock; an error that it raises ends the
            wait.
        remedy: the advice of the error where the file cannot be made.

    Raises:
        BenchError: the folder cannot be written.
    """
    lock = FileLock(path)
    if not _acquired(lock, path, remedy, 0):
        waiting()
        _acquired(lock, path, remedy, -1)
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock, path: Path, remedy: str, timeout: float) -> bool:
    """Whether the lock is ours, after so many seconds at most; -1 waits as long as it takes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # FileLock would try for ever where no file can be made
        lock.acquire(timeout=timeout)
    except Timeout:
        return False
    except OSError as error:
        raise BenchError(
            f"to write in '{path.parent}'",
            error.strerror or type(error).__name__,
            remedy,
            code=6,
        ) from error
    return True
