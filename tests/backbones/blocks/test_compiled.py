"""Compiled blocks: eager's numbers, and no graph for a task, an adapter, a merged weight, a copy.

The graphs are counted by a backend of torch.compile that compiles nothing.
"""

import copy
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from graphs import Counted
from lanes import lanes
from torch import Tensor, nn
from torch.testing import assert_close

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.blocks.compiled import LENGTHS, Compiler, Sizes, text_length
from benchmark.backbones.sites import MAPS, PARALLEL, replaced
from benchmark.check.lab import Lab
from benchmark.toolkit.distillation import snapshot
from benchmark.toolkit.gated import Gated, Pruning
from benchmark.toolkit.lora import LoRA

SIZES = Sizes(batch=8, images=16, tokens=24 * 20)
TEXTS = ["a cat", "two dogs and a long story about nothing at all", "x", "a boat on a lake", "y"]
KINDS = 4  # of blocks: in the middle of a tower and at its end, of images and of texts


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    for name in ("torch.__trace", "torch"):  # what pytest would keep of it takes minutes
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    return Counted()


@pytest.fixture
def fast(lab: Lab, counted: Counted) -> Backbone:
    """A backbone of two blocks a tower, in float64, whose blocks are compiled."""
    clip: Any = lab.clip().double()
    for tower in (clip.visual.transformer, clip.transformer):
        tower.resblocks = tower.resblocks[:2]
    clip.compiler = Compiler(SIZES, counted)
    found: Backbone = clip
    return found


def inputs(clip: Backbone, count: int = 5, words: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(count)
    texts = ["a " * words] * count if words else (TEXTS * 4)[:count]
    pixels = torch.randn(count, 3, clip.size, clip.size, generator=g, dtype=torch.float64)
    return pixels, clip.tokenize(texts)


def lora_of(clip: Backbone, seed: int = 0, dropout: float = 0.2) -> LoRA:
    g = torch.Generator().manual_seed(seed)
    found = LoRA(clip, MAPS, 4, 8.0, dropout, g).double()
    for b in found.B.values():
        nn.init.normal_(b, std=0.1, generator=g)
    return found.train()


def gated_of(clip: Backbone) -> Gated:
    g = torch.Generator().manual_seed(0)
    found = Gated(clip, MAPS, 4, Pruning(0.1, 0.5), g).double()
    for b in found.B.values():
        nn.init.normal_(b, std=0.1, generator=g)
    return found


def rows(clip: Backbone, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Of both towers, in float64."""
    image = clip.image_tower(clip.embed_image(pixels))
    return image, clip.text_tower(clip.embed_text(tokens), clip.end_of_text(tokens))


def step(clip: Backbone, learner: nn.Module | None = None, count: int = 5, **more: Any) -> Any:
    """Rows and gradients of a training step of all weights, or of a learner's."""
    params = clip.weights() if learner is None else [*learner.parameters()]
    for p in clip.parameters():
        p.requires_grad_(learner is None)
    torch.manual_seed(1)  # of dropout
    with clip.adapted({} if learner is None else learner.deltas(), MAPS):  # type: ignore[operator]
        image, text = rows(clip, *inputs(clip, count, **more))
    draws = torch.get_rng_state()
    grads = torch.autograd.grad((image @ text.T).sin().sum(), params, allow_unused=True)
    return [image.detach(), text.detach(), *grads], draws


def eager(clip: Backbone) -> Backbone:
    found = copy.deepcopy(clip)
    found.compiler = None
    return found


@pytest.mark.parametrize(
    ("learns", "more"),
    [
        pytest.param("weights", "", marks=pytest.mark.slow), ("lora", "chunks"),
        pytest.param("gates", "", marks=pytest.mark.slow),
        *(pytest.param(of, "checkpointing", marks=pytest.mark.slow) for of in ("weights", "lora")),
        pytest.param("weights", "chunks", marks=pytest.mark.slow),
        pytest.param("lora", "", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_step_has_eager_s_rows_and_gradients(
    learns: str, more: str, fast: Backbone, counted: Counted
) -> None:
    """And its draws of dropout; padding in both directions included."""
    make: dict[str, Callable[[Backbone], Any]] = {"lora": lora_of, "gates": gated_of}
    found = []
    for clip in (eager(fast), fast):
        clip.checkpointing, clip.chunks = more == "checkpointing", 2 if more == "chunks" else 1
        found.append(step(clip, make[learns](clip) if learns in make else None))
    (want, draws), (got, same_draws) = found
    assert counted.count == KINDS
    assert draws.equal(same_draws)
    assert len(want) == len(got) > 4
    for one, other in zip(want, got, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_close(other, one, rtol=1e-9, atol=1e-11)


@torch.no_grad()
def test_without_gradients_as_eager(fast: Backbone) -> None:
    """Own weights, others instead of them, and adapters, whose dropout is over."""
    plain, lora = eager(fast), lora_of(fast).eval()
    new = {n: s.weight * 1.5 + 0.1 for n, s in fast.sites(MAPS).items() if "1" in n or "q" in n}
    for others, deltas in ((False, False), (True, False), (False, True), (True, True)):
        found = []
        for clip in (plain, fast):
            with ExitStack() as stack:
                sites = clip.sites(MAPS)
                stack.enter_context(replaced({sites[n]: w for n, w in new.items() if others}))
                stack.enter_context(clip.adapted(lora.deltas() if deltas else {}, MAPS))
                found.append(rows(clip, *inputs(clip)))
        for one, other in zip(*found, strict=True):
            assert_close(other, one, rtol=1e-9, atol=1e-11)


# -- how many graphs there are


@pytest.mark.slow
def test_no_task_and_no_adapter_compiles_again(fast: Backbone, counted: Counted) -> None:
    """Towers x places of a block x forms (plain, low-rank) x (training, inference), at one length.

    Everything that changes between tasks does: adapters, merged weights, teachers, last batches.
    """
    counts = []
    for task in range(3):
        lora = lora_of(fast, seed=task)
        for count in (8, 3):  # a whole batch, and the last one
            step(fast, lora, count)
        teacher = snapshot(fast)
        with torch.no_grad():
            for count in (8, 5, 1):
                with fast.adapted(lora.eval().deltas(), MAPS):
                    rows(fast, *inputs(fast, count))
                rows(teacher, *inputs(teacher, count))
                with replaced({site: site.weight * 1.1 for site in fast.sites(MAPS).values()}):
                    rows(fast, *inputs(fast, count))
            lora.merge(fast)
            rows(fast, *inputs(fast))
        counts.append(counted.count)
    assert counts[0] == counts[2] == KINDS * (1 + 2)
    assert fast.compiler is not None
    assert counted.count == len(fast.compiler.graphs)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= counted.count


@pytest.mark.slow
def test_lengths_are_few(fast: Backbone, counted: Counted) -> None:
    """Whatever the longest caption of a batch is."""
    with torch.no_grad():
        for words in range(1, 60, 3):
            _, tokens = inputs(fast, 2, words)
            fast.text_tower(fast.embed_text(tokens), fast.end_of_text(tokens))
    most = sum(length <= fast.context for length in LENGTHS)
    assert counted.count == 2 * most


@pytest.mark.parametrize(
    ("items", "length", "text", "pieces", "grad", "expected"),
    [
        (8, 50, False, 1, True, 8), (3, 50, False, 1, True, 8), (9, 50, False, 1, True, 16),
        (4, 50, False, 3, True, 6), (3, 50, False, 2, True, 4), (1, 50, False, 8, True, 1),
        (8, 50, False, 1, False, 8), (9, 50, False, 1, False, 16), (17, 50, False, 1, False, 32),
        (9, 24, True, 1, False, 20), (20, 24, True, 1, False, 20), (21, 24, True, 1, False, 40),
        (2, 4000, True, 1, False, 8), (8, 4000, True, 1, False, 8),
    ],
)  # fmt: skip
def test_numbers_of_items(
    items: int, length: int, text: bool, pieces: int, grad: bool, expected: int
) -> None:
    assert SIZES.padded(items, length, text, pieces, grad) == expected


def test_lengths_of_texts() -> None:
    pairs = {1: 16, 16: 16, 17: 24, 25: 32, 33: 48, 49: 77, 77: 77, 78: 80, 81: 96}
    assert {n: text_length(n) for n in pairs} == pairs


def test_where_texts_are_cut(fast: Backbone) -> None:
    """With gradients they are padded behind the embedding; so draws are those of no padding."""
    assert [fast.text_length(n) for n in (5, 17)] == [5, 17]
    with torch.no_grad():
        assert [fast.text_length(n) for n in (5, 17)] == [16, 24]
        assert fast.text_length(fast.context) == fast.context


# -- what runs eagerly


def scaled(x: Tensor) -> Tensor:
    return x * 0.1


class Itemwise:
    """A delta that has something of every item, as routes are."""

    def __init__(self, count: int) -> None:
        self.factor = torch.arange(count, dtype=torch.float64)[:, None, None]

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.factor  # an error for any other number of items


def beside(clip: Any, stack: ExitStack) -> None:
    stack.enter_context(clip.adapted({f"image.0.{PARALLEL}": scaled}, (PARALLEL,)))


def itemwise(clip: Any, stack: ExitStack) -> None:
    deltas = {
        n: Itemwise(5)
        for n, s in clip.sites(MAPS).items()
        if s.weight.shape[0] == s.weight.shape[1]
    }
    stack.enter_context(clip.adapted(deltas, MAPS))


def hooked(clip: Any, stack: ExitStack) -> None:
    for tower in (clip.visual.transformer, clip.transformer):
        part = tower.resblocks[0].ln_1
        stack.callback(part.register_forward_hook(lambda *a: 2 * a[2]).remove)


def swapped(clip: Any, stack: ExitStack) -> None:
    clip.visual.transformer.resblocks[1].mlp.gelu = nn.Tanh()


def patched(clip: Any, stack: ExitStack) -> None:
    part = clip.transformer.resblocks[0].ln_2
    part.forward = torch.tanh


LATER = (hooked, swapped, patched)


@pytest.mark.parametrize("change", lanes([beside, itemwise, *LATER], [itemwise]))
@torch.no_grad()
def test_what_no_graph_can_take_is_computed_as_it_is(
    change: Callable[[Any, ExitStack], None], fast: Backbone
) -> None:
    """Also where graphs are there already."""
    before, found = rows(fast, *inputs(fast)), []
    for clip in (eager(fast), fast):
        with ExitStack() as stack:
            change(clip, stack)
            found.append(rows(clip, *inputs(clip)))
    for one, other in zip(*found, strict=True):
        assert_close(other, one, rtol=1e-9, atol=1e-11)
    assert any(not a.allclose(b) for a, b in zip(before, found[0], strict=True)), "it acts"


@torch.no_grad()
def test_a_setting_that_changes_in_a_block_changes_what_is_computed(fast: Any) -> None:
    """It is no tensor, so that the graphs that are there are not for it."""
    rows(fast, *inputs(fast))
    for block in fast.visual.transformer.resblocks:
        block.ln_2.eps = 0.5
    for one, other in zip(rows(fast, *inputs(fast)), rows(eager(fast), *inputs(fast)), strict=True):
        assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_nothing_is_held_when_it_is_over(fast: Backbone) -> None:
    """The stand-ins keep no adapter and no batch alive."""
    step(fast, lora_of(fast))
    assert fast.compiler is not None
    for bare in fast.compiler._bare.values():
        for part in bare.block.modules():
            assert getattr(part, "delta", None) is None
            assert not [v for v in vars(part).values() if isinstance(v, Tensor)]


@pytest.mark.slow
def test_by_torch_s_own_compiler(fast: Backbone) -> None:
    """The images of a step with adapters, twice: near eager, and the same bits both times."""
    fast.compiler, found = Compiler(SIZES), []
    lora, (pixels, _) = lora_of(fast), inputs(fast)
    for p in fast.parameters():
        p.requires_grad_(False)
    for clip in (eager(fast), fast, fast):
        torch.manual_seed(1)
        with clip.adapted(lora.deltas(), MAPS):
            image = clip.image_tower(clip.embed_image(pixels))
        grads = torch.autograd.grad(image.sin().sum(), [*lora.parameters()], allow_unused=True)
        found.append([image.detach(), *(g for g in grads if g is not None)])
    for want, got, again in zip(*found, strict=True):
        assert_close(got, want, rtol=1e-9, atol=1e-11)
        assert got.equal(again)
