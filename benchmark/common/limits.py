"""A ceiling on memory while a file is read that anybody may have made; and on tidying."""

import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 2**20


@contextmanager
def bounded_memory(mib: int = 1024) -> Iterator[None]:
    """Inside, this process may map at most so much more memory than it has, where Linux says.

    What asks for more gets a MemoryError (pyarrow's is one), and the ceiling is as it was after.
    Elsewhere nothing is bounded here.

    Args:
        mib: how much more.
    """
    before = _limit(mib)
    try:
        yield
    finally:
        if before is not None:
            resource.setrlimit(resource.RLIMIT_AS, before)


def _limit(mib: int) -> tuple[int, int] | None:
    """Sets the limit; what it was, or None where it was left alone."""
    if not sys.platform.startswith("linux"):
        return None
    soft, hard = before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted = pages * resource.getpagesize() + mib * MIB
    if any(0 <= limit <= wanted for limit in (soft, hard) if limit != resource.RLIM_INFINITY):
        return None  # a tighter one holds already
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    return before


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, nobody looks for circles of garbage.

    What is read from hundreds of records is kept until the end, and each search would go through
    all of it.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
