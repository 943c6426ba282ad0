"""What a method sees of test items beside them, and that a piece of a batch costs a piece."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.backbones.content import forget_all
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.items import Items, Rules
from benchmark.errors import MethodError
from benchmark.protocol.items import OwnTower, together
from benchmark.protocol.lookup import Lookup
from benchmark.protocol.types import Context, Images, Texts


class Part:
    """An encoder beside the backbone, and how many of which items it was given at a time."""

    def __init__(self, name: str = "part", factor: float = -1.0) -> None:
        self.name, self.factor = name, factor
        self.seen: list[int] = []

    def digest(self) -> str:
        return self.name

    def __call__(self, items: Any) -> Tensor:
        self.seen.append(len(items))
        content = items.pixels_B3HW if isinstance(items, Images) else items.tokens_ML.float()
        return self.factor * content.flatten(1)[:, :8].contiguous()


@pytest.fixture
def feed(lab: Any, tmp_path: Path) -> Items:
    clip = lab.clip().eval()
    about = (clip.name, clip.fingerprint)
    return Items(clip, FrozenFeatures(lab.clip, about, clip.size, tmp_path))


Make = Callable[..., Any]


@pytest.fixture(params=["image", "text"])
def make(request: pytest.FixtureRequest, lab: Any, feed: Items) -> Make:
    data = lab.pairs[0]

    def items(rows: Tensor, cached: bool = True) -> Images | Texts:
        if request.param == "image":
            partner = Lookup(partial(feed.captions_of, data), rows)
            return feed.images(data, rows, Context(task=3, partner=partner), cached)
        partner = Lookup(partial(feed.image_of, data), rows)
        told = Context(task=3, partner=partner)
        return feed.texts(data.tokens_ML, data.text_key, rows, told, cached)

    return items


@torch.no_grad()
def test_a_piece_of_a_batch_has_its_own_rows(make: Make, feed: Items) -> None:
    items, part = make(torch.arange(14).flip(0)), Part()
    want = {
        "frozen": items.frozen(),
        "cached": items.cached(part, part),
        "partner": items.partner,
    }
    pick, again = torch.tensor([4, 0, 7, 2]), torch.tensor([2, 1])
    piece = items[pick][again]
    part.seen.clear()
    got = {
        "frozen": piece.frozen(),
        "cached": piece.cached(part, part),
        "partner": piece.partner,
    }
    for name, whole in want.items():
        assert got[name].equal(whole[pick[again]]), name
    assert not part.seen, "what is there was computed again"
    assert piece.task == 3


@torch.no_grad()
def test_what_is_not_asked_for_is_not_computed(make: Make) -> None:
    part = Part()
    one = make(torch.tensor([3, 5])).cached(part, part)
    assert sum(part.seen) == 2
    more = make(torch.tensor([5, 9, 3])).cached(part, part)
    assert sum(part.seen) == 3
    assert more[[2, 0]].equal(one)


@torch.no_grad()
def test_a_row_holds_for_what_it_was_given(make: Make) -> None:
    """Other bits are another row; the same item twice under two of them is two."""
    items = make(torch.tensor([1, 2, 1]))
    given, part = torch.tensor([[1.0], [2.0], [3.0]]), Part()

    def weighed(some: Any, given: Tensor) -> Tensor:
        return part(some) * given

    first = items.cached(part, weighed, given)
    assert sum(part.seen) == 3
    assert first[2].equal(3 * first[0])
    items[torch.tensor([1])].cached(part, weighed, given[1:2])
    assert sum(part.seen) == 3
    items[torch.tensor([1])].cached(part, weighed, -given[1:2])
    assert sum(part.seen) == 4
    assert first.shape == (3, 8)


@torch.no_grad()
def test_another_part_another_code_and_other_weights_are_another_row(
    make: Make, feed: Items
) -> None:
    items = make(torch.arange(4))
    one, other = Part("one"), Part("other", 2.0)
    first = items.cached(one, one)
    assert not items.cached(other, other).equal(first)
    assert items.cached(one, lambda some: 0 * one(some)).abs().sum() == 0
    changed = Part("one", 5.0)
    assert items.cached(changed, changed).equal(first), "the digest is what tells"
    for p in feed.clip.parameters():
        p.mul_(1.5)
    assert not items.cached(changed, changed).equal(first)


@torch.no_grad()
def test_what_no_digest_tells_is_not_kept(make: Make, feed: Items) -> None:
    """A delta, a hook or a function in a method's place: rows are computed whenever asked for."""
    items, part = make(torch.arange(4)), Part()
    place = next(iter(feed.clip.places(("mlp.parallel",)).values()))

    def twice() -> int:
        part.seen.clear()
        items.cached(part, part)
        items.cached(part, part)
        return sum(part.seen)

    with feed.clip.adapted({"image.0.mlp.parallel": lambda x: x}, ("mlp.parallel",)):
        assert twice() == 8
    hook = place.register_forward_hook(lambda *_: None)
    assert twice() == 8
    hook.remove()
    vars(feed.clip)["image"] = lambda x: x
    assert twice() == 8
    del vars(feed.clip)["image"]
    assert twice() in (0, 4)
    items.cached(part, part)
    part.seen.clear()
    assert twice() == 0


def _heads(clip: Any, tower: str) -> Any:
    blocks = clip.visual.transformer if tower == "image" else clip.transformer
    return blocks.resblocks[0].attn


def _set(where: Any, name: str, value: Any) -> None:
    setattr(where, name, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda clip, tower: _set(_heads(clip, tower), "heads", 2),
        lambda clip, _: set(vars(m).update(eps=0.1) for m in clip.modules() if hasattr(m, "eps")),
        lambda clip, _: _set(clip.visual.conv1, "padding", (1, 1)),
        lambda clip, tower: _heads(clip, tower).register_buffer("extra", torch.ones(1)),
        lambda clip, tower: _set(_heads(clip, tower), "note", torch.ones(1)),
    ],
    ids=["heads", "eps", "padding", "buffer", "tensor"],
)
@torch.no_grad()
def test_a_setting_of_a_module_is_another_row(change: Any, make: Make, feed: Items) -> None:
    """From the next stage on, and so are the frozen features no longer the backbone's own."""
    items, part = make(torch.arange(4)), Part()
    forget_all()
    items.cached(part, part)
    change(feed.clip, "image" if isinstance(items, Images) else "text")
    forget_all()
    items.cached(part, part)
    items.cached(part, part)
    assert sum(part.seen) == 8
    own = OwnTower(feed.clip)
    torch.testing.assert_close(items.cached(feed.clip, own), own(items))


@torch.no_grad()
def test_a_function_in_the_place_of_a_modules_method_is_not_kept(make: Make, feed: Items) -> None:
    items, part = make(torch.arange(4)), Part()
    norm = feed.clip.ln_final
    vars(norm)["extra_repr"] = lambda: ""
    forget_all()
    for _ in range(2):
        items.cached(part, part)
    assert sum(part.seen) == 8


@torch.no_grad()
def test_code_is_told_apart_to_its_last_constant(make: Make) -> None:
    items, part = make(torch.arange(4)), Part()

    def one(some: Any) -> Tensor:
        return part(some) + sum(map(lambda _: 1, range(3)))

    def other(some: Any) -> Tensor:
        return part(some) + sum(map(lambda _: 2, range(3)))

    def given(some: Any, more: float = 1.0) -> Tensor:
        return part(some) + more

    other.__qualname__ = one.__qualname__
    first = items.cached(part, one)
    torch.testing.assert_close(items.cached(part, other), first + 3)
    found = [items.cached(part, partial(given, more=k)) for k in (1.0, 2.0)]
    torch.testing.assert_close(found[1], found[0] + 1)
    given.__defaults__ = (5.0,)
    torch.testing.assert_close(items.cached(part, given), found[0] + 4)


@torch.no_grad()
def test_rows_of_another_form_of_what_was_given_are_others(make: Make) -> None:
    """With nothing given, with a number each and with two, in any order."""
    items, part = make(torch.arange(4)), Part()

    def summed(some: Any, given: Tensor | None = None) -> Tensor:
        return part(some) + (0 if given is None else given.sum(dim=1, keepdim=True))

    asked = [None, torch.ones(4, 1), torch.ones(4, 2), torch.ones(4, 2).double()]
    for given in (asked[0], *asked, *reversed(asked)):
        want = summed(items) if given is None else summed(items, given)
        torch.testing.assert_close(items.cached(part, summed, given).float(), want.float())


@torch.no_grad()
def test_a_few_of_many_texts_are_looked_at_again(lab: Any, feed: Items) -> None:
    part = Part("one")
    rules = Rules(True, verify=1e-4, few=True)
    prompts = feed.classes(lab.labelled, rules=rules).prompts
    first = prompts.cached(part, part)
    assert 0 < part.seen[-1] <= 8 < len(prompts)
    assert prompts.cached(part, part).equal(first)
    changed = Part("one", 2.0)  # its digest does not tell
    with pytest.raises(MethodError, match="the row of a text that moves"):
        prompts.cached(changed, changed)


@torch.no_grad()
def test_a_teacher_that_moves_unnoticed_is_found_at_the_end_of_a_task(
    make: Make, lab: Any, feed: Items
) -> None:
    items, teacher = make(torch.arange(4), cached=False), lab.clip().eval().requires_grad_(False)
    steps = [
        lambda p: p.mul_(1.01),
        lambda p: _set(p, "data", 1.01 * p.data),
        lambda p: None,
        lambda p: p.data.mul_(1.01),
    ]
    for step in steps:
        items.cached(teacher, OwnTower(teacher))
        for p in teacher.parameters():
            step(p)
        if step is steps[-1]:
            with pytest.raises(MethodError, match=r"teacher moved by 0\S+ unnoticed"):
                feed.asked.look_again(1e-4)
        feed.asked.look_again(1e-4)  # an item is looked at once


def test_with_gradients_nothing_is_kept(make: Make) -> None:
    items, part = make(torch.arange(4)), Part()
    for _ in range(2):
        items.cached(part, part)
    assert sum(part.seen) == 8


@torch.no_grad()
def test_of_training_items_only_a_frozen_backbones_rows_are_kept(
    make: Make, lab: Any, feed: Items
) -> None:
    items, part = make(torch.arange(4), cached=False), Part()
    for _ in range(2):
        items.cached(part, part)
    assert sum(part.seen) == 8
    teacher, seen = lab.clip().eval().requires_grad_(False), list[int]()
    for p in teacher.parameters():
        p.mul_(1.01)

    def taught(some: Any) -> Tensor:
        seen.append(len(some))
        return OwnTower(teacher)(some)

    want = taught(items)
    seen.clear()
    for _ in range(2):
        torch.testing.assert_close(items.cached(teacher, taught), want)
    assert sum(seen) == 4
    teacher.requires_grad_(True)
    items.cached(teacher, taught)
    assert sum(seen) == 8


def test_what_knows_no_rows_is_taken_whole_and_cut(lab: Any) -> None:
    """As in a test's own batch."""
    table_BD = torch.rand(5, 2)
    images = Images(torch.zeros(5, 3, 2, 2), lambda: table_BD, Context(partner=lambda: None))
    piece = images[torch.tensor([3, 1])]
    assert piece.frozen().equal(table_BD[[3, 1]])
    assert piece.partner is None
    assert len(piece) == 2
    part = Part()
    with torch.no_grad():
        assert piece.cached(part, part).equal(part(piece))


def test_training_items_are_told_nothing(lab: Any) -> None:
    data = lab.pairs[0]
    images = lab.feed(lab.clip()).images(data, torch.arange(2))
    assert (images._context.task, images._context.partner) == (None, None)


@torch.no_grad()
def test_batches_of_several_sets_are_one(lab: Any, feed: Items) -> None:
    one, other = (feed.images(d, torch.arange(5), cached=True) for d in lab.pairs[:2])
    whole, part = together([one, other]), Part()
    pixels = torch.cat([one.pixels_B3HW, other.pixels_B3HW])
    pick = torch.tensor([7, 1, 9, 0])
    assert whole[pick].pixels_B3HW.equal(pixels[pick])
    assert whole[pick].frozen().equal(torch.cat([one.frozen(), other.frozen()])[pick])
    assert whole[pick].cached(part, part).equal(part(whole)[pick])
    part.seen.clear()
    assert (
        whole[pick[:2]].cached(part, part).equal(part.factor * pixels[pick[:2]].flatten(1)[:, :8])
    )
    assert not part.seen
    assert len(whole[pick[:0]].frozen()) == 0


def test_pixels_are_read_when_they_are_asked_for_and_once(lab: Any, feed: Items) -> None:
    data, read = lab.pairs[0], list[int]()

    class Counted(Items):
        def pixels(self, data: Any, rows: Tensor, *more: Any) -> Tensor:
            read.append(len(rows))
            return super().pixels(data, rows, *more)

    images = Counted(feed.clip, feed.frozen).images(data, torch.arange(6))
    piece = images[torch.tensor([2, 4])]
    images.frozen()
    assert not read
    assert piece.pixels_B3HW is piece.pixels_B3HW
    assert read == [2]
    assert images.pixels_B3HW[[2, 4]].equal(piece.pixels_B3HW)
    assert images[torch.tensor([1])].pixels_B3HW.equal(images.pixels_B3HW[1:2])
    assert read == [2, 6]


@torch.no_grad()
def test_the_same_text_in_two_tables_is_encoded_once(lab: Any, feed: Items) -> None:
    data = lab.labelled[0]
    part, seen = Part(), list[Tensor]()

    def encode(some: Any) -> Tensor:
        seen.append(some.tokens_ML)
        return part(some)

    both = feed.classes(lab.labelled, rules=Rules(True)).prompts.cached(part, encode)
    own = feed.classes((data,), rules=Rules(True)).prompts.cached(part, encode)
    first = feed.classes((data,), first_prompt_only=True, rules=Rules(True)).prompts
    assert own.equal(both[: len(own)])
    assert first.cached(part, encode).equal(own[:: data.prompts_CPL.shape[1]])
    table = data.prompts_CPL.flatten(0, 1).flip(0)
    again = feed.texts(table, "another table", torch.arange(len(table)), cached=True)
    assert again.cached(part, encode).equal(own.flip(0))
    every = [tuple(line) for tokens in seen for line in tokens.tolist()]
    assert len(every) == len(set(every))
