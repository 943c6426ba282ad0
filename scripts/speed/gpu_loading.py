"""Part (9) of gpu_figures.py: batches of uint8 from the host, and training steps on them."""

import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from gpu_sheet import Expected, Run, Setting, Sheet
from torch import Tensor

from benchmark.backbones.backbone import Backbone
from benchmark.common.seeds import generator
from benchmark.data.batches import PairLoader, make_loader
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.device import ahead, resident
from benchmark.data.device.moved import moved
from benchmark.data.items import Items
from benchmark.data.pixels import PixelRows
from benchmark.data.tensors import PairTensors
from benchmark.protocol.losses import matching
from benchmark.protocol.types import Batch, Features

TOKENS = 24  # of a caption
BATCHES = 8  # of an epoch


def images_of(clip: Backbone, many: int, path: Path) -> PixelRows:
    """Noise in a memory map, as a cache of decoded images is."""
    shape = (many, clip.size, clip.size, 3)
    made = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    g = np.random.default_rng(0)
    for row in range(many):
        made[row] = g.integers(256, size=shape[1:], dtype=np.uint8)
    made.flush()
    return PixelRows.of([np.load(path, mmap_mode="r")], shape[1:])


def loader_of(s: Setting, clip: Backbone, batch: int, folder: Path) -> PairLoader:
    """The harness's own loader, over pairs that lie on the disk."""
    many = BATCHES * batch
    tokens_ML = torch.randint(1, clip.context, (many, clip.context))
    tokens_ML[:, TOKENS:] = 0
    tokens_ML[:, TOKENS - 1] = int(clip.tokenize(["a"]).max())
    every = torch.arange(many + 1)
    pixels = images_of(clip, many, folder / "pixels.npy")
    data = PairTensors("noise", pixels, "p", tokens_ML, "t", every[:-1], every, "noise")
    about = (clip.name, "noise", s.device.type, clip.precision)
    feed = Items(clip, FrozenFeatures(lambda: clip, about, clip.size, folder))
    loader = make_loader(feed, data, (0,), batch)
    assert isinstance(loader, PairLoader)
    return loader


def batches(loader: PairLoader) -> Generator[Batch, None, None]:
    """Epoch after epoch."""
    for epoch in count():
        yield from loader.epoch(epoch)


@contextmanager
def loading(reads_ahead: bool, stays: bool) -> Iterator[None]:
    """The device's own way to have pixels, or what is left of it.

    Args:
        reads_ahead: whether the next batches are read while a step computes.
        stays: whether a set stays on the device where it fits.
    """
    room = resident.free_bytes if stays else lambda device: 0
    may = ahead.concurrent if reads_ahead else lambda device: False
    with (
        mock.patch.object(resident, "free_bytes", room),
        mock.patch.object(ahead, "concurrent", may),
    ):
        yield


def step_of(clip: Backbone, coming: Iterator[Batch]) -> Run:
    """A step of all weights, with the one wait that the loop has."""
    params = clip.weights()
    for p in params:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(params, lr=1e-5, fused=True)

    def run() -> float:
        batch = next(coming)
        optimizer.zero_grad(set_to_none=True)
        image_BD = clip.image(batch.images.pixels_B3HW)
        text_BD = clip.text(batch.texts.tokens_ML)
        loss: Tensor = matching(Features(image_BD, text_BD, clip.scale, batch.target_B, True))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


def copies(sheet: Sheet, s: Setting, batch: int) -> None:
    """(9) Batches of uint8 from the host: copies, and FT steps on batches that come from there."""
    clip = s.clip()
    size, g = (batch, clip.size, clip.size, 3), generator(0)
    pixels = torch.randint(256, size, dtype=torch.uint8, generator=g)
    for name, copy_it in (("a plain copy", lambda: pixels.to(s.device)),
                          ("from pinned memory", lambda: moved(pixels, s.device))):  # fmt: skip
        sheet.time(f"uint8 batch, {name}", partial(lambda run: run, copy_it), batch, "images/s")
    with tempfile.TemporaryDirectory() as folder:
        loader = loader_of(s, s.clip(), batch, Path(folder))
        ways = {"read in turn": (False, False), "read ahead": (True, False), "there": (True, True)}
        for name, how in ways.items():
            with loading(*how), closing(batches(loader)) as coming:
                row = f"FT step, images {name}"
                sheet.time(row, partial(step_of, loader.feed.clip, coming), batch, "pairs/s")
    pair = "FT step, images read ahead", "FT step, images read in turn"
    sheet.over("read ahead over read in turn", *pair, Expected(1.05, 1.25, "model"))
    pair = "FT step, images read ahead", "FT step, images there"
    sheet.over("read ahead over images there", *pair, Expected(0.97, 1, "model"))
