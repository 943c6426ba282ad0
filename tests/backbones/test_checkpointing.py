"""Gradient checkpointing: less memory, and the same bits."""

from typing import Any

import pytest
import torch
from lanes import lanes
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.sites import PROJECTIONS
from benchmark.check.lab import Lab
from benchmark.cli.display import Display
from benchmark.records.store import read_record
from benchmark.run.request import Request, make_plan
from benchmark.run.runner import execute
from benchmark.toolkit.lora import LoRA


def step(lab: Lab, checkpointing: bool, adapter: bool, chunks: int = 1) -> tuple[Any, int]:
    """Gradients of one step, and the bytes that it kept for its backward pass."""
    clip = lab.clip()
    feed = lab.feed(clip)
    clip.checkpointing, clip.chunks = checkpointing, chunks
    batch = next(lab.task(feed, lab.pairs[0], 0, 1, batch_size=8).loader.epoch(0))
    lora = LoRA(clip, PROJECTIONS, 4, 8.0, 0.1, torch.Generator().manual_seed(0)).train()
    for b in lora.B.values():
        torch.nn.init.normal_(b, std=0.02, generator=torch.Generator().manual_seed(1))
    params = [*lora.parameters()] if adapter else clip.weights()
    for p in clip.parameters():
        p.requires_grad_(not adapter)
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    torch.manual_seed(3)  # of dropout
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        with clip.adapted(lora.deltas() if adapter else {}, PROJECTIONS):
            image_BD = clip.image(batch.images.pixels_B3HW)
            text_MD = clip.text(batch.texts.tokens_ML)
        loss = F.cross_entropy(clip.scale.detach() * image_BD @ text_MD.T, batch.target_B)
    loss.backward()
    return [loss.detach(), *(p.grad for p in params if p.grad is not None)], sum(kept.values())


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("chunks", lanes([1, 2], [2]))
def test_it_gives_the_same_bits_from_less_memory(lab: Lab, adapter: bool, chunks: int) -> None:
    """Adapters and their dropout included, though `adapted` is over when it computes again."""
    plain, much = step(lab, False, adapter, chunks)
    again, little = step(lab, True, adapter, chunks)
    assert len(plain) == len(again) > 4
    assert all(a.equal(b) for a, b in zip(plain, again, strict=True))
    if chunks == 1:
        assert little < 0.6 * much


def test_without_gradients_nothing_is_computed_twice(lab: Lab, clip: Backbone) -> None:
    feed = lab.feed(clip)
    pixels = feed.images(lab.pairs[0], torch.arange(4)).pixels_B3HW
    calls = []
    own = [block for tower, _, block in clip._blocks() if tower == "image"]
    for block in own:
        block.ln_1.register_forward_hook(lambda *_: calls.append(1))
    clip.checkpointing = True
    with torch.no_grad():
        clip.image(pixels)
    assert len(calls) == len(own)


def test_a_run_with_it_is_the_same_run_and_says_so(tmp_path: Any, own_cache: Any) -> None:
    records = []
    for on in (False, True):
        request = Request(
            "ft", "photos", limit=8, epochs=1, batch_size=4, evals="id", device="cpu",
            pretrained="random:0", output_dir=tmp_path / str(on), cache_dir=own_cache, fresh=True,
            checkpointing=on,
        )  # fmt: skip
        plan = make_plan(request)
        execute(plan, Display(quiet=True))
        records.append(read_record(plan.target))
    off, on_ = records
    assert off.frame.equals(on_.frame)
    assert off.provenance["losses"] == on_.provenance["losses"]
    assert off.provenance["identity"] == on_.provenance["identity"]
    assert [r.provenance["options"]["checkpointing"] for r in records] == [False, True]
