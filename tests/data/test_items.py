"""What a method sees of test items beside them, and that a piece of a batch costs a piece."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.data.items import Items
from benchmark.protocol.lookup import Lookup
from benchmark.protocol.types import Context, Images, Texts


class Watch(torch.Tensor):
    """A table that remembers how many of its rows were taken."""

    taken: list[int]

    @classmethod
    def of(cls, table_ND: Tensor) -> "Watch":
        watch = table_ND.as_subclass(cls)
        watch.taken = []
        return watch

    def __getitem__(self, rows: Any) -> Tensor:
        found = self.as_subclass(Tensor)[rows]
        self.taken.append(len(found))
        return found


class Part:
    def digest(self) -> str:
        return "part"


class Tables:
    """In place of `FrozenFeatures`: three tables that watch."""

    def __init__(self, data: Any) -> None:
        table_ND, table_MD = (torch.rand(n, 4) for n in (len(data), len(data.tokens_ML)))
        self.image, self.text = Watch.of(table_ND), Watch.of(table_MD)
        self.other = {"image": Watch.of(1 - table_ND), "text": Watch.of(1 - table_MD)}

    def images(self, pixels: Any, key: str) -> Tensor:
        return self.image

    def texts(self, tokens_ML: Tensor, key: str) -> Tensor:
        return self.text

    def encoded(self, kind: str, key: str, name: str, n: int, encode: Any) -> Tensor:
        return self.other[kind]


def _encode(items: Images | Texts) -> Tensor:
    raise AssertionError("the tables are there")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_piece_of_a_batch_takes_the_rows_of_that_piece_alone(kind: str, lab: Any) -> None:
    """All prompts of ImageNet are one batch, of which 256 are asked for at a time."""
    data, tables = lab.pairs[0], Tables(lab.pairs[0])
    frozen: Any = tables
    feed = Items(lab.clip(), frozen)
    rows = torch.arange(len(data)).flip(0)
    items: Images | Texts
    if kind == "image":
        context = Context(task=3, partner=Lookup(partial(feed.captions_of, data), rows))
        items = feed.images(data, rows, context, cached=True)
    else:
        context = Context(task=3, partner=Lookup(partial(feed.image_of, data), rows))
        items = feed.texts(data.tokens_ML, data.text_key, rows, context, cached=True)
    own, paired = (tables.image, tables.text) if kind == "image" else (tables.text, tables.image)
    want = {
        "frozen": items.frozen(),
        "cached": items.cached(Part(), _encode) if items.cached else None,
        "partner": items.partner,
    }
    pick, again = torch.tensor([4, 0, 7, 2]), torch.tensor([2, 1])
    piece = items[pick][again]
    for table in (own, paired, tables.other[kind]):
        table.taken.clear()
    assert piece.cached is not None
    got = {
        "frozen": piece.frozen(),
        "cached": piece.cached(Part(), _encode),
        "partner": piece.partner,
    }
    for name, whole in want.items():
        assert whole is not None
        found = got[name]
        assert found is not None
        assert found.equal(whole[pick[again]]), name
    assert own.taken == [2]
    assert tables.other[kind].taken == [2]
    assert max(paired.taken) <= 2 * max(int(c) for c in data.first_N.diff())
    assert piece.task == 3


def test_what_knows_no_rows_is_taken_whole_and_cut(lab: Any) -> None:
    """As in a training batch that was joined of several sets."""
    table_BD = torch.rand(5, 2)
    images = Images(torch.zeros(5, 3, 2, 2), lambda: table_BD, Context(partner=lambda: None))
    piece = images[torch.tensor([3, 1])]
    assert piece.frozen().equal(table_BD[[3, 1]])
    assert piece.partner is None
    assert len(piece) == 2
    assert piece.cached is None


def test_training_items_are_told_nothing(lab: Any) -> None:
    data = lab.pairs[0]
    images = lab.feed(lab.clip()).images(data, torch.arange(2))
    assert images.cached is None
    assert images._context == Context()
