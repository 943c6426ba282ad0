"""Pixels of an epoch's next batches, which are read and copied while a step computes.

A thread gathers rows into pinned memory, where torch is not needed and numpy holds no lock; the
copy to the device is queued in a second stream. A step's own stream waits for it there, on the
device. So no bit depends on who was faster, and all that speaks to the device is in one thread.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..pixels import PixelRows
from .resident import Resident

DEPTH = 2  # batches that are read before they are asked for
T = TypeVar("T")


def concurrent(device: torch.device) -> bool:
    """Whether a device computes while the host reads."""
    return device.type == "cuda"


@dataclass(frozen=True)
class SetRows:
    """What a batch has of one set: the images at `rows`, int64 on the CPU; `key` is its sha256."""

    pixels: PixelRows
    key: str
    rows: Tensor


class Reading:
    """Reads the pixels of one batch when they are asked for, or before.

    Args:
        parts: the batch, set by set.
        resident: sets of which nothing has to be read.
        stream: in which copies are queued.
        then: is called when the step has all that it asked for, so that others can begin.
    """

    def __init__(
        self,
        parts: Sequence[SetRows],
        resident: Resident,
        stream: torch.cuda.Stream,
        then: Callable[[], None],
    ) -> None:
        self._parts, self._resident, self._stream, self._then = parts, resident, stream, then
        self._thread: threading.Thread | None = None
        self._read = Future[None]()
        self._host: Tensor | None = None
        self._sent: tuple[Tensor, torch.cuda.Event] | None = None
        self._places: dict[int, slice] = {}  # in what is read; of parts that nobody has taken yet

    def begin(self) -> None:
        """Start to gather what is not on the device; once."""
        if self._thread is not None:
            return
        away, places, total = [], dict[int, slice](), 0
        for number, part in enumerate(self._parts):
            if len(part.rows) and not self._resident.has(part.pixels, part.key):
                places[number] = slice(total, total + len(part.rows))
                total += len(part.rows)
                away.append(part)
        if not away:
            return
        shape = (total, *away[0].pixels.shape1)
        host = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        outs = [host[place].numpy() for place in places.values()]

        def gather() -> None:
            try:
                for part, out in zip(away, outs, strict=True):
                    part.pixels.read(part.rows.numpy(), out)
            except BaseException as e:  # it is raised where the pixels are asked for
                self._read.set_exception(e)
            else:
                self._read.set_result(None)

        thread = threading.Thread(target=gather, name="pixels of a batch to come")
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads: they are read in their turn
            return
        self._thread, self._host, self._places = thread, host, places

    def send(self) -> None:
        """Queue the copy, if all is read; out of memory it is left for its turn."""
        if self._host is not None and self._read.done() and self._read.exception() is None:
            with suppress(torch.OutOfMemoryError):
                self._copy(self._host)

    def _copy(self, host: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        if self._sent is None:
            with torch.cuda.stream(self._stream):
                there = host.to(self._resident.device, non_blocking=True)
                self._sent = there, self._stream.record_event()
        return self._sent

    def take(self, number: int) -> Tensor:
        """The pixels of a part, uint8 (b, S, S, 3), on the device.

        Raises:
            BaseException: what reading raised, wherever it was done.
        """
        found = self._taken(number)
        self._then()
        return found

    def _taken(self, number: int) -> Tensor:
        if self._host is None or number not in self._places:
            part = self._parts[number]
            return self._resident.take(part.pixels, part.key, part.rows)
        self._read.result()
        there, copied = self._copy(self._host)
        now = torch.cuda.current_stream(self._resident.device)
        now.wait_event(copied)
        there.record_stream(now)  # or its memory would be given away while a step still reads it
        found = there[self._places.pop(number)]
        if not self._places:
            self._host = self._sent = None
        return found

    def end(self) -> None:
        """Nothing is read or held any more; what is asked for later is read then."""
        if self._thread is not None:
            self._thread.join()
        self._host = self._sent = None


class ReadAhead:
    """Gives training batches their pixels; those of the next ones are made ready meanwhile.

    Args:
        device: where they go.

    Attributes:
        resident: sets that are there as a whole.
    """

    def __init__(self, device: torch.device) -> None:
        self.resident = Resident(device)
        self._stream: torch.cuda.Stream | None = None

    def each(
        self, batches: Iterator[tuple[T, Sequence[SetRows]]]
    ) -> Generator[tuple[T, Reading | None], None, None]:
        """The batches of an epoch, each with what reads its pixels; None: as usual.

        Nothing is read ahead for a method that asks for no pixels, or for the first batch alone.
        At most `DEPTH` batches are held that nobody has asked for. When the iterator is closed, no
        thread is left.
        """
        if not concurrent(self.resident.device):
            yield from ((batch, None) for batch, _ in batches)
            return
        if self._stream is None:  # the same for all epochs, as torch keeps memory by streams
            self._stream = torch.cuda.Stream(self.resident.device)
        stream, line, going = self._stream, deque[tuple[T, Reading]](), False

        def fill(most: int) -> None:
            while len(line) < most and (one := next(batches, None)) is not None:
                line.append((one[0], Reading(one[1], self.resident, stream, then)))

        def then() -> None:
            if going:
                fill(DEPTH)
                for _, reading in line:
                    reading.begin()
                    reading.send()

        current: Reading | None = None
        try:
            while True:
                fill(1)
                if not line:
                    return
                if current is not None:
                    current.end()
                batch, current = line.popleft()
                yield batch, current
                going = True
        finally:
            going = False
            for reading in (current, *(one for _, one in line)):
                if reading is not None:
                    reading.end()
            line.clear()
