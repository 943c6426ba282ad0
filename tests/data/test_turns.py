"""Batches of one task alone, those of all tasks in turn: what an epoch has, where it goes on."""

from collections import Counter
from typing import Any

import pytest
import torch

from benchmark.data.batches import join
from benchmark.data.turns import TurnLoader


@pytest.fixture
def joined(lab):
    feed = lab.feed(lab.clip())
    tasks = [lab.task(feed, data, i, 2) for i, data in enumerate(lab.pairs[:2])]
    return tasks, join([t.loader for t in tasks], mixed=False)


def _pixels(batch):
    return batch.images.pixels_B3HW


def test_an_epoch_has_every_batch_of_every_part_once(joined):
    tasks, loader = joined
    assert isinstance(loader, TurnLoader)
    assert len(loader) == sum(len(t.loader) for t in tasks)
    for epoch in (0, 3):
        want = [_pixels(b) for t in tasks for b in t.loader.epoch(epoch)]
        got = [_pixels(b) for b in loader.epoch(epoch)]
        assert len(got) == len(want)
        assert all(sum(x.equal(y) for y in want) == 1 for x in got)


def test_it_goes_on_where_it_was_and_turns_differ_between_epochs(joined):
    _, loader = joined
    whole = [_pixels(b) for b in loader.epoch(1)]
    for start in range(len(whole) + 1):
        rest = [_pixels(b) for b in loader.epoch(1, start)]
        assert len(rest) == len(whole) - start
        assert all(a.equal(b) for a, b in zip(rest, whole[start:], strict=True))


def test_the_order_of_the_tasks_does_not_matter(joined):
    tasks, loader = joined
    other = join([t.loader for t in reversed(tasks)], mixed=False)
    pairs = zip(loader.epoch(0), other.epoch(0), strict=True)
    assert all(_pixels(a).equal(_pixels(b)) for a, b in pairs)


def test_turns_are_drawn_anew_and_in_proportion():
    class Part:
        def __init__(self, name, count):
            self.name, self.count = name, count

        def __len__(self):
            return self.count

        def epoch(self, index, start=0):
            yield from ((self.name, index, n) for n in range(start, self.count))

    parts: Any = (Part("a", 30), Part("b", 10))
    loader: Any = TurnLoader(parts, ("seed",))
    epochs: list[list[Any]] = [list(loader.epoch(e)) for e in range(3)]
    for e, seen in enumerate(epochs):
        assert Counter(name for name, _, _ in seen) == {"a": 30, "b": 10}
        for name in "ab":
            own = [one for one in seen if one[0] == name]
            assert own == [(name, e, n) for n in range(len(own))]
        assert list(loader.epoch(e, 17)) == seen[17:]
    order = ["".join(name for name, _, _ in seen) for seen in epochs]
    assert len(set(order)) == 3
    assert "a" * 30 not in order[0]


def test_it_ends_with_its_parts(joined):
    tasks, loader = joined
    tasks[0].loader.leases[0].closed = True
    with pytest.raises(Exception, match="read a task's data during that task only"):
        list(loader.epoch(0))


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_joint_trains_on_whole_batches_of_the_tasks(kind, lab):
    sets = lab.sets(kind)[:2]
    apart, mixed = (lab.train("joint", sets, batches=how).method for how in ("task", "mixed"))
    moved = [torch.cat([p.flatten() for p in m.clip.weights()]) for m in (apart, mixed)]
    assert not moved[0].equal(moved[1])
