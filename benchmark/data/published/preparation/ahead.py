"""Work that is done one item ahead of what is asked for: a download, while another is decoded."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Made = TypeVar("Made")


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
