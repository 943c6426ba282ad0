"""Work in threads: one item ahead of what is asked for, or many at the same time.

A download goes on while another is decoded; a hub far away is asked for many files at once.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def together(
    items: Sequence[Item], work: Callable[[Item], Made], threads: int
) -> Generator[Future[Made], None, None]:
    """Do all items in some threads; gives what becomes of each, in order.

    Daemon threads, which no executor has: a request cannot be interrupted, and the process must be
    able to end. Where the results are not asked for any more, nothing new is begun.

    Args:
        items: what is done.
        work: item -> result; what it raises, the result raises.
        threads: at most.
    """
    results: list[Future[Made]] = [Future() for _ in items]
    todo = iter(zip(items, results, strict=True))
    one, stop = threading.Lock(), threading.Event()

    def run() -> None:
        while not stop.is_set():
            with one:
                item, result = next(todo, (None, None))
            if result is None:
                return
            try:
                result.set_result(work(item))  # type: ignore[arg-type]  # there, as its result is
            except BaseException as error:
                result.set_exception(error)

    for _ in range(min(threads, len(results))):
        threading.Thread(target=run, daemon=True).start()
    try:
        yield from results
    finally:
        stop.set()


class Ahead(Generic[Made]):
    """Makes items in a thread of its own, at most one more than is in use.

    A daemon thread, because a transfer cannot be interrupted: the process must be able to end.

    Args:
        indices: what is made, in order.
        make: index -> item; what it raises is raised where the item is wanted.
    """

    def __init__(self, indices: Sequence[int], make: Callable[[int], Made]) -> None:
        self._indices, self._make = indices, make
        self._room, self._there = threading.Semaphore(2), threading.Semaphore(0)
        self._done: list[Made | BaseException] = []
        self._stop = False

    def __enter__(self) -> Iterator[tuple[int, Made]]:
        threading.Thread(target=self._work, daemon=True).start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._room.release()

    def _work(self) -> None:
        for index in self._indices:
            self._room.acquire()
            if self._stop:
                return
            try:
                self._done.append(self._make(index))
            except BaseException as error:
                self._done.append(error)
                return
            finally:
                self._there.release()

    def _take(self) -> Iterator[tuple[int, Made]]:
        for index in self._indices:
            self._there.acquire()
            found = self._done.pop(0)
            if isinstance(found, BaseException):
                raise found
            yield index, found
            self._room.release()
