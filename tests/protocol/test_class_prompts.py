"""Class prompts go through the text tower in batches, whoever classifies."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.protocol.class_rows import PROMPTS
from benchmark.protocol.method import Frozen, Method

METHODS = ("ft", "dar", "l2p", "lora-ft", "rail-primal", "rail-dual", "moe-adapter",
           "codyra-plus", "codyra-rail-primal", "codyra-rail-dual")  # fmt: skip
FAST = ("ft", "rail-dual")
CASES = [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in METHODS]


def many(data: Any) -> Any:
    """The same classes with so many prompts that they are several batches and a rest."""
    times = 2 * PROMPTS // len(data.names) + 3
    return replace(
        data, prompts_CPL=data.prompts_CPL[:, :1].repeat(1, times, 1), text_key="many prompts"
    )


class Counted:
    """Remembers how many texts, and tokens, the tower saw at a time."""

    def __init__(self, clip: Any) -> None:
        self.sizes: list[int] = []
        self.tokens: list[int] = []
        self.inner = clip.text_tower

    def __call__(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        self.sizes.append(len(x_MLW))
        self.tokens.append(x_MLW.shape[:2].numel())
        found: Tensor = self.inner(x_MLW, end_M)
        return found


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_no_more_than_a_batch_of_prompts_at_a_time(
    name: str, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lab.labelled[0]
    with torch.enable_grad():
        method, feed = (done := lab.train(name, (data,))).method, done.feed
    large = many(data)
    images = feed.images(data, torch.arange(6))
    counted = Counted(method.clip)
    monkeypatch.setattr("benchmark.data.cache.pieces.TOKENS", 4096)
    monkeypatch.setattr(method.clip, "text_tower", counted)
    scores_BC = method.classifier(feed.classes((large,), learned=[0]))(images)
    default = type(method).encode_text is Method.encode_text
    by_tokens = 1 <= max(counted.tokens, default=1) <= 4096  # of hooks that ask the store
    # These texts have eight tokens, to which a method may add prompts of its own.
    assert by_tokens or max(counted.sizes) <= max(PROMPTS, 4096 // 8)
    assert by_tokens or not default
    monkeypatch.setattr("benchmark.protocol.class_rows.PROMPTS", 10**6)
    monkeypatch.setattr("benchmark.data.cache.pieces.TOKENS", 10**6)
    whole_BC = method.classifier(feed.classes((large,), learned=[0]))(images)
    if default:
        assert max(counted.sizes, default=10**6) > 2 * PROMPTS
    torch.testing.assert_close(scores_BC, whole_BC, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_frozen_classifier_takes_batches_too(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, large = lab.feed(lab.clip()), many(lab.labelled[0])
    images = feed.images(large, torch.arange(6))
    scores_BC = Frozen(feed.clip.scale).classifier(feed.classes((large,)))(images)
    monkeypatch.setattr("benchmark.protocol.class_rows.PROMPTS", 10**6)
    whole_BC = Frozen(feed.clip.scale).classifier(feed.classes((large,)))(images)
    assert scores_BC.equal(whole_BC)
