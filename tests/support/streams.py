"""A second stream of the pretended accelerator, under the rules of CUDA's.

From "CUDA semantics" in torch's documentation: what is queued in one stream runs in order; between
streams there is no order but by events that are waited for; a copy from pinned memory that need
not be waited for reads its source when it runs; memory that was allocated in one stream is used in
another only with `record_stream`. Here every stream but the usual one is as late as may be: nothing
runs before an event of it is waited for, and until then the memory is poison.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.check.instruments.pretended import Elsewhere
from benchmark.check.instruments.waits import is_pinned
from benchmark.data.device import ahead

POISON = 171
COPY = torch.ops.aten._to_copy.default


class Event:
    """What a stream has been given when it was recorded."""

    def __init__(self, stream: "Stream", count: int) -> None:
        self.stream, self.count = stream, count


class Stream:
    """Work that runs when somebody waits for it."""

    def __init__(self, device: object = None) -> None:
        self.work: list[Callable[[], object]] = []
        self.done = 0

    def record_event(self) -> Event:
        return Event(self, len(self.work))

    def wait_event(self, event: Event) -> None:
        for run in event.stream.work[event.stream.done : event.count]:
            run()
        event.stream.done = max(event.stream.done, event.count)


def _memory(x: Elsewhere) -> int:
    return x.host.untyped_storage().data_ptr()


class Streams:
    """All of them.

    Attributes:
        usual: in which a step computes. copies: made in others. made: those others.
        borrowed: of memory of others, what was used in the usual one and is not recorded.
        fits, full: so many copies of a second stream find memory from now on, then so many none.
    """

    def __init__(self) -> None:
        self.usual = self.current = Stream()
        self.made: list[Stream] = []
        self.copies, self.fits, self.full = 0, 0, 0
        self.owned: dict[int, Tensor] = {}  # kept, so that no address is given twice
        self.used, self.recorded = set[int](), set[int]()

    @property
    def borrowed(self) -> set[int]:
        return self.used - self.recorded

    def make(self, device: object = None) -> Stream:
        self.made.append(Stream())
        return self.made[-1]

    @contextmanager
    def inside(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def record(self, x: Elsewhere, stream: Stream) -> None:
        assert stream is self.usual
        self.recorded.add(_memory(x))


class _Late(TorchDispatchMode):
    """What a second stream is given waits."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.streams = streams

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        s, kwargs = self.streams, kwargs or {}
        if s.current is s.usual:
            found = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Elsewhere)]
            s.used |= {_memory(x) for x in found} & s.owned.keys()
            return func(*args, **kwargs)
        assert func is COPY, f"{func} in a second stream"
        assert kwargs["non_blocking"], "a copy that the host waits for"
        assert is_pinned(args[0]), "a copy that the host waits for"
        if s.fits:
            s.fits -= 1
        elif s.full:
            s.full -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB")
        made, source = func(*args, **kwargs), args[0]
        host = made.host
        host.fill_(POISON)
        s.current.work.append(lambda: host.copy_(source))
        s.owned[_memory(made)] = host
        s.copies += 1
        return made


@contextmanager
def streams() -> Iterator[Streams]:
    """Inside `accelerator()`: the device has streams, and data is read ahead."""
    found = Streams()
    with ExitStack() as stack:
        for name, double in (
            ("Stream", found.make), ("stream", found.inside),
            ("current_stream", lambda device=None: found.current),
        ):  # fmt: skip
            stack.enter_context(mock.patch.object(torch.cuda, name, double))
        stack.enter_context(mock.patch.object(ahead, "concurrent", return_value=True))
        record = lambda x, stream: found.record(x, stream)  # noqa: E731  a function, to be bound
        stack.enter_context(mock.patch.object(Tensor, "record_stream", record))
        stack.enter_context(_Late(found))
        yield found
