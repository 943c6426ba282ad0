"""What an epoch has: each example once, no image twice in a batch, the same whenever asked."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.common.seeds import generator
from benchmark.data.batches import join, make_loader
from benchmark.data.sampler import apart, cut


@pytest.mark.parametrize(
    ("images", "captions", "size"), [(40, 5, 8), (40, 5, 40), (100, 2, 33), (1000, 5, 256)]
)
def test_no_batch_has_an_image_twice(images, captions, size):
    owner_N = torch.arange(images).repeat_interleave(captions)
    for seed in range(3):
        order = torch.randperm(len(owner_N), generator=torch.Generator().manual_seed(seed))
        found = apart(order, owner_N, size)
        assert sorted(found.tolist()) == list(range(len(owner_N)))
        for batch in cut(found, size):
            assert len(owner_N[batch].unique()) == len(batch)
        moved = (found != order).float().mean()  # the order stays that of the draw, but for these
        assert moved < min(1, 4 * captions * size / images / captions)


def test_an_image_with_too_many_captions_stays_beside_itself():
    """Seven captions in three batches: nothing is lost, and nobody else is beside its own twin."""
    counts = [7, 2, 2, 2, 1, 1]
    owner_N = torch.arange(6).repeat_interleave(torch.tensor(counts))
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    found = apart(order, owner_N, 5)
    assert sorted(found.tolist()) == list(range(15))
    alone = apart(torch.arange(4), torch.zeros(4, dtype=torch.int64), 2)
    assert sorted(alone.tolist()) == [0, 1, 2, 3]


def _pairs(data, batch):
    """(image, caption) of each example, by the pixels and the tokens that a method sees."""
    captions = [tuple(row) for row in data.tokens_ML.tolist()]
    assert len(set(captions)) == len(captions)
    return [captions.index(tuple(row)) for row in batch.texts.tokens_ML.tolist()]


def test_all_captions_are_each_once_in_an_epoch_beside_their_image(lab, captioned):
    feed = lab.feed(lab.clip())
    loader = make_loader(feed, captioned, (0, "x"), 5, every_caption=True)
    total = len(captioned.tokens_ML)
    assert len(loader) == -(-total // 5) > -(-len(captioned) // 5)
    orders = []
    for epoch in range(3):
        seen, batches = [], list(loader.epoch(epoch))
        assert len(batches) == len(loader)
        for batch in batches:
            places = torch.tensor(_pairs(captioned, batch))
            rows = captioned.owner_M[places]
            want = feed.images(captioned, rows).pixels_B3HW
            assert batch.images.pixels_B3HW.equal(want)
            assert batch.paired
            assert batch.target_B.equal(torch.arange(len(rows)))
            assert len(rows.unique()) == len(rows)
            seen += places.tolist()
        assert sorted(seen) == list(range(total))
        orders.append(seen)
        for start in (1, len(batches) - 1, len(batches)):
            rest = [p for b in loader.epoch(epoch, start) for p in _pairs(captioned, b)]
            assert rest == seen[len(seen) - len(rest) :]
            assert len(rest) == sum(len(b.images) for b in batches[start:])
    assert len(set(map(tuple, orders))) == 3


def test_captions_of_given_up_images_are_no_examples(lab, captioned):
    loader = make_loader(lab.feed(lab.clip()), captioned, (0, "x"), 5, every_caption=True)
    kept = torch.tensor([4, 1, 9])
    loader.keep(kept)
    own = [m for m in range(len(captioned.tokens_ML)) if int(captioned.owner_M[m]) in kept.tolist()]
    assert len(loader) == -(-len(own) // 5)
    assert sorted(p for b in loader.epoch(0) for p in _pairs(captioned, b)) == own


def test_joined_loaders_have_every_caption_of_all(lab, captioned):
    feed = lab.feed(lab.clip())
    parts = [
        make_loader(feed, data, (0, i), 6, every_caption=True)
        for i, data in enumerate((captioned, lab.pairs[0]))
    ]
    one, two = join(parts), join(parts[::-1])
    total = len(captioned.tokens_ML) + len(lab.pairs[0].tokens_ML)
    texts = Counter[tuple[int, ...]]()
    for a, b in zip(one.epoch(1), two.epoch(1), strict=True):
        assert a.texts.tokens_ML.equal(b.texts.tokens_ML)
        texts.update(map(tuple, a.texts.tokens_ML.tolist()))
    want = [*captioned.tokens_ML.tolist(), *lab.pairs[0].tokens_ML.tolist()]
    assert sum(texts.values()) == total
    assert texts == Counter(map(tuple, want))


def test_one_caption_of_each_is_drawn_as_records_were_made(lab, captioned):
    """The rule of every record, written down once more: no bit of it may change."""
    loader = make_loader(lab.feed(lab.clip()), captioned, (3, "x"), 5)
    order = torch.randperm(13, generator=generator(3, "x", "order", 2)).numpy()
    draw = torch.rand(13, generator=generator(3, "x", "caption", 2))
    for rows, batch in zip(np.array_split(order, 3), loader.epoch(2), strict=True):
        want = []
        for row in rows.tolist():
            mine = (captioned.owner_M == row).nonzero()[:, 0]
            want.append(int(mine[int(draw[row] * len(mine))]))
        assert _pairs(captioned, batch) == want


@pytest.mark.parametrize("every_caption", [False, True])
def test_with_one_caption_an_image_there_is_no_choice(lab, every_caption):
    data = lab.pairs[0]
    firsts = data.tokens_ML[data.first_N[:-1]]
    data = replace(
        data, tokens_ML=firsts, owner_M=torch.arange(len(data)), first_N=torch.arange(len(data) + 1)
    )
    feed = lab.feed(lab.clip())
    plain = [b.texts.tokens_ML for b in make_loader(feed, data, (0,), 4).epoch(5)]
    loader = make_loader(feed, data, (0,), 4, every_caption)
    for a, b in zip(plain, loader.epoch(5), strict=True):
        assert a.equal(b.texts.tokens_ML)
