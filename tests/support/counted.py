"""Counts what the towers do: by the very rows that go in and come out, whatever asked for them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.backbones.open_clip import OpenClip
from benchmark.data.cache.asked import Asked
from benchmark.data.pixels import PixelRows
from benchmark.run.guards import rows as guards


@dataclass
class Encodes:
    """Passes of the towers without gradients, item by item.

    Two of one item are the same where what the tower took and what it gave are the same bits: the
    weights, what is added to them and the item were the same then, and one of the two was in vain.

    Attributes:
        image, text: how often each occurred, but for those that a guard asked for again.
        again: how many a guard asked for again, by encoding some items in other batches.
        pixels: how many images were read.
    """

    image: Counter[bytes] = field(default_factory=Counter)
    text: Counter[bytes] = field(default_factory=Counter)
    again: int = 0
    pixels: int = 0
    inside_guard: bool = False

    @property
    def twice(self) -> dict[str, int]:
        """How many were in vain."""
        return {
            kind: sum(found.values()) - len(found)
            for kind, found in (("image", self.image), ("text", self.text))
        }

    def take(self, kind: str, x_BLW: Tensor, row_BD: Tensor, end_B: Tensor | None) -> None:
        if torch.is_grad_enabled():
            return
        if self.inside_guard:
            self.again += len(x_BLW)
            return
        found = self.image if kind == "image" else self.text
        ends = [x_BLW.shape[1]] * len(x_BLW) if end_B is None else (end_B + 1).tolist()
        for x_LW, end, row_D in zip(x_BLW, ends, row_BD, strict=True):
            sha = blake2b(x_LW[:end].contiguous().numpy().tobytes(), digest_size=16)
            sha.update(row_D.contiguous().numpy().tobytes())
            found[sha.digest()] += 1


@contextmanager
def encodes() -> Iterator[Encodes]:
    """Inside, every pass of a tower and every image that is read is counted."""
    found = Encodes()
    image, text, read = OpenClip._image_tower, OpenClip._text_tower, PixelRows.__getitem__

    def image_tower(self: Any, x_BLW: Tensor) -> Tensor:
        row_BD = image(self, x_BLW)
        found.take("image", x_BLW, row_BD, None)
        return row_BD

    def text_tower(self: Any, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        row_MD = text(self, x_MLW, end_M)
        found.take("text", x_MLW, row_MD, end_M)
        return row_MD

    def pixels(self: Any, rows: Any) -> Any:
        out = read(self, rows)
        found.pixels += len(out) if out.ndim == 4 else 1
        return out

    def guarded(guard: Any) -> Any:
        def call(*args: Any) -> None:
            found.inside_guard = True
            try:
                guard(*args)
            finally:
                found.inside_guard = False

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenClip, "_image_tower", image_tower)
        patch.setattr(OpenClip, "_text_tower", text_tower)
        patch.setattr(PixelRows, "__getitem__", pixels)
        patch.setattr("benchmark.run.evaluate.check_alone", guarded(guards.check_alone))
        patch.setattr(Asked, "look_again", guarded(Asked.look_again))
        yield found
