"""Training and encoding rates beside a bare open_clip loop, in one process, as ratios.

    python scripts/speed/benchmark_rates.py [--backbone tiny-s] [--batch 64] [--steps 30]

Prints pairs per second of `ft` and `dar` (the harness's loop, loader and schedule) beside a plain
loop over the same open_clip model and batch, and images per second of DAR's routed encoding
(routing features cached, routes mixed within a batch) beside the frozen backbone's. The variants
take turns, so that a machine that slows down slows all of them; the median of the turns is shown.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import open_clip
import torch
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import SHIPPED, bundled, configs
from benchmark.backbones.load import load
from benchmark.common.seeds import generator
from benchmark.data.batches import join, make_loader
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.items import Items
from benchmark.data.tensors import PairTensors, load_split
from benchmark.protocol.method import Method
from benchmark.protocol.types import Batch, Task, Tools
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from benchmark.suites.find import find_suite

ROUNDS = 5


def make_feed(clip: Backbone, weights: str, root: Path) -> Items:
    """A feed whose frozen features go to a temporary cache."""
    about = (clip.name, clip.fingerprint, "cpu", "fp32")
    return Items(clip, FrozenFeatures(lambda: load(clip.name, weights), about, clip.size, root))


def make_method(name: str, feed: Items) -> Method:
    """A method of the registry on this feed's backbone."""
    found = find_method(name, [])
    return found.cls(feed.clip, found.config, Tools(partial(generator, 0), _no_reference, join))


def _no_reference(batch_size: int) -> Batch:
    raise NotImplementedError


def make_task(feed: Items, data: PairTensors, index: int, batch: int) -> Task:
    """The lease of one task."""
    loader = make_loader(feed, data, (0, data.fingerprint), batch)
    return Task(index, 2, loader, None, partial(generator, 0, index))


def harness_steps(name: str, feed: Items, data: PairTensors, batch: int, steps: int) -> float:
    """Pairs per second of `steps` optimiser steps through Fit."""
    method = make_method(name, feed)
    task = make_task(feed, data, 0, batch)
    method.before_task(task)
    recipe = replace(find_suite("mini").recipe, epochs=-(-steps // len(task.loader)))
    fit = Fit(method, task, recipe, (0,))
    seen, start = 0, 0.0

    def on_step(progress: object, loss: float, size: int) -> None:
        nonlocal seen, start
        seen, start = (0, time.perf_counter()) if not start else (seen + size, start)

    fit.run(on_step)
    return seen / (time.perf_counter() - start)


def bare_steps(clip: Backbone, data: PairTensors, name: str, batch: int, steps: int) -> float:
    """The same step written by hand: open_clip's own model, InfoNCE, AdamW, full-length text."""
    model = open_clip.create_model(name, pretrained=None)
    model.load_state_dict(clip.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    mean, std = torch.tensor(clip.mean)[:, None, None], torch.tensor(clip.std)[:, None, None]
    order, seen, start = torch.arange(len(data)), 0, 0.0
    for step in range(steps):
        rows = order.roll(-step * batch)[:batch]
        pixels = torch.from_numpy(data.pixels[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
        image = model.encode_image((pixels - mean) / std, normalize=True)
        text = model.encode_text(data.tokens_ML[data.first_N[rows]], normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        target = torch.arange(len(rows))
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seen, start = (0, time.perf_counter()) if not start else (seen + len(rows), start)
    return seen / (time.perf_counter() - start)


@torch.no_grad()
def encode_rate(encode: Callable[[torch.Tensor], object], n: int, batch: int) -> float:
    """Items per second over n items."""
    start = time.perf_counter()
    for rows in torch.arange(n).split(batch):
        encode(rows)
    return n / (time.perf_counter() - start)


def trained_dar(feed: Items, sets: list[PairTensors], batch: int) -> Method:
    """DAR after two tasks of one step each, with adapters that are not zero."""
    method = make_method("dar", feed)
    for index, data in enumerate(sets):
        task = make_task(feed, data, index, batch)
        method.before_task(task)
        for p in method.trainable()[0].params:
            torch.nn.init.normal_(p, std=0.02)
        with torch.no_grad():
            method.after_task(task)
    return method.eval()


def report(title: str, rates: dict[str, list[float]], unit: str) -> None:
    """Medians, and ratios to the first."""
    base = statistics.median(next(iter(rates.values())))
    print(title)
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"  {name:<44} {middle:8.0f} {unit}   {middle / base:5.2f} x")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="tiny-s")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=24)
    a = parser.parse_args()
    weights = "bundled" if (SHIPPED / f"{a.backbone}.safetensors").exists() else "random:0"
    suite = find_suite("mini")
    for tiny in bundled():
        open_clip.add_model_config(configs()[tiny])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clip = load(a.backbone, weights)
        loaded = [
            load_split(d.load("train"), clip.size, clip.tokenize, root) for d in suite.tasks[1:3]
        ]
        sets = [s for s in loaded if isinstance(s, PairTensors)]
        feeds = [make_feed(load(a.backbone, weights), weights, root) for _ in range(2)]
        bare, ft, dar = "bare open_clip loop, all weights", "cl-bench ft", "cl-bench dar"
        rates: dict[str, list[float]] = {bare: [], ft: [], dar: []}
        for _ in range(ROUNDS):
            rates[bare].append(bare_steps(clip, sets[0], a.backbone, a.batch, a.steps))
            rates[ft].append(harness_steps("ft", feeds[0], sets[0], a.batch, a.steps))
            rates[dar].append(harness_steps("dar", feeds[1], sets[0], a.batch, a.steps))
        report(f"training, {a.backbone}, batches of {a.batch}", rates, "pairs/s")
        feed = make_feed(clip, weights, root)
        method, both = (
            trained_dar(feed, sets, a.batch),
            join([make_loader(feed, s, (0, s.name), a.batch) for s in sets]),
        )
        batches = [b.images for b in both.epoch(0)]
        for b in batches:
            b.frozen()
        plain, routed = "frozen backbone", "cl-bench dar, mixed routes, features cached"
        encode: dict[str, list[float]] = {plain: [], routed: []}
        for _ in range(2 * ROUNDS):
            for name, f in ((plain, clip_image(clip)), (routed, method.encode_image)):
                start, n = time.perf_counter(), 0
                with torch.no_grad():
                    for b in batches:
                        f(b)
                        n += len(b)
                encode[name].append(n / (time.perf_counter() - start))
        report(f"image encoding, batches of {a.batch}", encode, "images/s")


def clip_image(clip: Backbone) -> Callable[..., torch.Tensor]:
    """The plain encoder on the same kind of batch."""
    return lambda images: clip.image(images.pixels_B3HW)


if __name__ == "__main__":
    main()
