"""Batches that are read ahead: the same bits, in time, within bounds, and nothing left behind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Any
from unittest import mock

import pytest
import torch
from accelerator import accelerator
from streams import POISON, Streams, streams

from benchmark.check.instruments.waits import counted
from benchmark.check.lab import Lab
from benchmark.data.batches import Loaders, close, join, make_loader
from benchmark.data.device import resident
from benchmark.data.device.ahead import DEPTH
from benchmark.data.pixels import PixelRows
from benchmark.data.tensors import Tensors
from benchmark.errors import BenchError

SIZE = 2  # images of a batch
Reads = list[tuple[str, list[int]]]


@contextmanager
def device_of(lab: Lab) -> Iterator[tuple[Lab, Streams]]:
    """The lab on a device with streams, where no set fits."""
    with accelerator() as device, streams() as found:
        yield replace(lab, device=device), found


def loader_of(lab: Lab, *data: Tensors, size: int = SIZE) -> Loaders:
    feed = lab.feed(lab.clip())
    made = [make_loader(feed, one, (0, i), size) for i, one in enumerate(data)]
    found = made[0] if len(made) == 1 else join(made)
    assert isinstance(found, Loaders)
    return found


def settled() -> None:
    """All that reads ahead is done."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("pixels"):
            thread.join()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Which thread has read which rows."""
    found: Reads = []
    real = PixelRows.read

    def read(self: PixelRows, rows: Any, out: Any) -> None:
        main = threading.current_thread() is threading.main_thread()
        found.append(("step" if main else "ahead", [int(row) for row in rows]))
        real(self, rows, out)

    monkeypatch.setattr(PixelRows, "read", read)
    return found


def ahead(reads: Reads) -> int:
    return sum(who == "ahead" for who, _ in reads)


KINDS: dict[str, Callable[[Lab], tuple[Tensors, ...]]] = {
    "pairs": lambda lab: (lab.pairs[0],),
    "labelled": lambda lab: (lab.labelled[0],),
    "joined pairs": lambda lab: lab.pairs,
    "joined labelled": lambda lab: lab.labelled,
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_the_same_bits_and_nobody_waits_on_the_device(kind: str, lab: Lab) -> None:
    data = KINDS[kind](lab)
    here = loader_of(lab, *data)
    wanted = [b.images.pixels_B3HW for start in (0, 3) for b in here.epoch(1, start)]
    before, found = torch.random.get_rng_state(), []
    with device_of(lab) as (far, queue), counted() as waits:
        loader = loader_of(far, *data)
        next(loader.epoch(0)).images.pixels_B3HW  # noqa: B018  mean and deviation go there, once
        waits.clear()
        for start in (0, 3):
            for batch in loader.epoch(1, start):
                found.append(batch.images.pixels_B3HW)
        assert waits.total() == 0, waits
        assert queue.copies == len(wanted) - 4, "but for the first two of an epoch"
        assert len(queue.made) == 1, "memory of a stream is kept for that stream"
        assert not queue.borrowed
        assert len(found) == len(wanted)
        assert all(a.cpu().equal(b) for a, b in zip(found, wanted, strict=True))
    assert torch.random.get_rng_state().equal(before)


def test_the_double_finds_what_does_not_wait_or_is_not_recorded(lab: Lab) -> None:
    with device_of(lab) as (far, queue):
        batches = loader_of(far, lab.pairs[0]).epoch(0)
        for batch in islice(batches, 2):
            batch.images.pixels_B3HW  # noqa: B018
        settled()
        with (
            mock.patch("streams.Stream.wait_event"),
            mock.patch.object(torch.Tensor, "record_stream"),
        ):
            pixels = next(batches).images.pixels_B3HW.cpu()
        assert queue.borrowed
    clip = lab.clip()
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.mean, clip.std))
    assert pixels.equal(((POISON / 255 - mean) / std).expand_as(pixels))


def test_two_batches_are_read_while_a_step_computes_and_no_more(lab: Lab, reads: Reads) -> None:
    with device_of(lab) as (far, _):
        batches = loader_of(far, lab.pairs[0]).epoch(0)
        number = 0
        for number, batch in enumerate(batches):
            assert len(reads) == ahead(reads) + min(number, 2), "nothing that was read before"
            batch.images.pixels_B3HW  # noqa: B018
            settled()
            coming = 0 if number == 0 else min(number - 1 + DEPTH, 5)
            assert ahead(reads) == coming
        assert number == 6
    rows = [row for _, some in reads for row in some]
    assert sorted(rows) == list(range(14)), "every image once"


def test_nothing_is_read_for_who_asks_for_no_pixels_or_for_one_batch(
    lab: Lab, reads: Reads
) -> None:
    with device_of(lab) as (far, _), mock.patch("threading.Thread.start") as start:
        loader = loader_of(far, lab.pairs[0])
        for batch in loader.epoch(0):
            batch.texts.tokens_ML  # noqa: B018
        for epoch in range(4):
            next(loader.epoch(epoch)).images.pixels_B3HW  # noqa: B018
    assert not start.called
    assert len(reads) == 4


def test_a_batch_that_is_asked_for_in_pieces_or_later_is_the_same(lab: Lab) -> None:
    here = [b.images.pixels_B3HW for b in loader_of(lab, lab.pairs[0]).epoch(0)]
    with device_of(lab) as (far, _):
        kept = []
        for number, batch in enumerate(loader_of(far, lab.pairs[0]).epoch(0)):
            kept.append(batch.images)
            if number % 3:
                batch.images.pixels_B3HW  # noqa: B018
            piece = batch.images[torch.tensor([1])].pixels_B3HW
            assert piece.cpu().equal(here[number][1:])
        before = threading.active_count()
        assert all(a.pixels_B3HW.cpu().equal(b) for a, b in zip(kept, here, strict=True))
        assert threading.active_count() == before


def test_an_error_in_the_thread_is_the_error_of_its_own_batch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PixelRows.read
    wrong = OSError(5, "a disk that fails")

    def read(self: PixelRows, rows: Any, out: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise wrong
        real(self, rows, out)

    monkeypatch.setattr(PixelRows, "read", read)
    with device_of(lab) as (far, _):
        batches = loader_of(far, lab.pairs[0]).epoch(0)
        for batch in islice(batches, 2):
            batch.images.pixels_B3HW  # noqa: B018
        settled()
        batch = next(batches)
        for _ in range(2):
            with pytest.raises(OSError, match="a disk that fails") as error:
                batch.images.pixels_B3HW  # noqa: B018
            assert error.value is wrong
        batches.close()  # type: ignore[attr-defined]
        for batch in islice(loader_of(far, lab.pairs[0]).epoch(0), 2):
            batch.images.pixels_B3HW  # noqa: B018
        # of batches that nobody asks for, nobody is told


def test_no_thread_outlives_its_epoch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that stops in the middle, by `break` or by an error, while a thread still reads."""
    real = PixelRows.read

    def slow(self: PixelRows, rows: Any, out: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            threading.Event().wait(0.02)
        real(self, rows, out)

    monkeypatch.setattr(PixelRows, "read", slow)
    before = set(threading.enumerate())
    with device_of(lab) as (far, _):
        loader = loader_of(far, lab.pairs[0])
        for epoch in range(2):
            try:
                for number, batch in enumerate(loader.epoch(epoch)):
                    batch.images.pixels_B3HW  # noqa: B018
                    if number == 1:
                        assert len(set(threading.enumerate()) - before) == DEPTH
                        assert not any(t.daemon for t in set(threading.enumerate()) - before)
                        if epoch:
                            raise KeyboardInterrupt
                        break
            except KeyboardInterrupt:
                pass
            assert set(threading.enumerate()) == before


def test_what_was_read_ahead_is_not_given_after_the_end_of_a_lease(lab: Lab) -> None:
    with device_of(lab) as (far, _):
        loader = loader_of(far, lab.pairs[0])
        batches = loader.epoch(0)
        for batch in islice(batches, 3):
            read = batch.images.pixels_B3HW
        kept = next(loader.epoch(1)).images
        close(loader)
        for ask in (lambda: kept.pixels_B3HW, lambda: next(batches)):
            with pytest.raises(BenchError, match="after it had ended"):
                ask()
        assert len(read) == SIZE


def test_images_that_are_given_up_inside_an_epoch_are_refused_as_ever(lab: Lab) -> None:
    with device_of(lab) as (far, _):
        loader = loader_of(far, lab.pairs[0])
        batches = loader.epoch(0)
        for batch in islice(batches, 2):
            batch.images.pixels_B3HW  # noqa: B018
        loader.keep(torch.tensor([1, 5, 7]))
        with pytest.raises(BenchError, match="between epochs"):
            next(batches)
        left = [row for b in loader.epoch(0) for row in b.images.pixels_B3HW]
        assert len(left) == 3


@pytest.mark.parametrize("fits", [0, 1])
def test_a_copy_that_finds_no_memory_is_made_in_its_turn(
    fits: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ahead of it nobody is told; in its turn the step is, and can ask again."""
    wanted = [b.images.pixels_B3HW for b in loader_of(lab, lab.pairs[0]).epoch(0)]
    real, gate = PixelRows.read, threading.Event()

    def held(self: PixelRows, rows: Any, out: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            gate.wait()
        real(self, rows, out)

    monkeypatch.setattr(PixelRows, "read", held)
    with device_of(lab) as (far, queue):
        batches = loader_of(far, lab.pairs[0]).epoch(0)
        for batch in islice(batches, 2):
            batch.images.pixels_B3HW  # noqa: B018
        gate.set()
        settled()
        batch, queue.fits, queue.full = next(batches), fits, 1
        if not fits:
            with pytest.raises(torch.OutOfMemoryError):
                batch.images.pixels_B3HW  # noqa: B018
        found = [one.images.pixels_B3HW for one in chain([batch], batches)]
        assert queue.full == 0
        assert all(a.cpu().equal(b) for a, b in zip(found, wanted[2:], strict=True))


def test_a_system_without_threads_reads_in_turn(lab: Lab) -> None:
    wanted = [b.images.pixels_B3HW for b in loader_of(lab, lab.pairs[0]).epoch(0)]
    refused = RuntimeError("can't start new thread")
    with (
        device_of(lab) as (far, queue),
        mock.patch("threading.Thread.start", side_effect=refused),
    ):
        found = [b.images.pixels_B3HW for b in loader_of(far, lab.pairs[0]).epoch(0)]
        assert all(a.cpu().equal(b) for a, b in zip(found, wanted, strict=True))
    assert queue.copies == 0


# -- sets that lie there as a whole


def test_a_set_that_is_there_is_not_read_again_and_one_beside_it_is(
    lab: Lab, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that are trained jointly, the one that had to go does not come back."""
    both = lab.pairs[:2]
    wanted = [b.images.pixels_B3HW for b in loader_of(lab, *both, size=4).epoch(0)]
    for there in (both, both[:1]):
        reads.clear()
        size = sum(data.pixels.nbytes for data in there) * 1.01
        with device_of(lab) as (far, queue):
            loader = loader_of(far, *both, size=4)
            pixels = loader.feed.ahead.resident
            monkeypatch.setattr(
                resident,
                "free_bytes",
                lambda _, r=pixels, n=size: int(n / resident.SHARE) - r.nbytes,
            )
            found = [b.images.pixels_B3HW for b in loader.epoch(0)]
            assert all(a.cpu().equal(b) for a, b in zip(found, wanted, strict=True))
            assert pixels.nbytes <= size
            whole = sum(len(rows) == len(both[0]) for _, rows in reads)
            assert whole == 2, "each is copied once"
            assert bool(queue.copies) == (len(there) == 1)


def test_a_set_whose_copy_finds_no_memory_is_read_as_one_that_does_not_fit(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "free_bytes", lambda _: 2**40)
    wanted = next(loader_of(lab, lab.pairs[0]).epoch(0)).images.pixels_B3HW
    full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(resident.Resident, "_copied", full)
    with device_of(lab) as (far, queue):
        found = [b.images.pixels_B3HW for b in loader_of(far, lab.pairs[0]).epoch(0)]
        assert found[0].cpu().equal(wanted)
    assert full.call_count == 1
    assert queue.copies


def test_sets_that_were_given_up_do_not_come_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "free_bytes", lambda _: 2**40)
    with device_of(lab) as (far, _):
        loader = loader_of(far, lab.pairs[0])
        wanted = [b.images.pixels_B3HW.cpu() for b in loader.epoch(0)]
        assert loader.feed.ahead.resident.give_up() == lab.pairs[0].pixels.nbytes
        again = [b.images.pixels_B3HW.cpu() for b in loader.epoch(0)]
        assert all(a.equal(b) for a, b in zip(again, wanted, strict=True))
        assert loader.feed.ahead.resident.nbytes == loader.feed.ahead.resident.give_up() == 0


def test_on_the_host_there_is_no_thread(lab: Lab, reads: Reads) -> None:
    with mock.patch("threading.Thread.start") as start:
        for batch in loader_of(lab, lab.pairs[0]).epoch(0):
            batch.images.pixels_B3HW  # noqa: B018
    assert not start.called
    assert len(reads) == 7
