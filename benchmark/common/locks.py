"""Locks between processes, by files that the system releases when their holder dies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BenchError

CACHE = "give --cache-dir (or CL_BENCH_CACHE) a folder that can be written"


@contextmanager
def held(path: Path, waiting: Callable[[], None], remedy: str = CACHE) -> Iterator[None]:
    """A lock between processes; the system lets go of it when its holder dies.

    Args:
        path: the lock's file, which is never removed: who waits for it would wait for another.
        waiting: called once, when another process holds it; what it raises ends the waiting.
        remedy: what helps where the file cannot be made.

    Raises:
        BenchError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # FileLock would try for ever where no file can be made
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise BenchError(
            f"to write in '{path.parent}'",
            error.strerror or type(error).__name__,
            remedy,
            code=6,
        ) from error
    try:
        yield
    finally:
        lock.release()
