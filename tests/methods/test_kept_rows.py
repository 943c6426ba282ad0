"""What methods have from the store: rows that hold, under a key that tells all they depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lanes import lanes
from torch.testing import assert_close

from benchmark.backbones.open_clip import OpenClip
from benchmark.protocol.items import Context, Images, Texts

SMALL: dict[str, dict[str, Any]] = {
    "moe-adapter": {"experts": 4, "hidden": 8, "freeze": 1, "routing": "oracle"},
    "codyra-plus": {"rank": 4, "routing": "oracle"},
    "l2p": {"pool_size": 4, "top_k": 2, "prompt_length": 2},
    "lora-ft": {"rank": 4},
}
EVERY = [  # so many tensors from one that is tried to the next
    ("lora-ft", 13),
    ("l2p", 1),
    pytest.param("codyra-plus", 1, marks=pytest.mark.slow),
    ("moe-adapter", 61),
    pytest.param("lora-ft", 1, marks=pytest.mark.slow),
    pytest.param("moe-adapter", 1, marks=pytest.mark.slow),
]


class Passes:
    """Counts the items that a tower sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("_image_tower", "_text_tower"):
            monkeypatch.setattr(OpenClip, name, self._counted(getattr(OpenClip, name)))

    def _counted(self, real: Any) -> Any:
        def tower(model: Any, x_BLW: torch.Tensor, *more: Any) -> Any:
            self.count += len(x_BLW)
            return real(model, x_BLW, *more)

        return tower

    def during(self, act: Any) -> int:
        """How many while something is done."""
        before = self.count
        act()
        return self.count - before


def _encoded(items: Any, part: Any, encode: Any, given: Any = None) -> torch.Tensor:
    """`items.cached` of a store that has nothing."""
    rows: torch.Tensor = encode(items) if given is None else encode(items, given)
    return rows


@contextmanager
def _direct() -> Iterator[None]:
    """Inside, nothing comes from the store."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (Images, Texts):
            patch.setattr(kind, "cached", _encoded)
        yield


@torch.no_grad()
def _embed(run: Any, data: Any, task: int = 0, many: int = 6) -> torch.Tensor:
    rows, context = torch.arange(many), Context(task=task)
    images = run.feed.images(data, rows, context, cached=True)
    texts = run.feed.texts(data.tokens_ML, data.text_key, rows, context, cached=True)
    return torch.cat([run.method.encode_image(images), run.method.encode_text(texts)])


def _noise(method: Any) -> None:
    """Adapters that start at zero do something."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in method.named_parameters():
            if not name.startswith("clip.") and p.is_floating_point():
                p.add_(0.1 * torch.randn(p.shape, generator=g))


@pytest.mark.parametrize(("name", "step"), EVERY)
def test_a_row_is_computed_once_and_anew_when_any_tensor_changed(
    name: str, step: int, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tensor after the other of those that a prediction may read."""
    with torch.enable_grad():
        run = lab.train(name, lab.pairs[:2], **SMALL[name])
    method, data, passes = run.method, lab.pairs[0], Passes(monkeypatch)
    _noise(method)
    kept = _embed(run, data)
    assert passes.during(lambda: _embed(run, data)) == 0
    moved = 0
    own = [
        tensor
        for key, tensor in method.state_dict().items()
        if not key.startswith("clip.") and tensor.is_floating_point() and tensor.numel()
    ]
    for tensor in own[::step]:
        method.rebuilt = 99  # CoDyRA+ makes the model of a task again
        before = tensor.clone()
        tensor += 0.05 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        with _direct():
            want = _embed(run, data)
        assert_close(_embed(run, data), want, rtol=0, atol=1e-6)
        moved += not torch.allclose(want, kept, atol=1e-5)
        tensor.copy_(before)
        method.rebuilt = 99
        assert_close(_embed(run, data), kept, rtol=0, atol=1e-6)
    assert moved


@pytest.mark.parametrize("name", lanes(["lora-ft", "l2p", "moe-adapter"], ["l2p"]))
def test_a_row_is_computed_anew_on_another_backbone(name: str, lab: Any) -> None:
    with torch.enable_grad():
        run = lab.train(name, lab.pairs[:1], **SMALL[name])
    kept, part = _embed(run, lab.pairs[0]), run.method.clip.weights()
    with torch.no_grad():
        for p in part:
            p.mul_(1.05)
    with _direct():
        want = _embed(run, lab.pairs[0])
    assert not torch.allclose(want, kept, atol=1e-4)
    assert_close(_embed(run, lab.pairs[0]), want, rtol=0, atol=1e-6)


def test_a_model_of_an_earlier_task_encodes_nothing_again(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it was the newest it saw these items; as the one before, its rows are taken over."""
    feed, passes = lab.feed(lab.clip()), Passes(monkeypatch)
    method = lab.method("codyra-plus", feed, **SMALL["codyra-plus"])
    found = []
    for index, data in enumerate(lab.pairs[:2]):
        task = lab.task(feed, data, index, 2)
        with torch.enable_grad():
            lab.before(method, task, data)
            lab.run(lab.fit(method, task, data, 0, 1))
        lab.after(method, task, data)
        method.eval()
        run = type("Run", (), {"feed": feed, "method": method})
        seen = passes.during(lambda run=run: found.append(_embed(run, lab.pairs[0])))
        assert seen == (12 if index == 0 else 0)
    assert found[0].equal(found[1])
    with _direct():
        assert_close(_embed(run, lab.pairs[0]), found[0], rtol=0, atol=1e-6)
        newest = _embed(run, lab.pairs[0], task=1)
    assert_close(_embed(run, lab.pairs[0], task=1), newest, rtol=0, atol=1e-6)
    assert not torch.allclose(newest, found[0], atol=1e-4)


def test_an_item_whose_prompts_are_as_they_were_is_not_encoded_again(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.enable_grad():
        run = lab.train("l2p", lab.pairs[:1], **SMALL["l2p"])
    method, data, passes = run.method, lab.pairs[0], Passes(monkeypatch)
    g = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for pool in method.pools.values():  # choices that differ from item to item
            pool.key_PD.copy_(torch.randn(pool.key_PD.shape, generator=g))
    images = run.feed.images(data, torch.arange(14), cached=True)
    _embed(run, data, many=14)
    index_BK = method._choose("image", images)[1]
    one = int(index_BK.flatten().bincount(minlength=4).where(torch.arange(4) < 9, 0).argmin())
    users = int((index_BK == one).any(dim=1).sum())
    with torch.no_grad():
        method.pools["image"].prompt_PLW[one] += 0.5
    assert passes.during(lambda: _embed(run, data, many=14)) == users < 14
