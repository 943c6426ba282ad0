"""A tiny backbone, small renders of two kinds, and training as the runner does it."""

import copy
import gc
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.load import load
from benchmark.common.seeds import generator
from benchmark.data import rendered as mini
from benchmark.data.batches import close, draw_pairs, join, make_loader, spread_texts
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.items import Items
from benchmark.data.tensors import LabelTensors, PairTensors, Tensors, load_split
from benchmark.protocol.method import Method, no_grad_after_task
from benchmark.protocol.types import Batch, Context, Task, Texts, Tools
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from benchmark.suites.suite import Recipe

RECIPE = Recipe(epochs=1, batch_size=5, lr=1e-3, lr_added=2e-3, weight_decay=0.1, warmup=0.1)


class Watched(Items):
    """A feed that remembers, weakly, the pixels it handed out."""

    seen: list[weakref.ref[torch.Tensor]]

    def images(self, *args: Any, **kwargs: Any) -> Any:
        images = super().images(*args, **kwargs)
        self.__dict__.setdefault("seen", []).append(weakref.ref(images.pixels_B3HW))
        return images

    def alive(self) -> int:
        gc.collect()
        return sum(r() is not None for r in self.__dict__.get("seen", []))


@dataclass
class Trained:
    """A method after its tasks, and what was seen on the way."""

    method: Method
    feed: Watched
    tasks: list[Task]
    losses: list[float] = field(default_factory=list)
    trainable: list[int] = field(default_factory=list)  # scalars per task
    moved: list[int] = field(default_factory=list)  # parameters that the loop changed per task
    trespass: list[str] = field(default_factory=list)  # changed though not trainable
    kept: int = -1  # tensors of pixels that are alive after the last task


@dataclass
class Lab:
    """All that a test needs to train a method; only data is kept between tests."""

    root: Path
    pairs: tuple[PairTensors, ...]
    labelled: tuple[LabelTensors, ...]
    reference: PairTensors
    recipe: Recipe = RECIPE

    start: Backbone | None = None

    def clip(self) -> Backbone:
        """A copy of one freshly loaded backbone."""
        if self.start is None:
            self.start = load("tiny-s", "random:0")
        return copy.deepcopy(self.start)

    def feed(self, clip: Backbone) -> Watched:
        about = (clip.name, clip.fingerprint, "cpu", clip.precision)
        frozen = FrozenFeatures(self.clip, about, clip.size, self.root)
        return Watched(clip, frozen)

    def sets(self, kind: str) -> tuple[Tensors, ...]:
        return self.pairs if kind == "pairs" else self.labelled

    def task(
        self, feed: Items, data: Tensors, index: int, total: int, seed: int = 0, batch_size: int = 0
    ) -> Task:
        key = (seed, data.fingerprint)
        loader = make_loader(feed, data, key, batch_size or self.recipe.batch_size)
        classes = None
        if isinstance(data, LabelTensors):
            classes = feed.classes((data,), first_prompt_only=True)
        return Task(index, total, loader, classes, lambda *k: generator(*key, "method", *k))

    def method(self, name: str, feed: Items, seed: int = 0, **changes: Any) -> Method:
        found = find_method(name, [])

        def reference(batch_size: int) -> Batch:
            assert "reference data" in found.cls.uses, f"{name} reads reference data undeclared"
            return draw_pairs(feed, self.reference, batch_size)

        def texts(count: int) -> Texts:
            assert "reference data" in found.cls.uses, f"{name} reads reference data undeclared"
            return spread_texts(feed, self.reference, count)

        tools = Tools(lambda *k: generator(seed, "method", *k), reference, join, texts)
        return found.cls(feed.clip, replace(found.config, **changes), tools)

    def end(self, method: Method, task: Task) -> None:
        if "samples" not in method.uses:
            close(task.loader)

    def train(
        self, name: str, data: tuple[Tensors, ...], seed: int = 0, epochs: int = 1, **changes: Any
    ) -> Trained:
        """The protocol of benchmark/run/runner.py without disk and display."""
        feed = self.feed(self.clip())
        method = self.method(name, feed, seed, **changes)
        out = Trained(method, feed, [])
        for index, part in enumerate(data):
            task = self.task(feed, part, index, len(data), seed)
            out.tasks.append(task)
            method.before_task(task)
            fit = Fit(method, task, replace(self.recipe, epochs=epochs), (seed, part.fingerprint))
            mine = {id(p) for p in fit.params}
            for p in method.parameters():
                p.grad = None
            before = {n: p.detach().clone() for n, p in method.named_parameters()}
            fit.run(lambda _progress, loss, _images: out.losses.append(loss))
            changed = {n: p for n, p in method.named_parameters() if not p.equal(before[n])}
            out.moved.append(len(changed))
            out.trespass += [n for n, p in changed.items() if id(p) not in mine]
            out.trespass += [
                n for n, p in method.named_parameters() if p.grad is not None and id(p) not in mine
            ]
            out.trainable.append(sum(p.numel() for p in fit.params))
            no_grad_after_task(method, task)
            self.end(method, task)
        method.eval()
        return out

    @torch.no_grad()
    def embed(
        self, method: Any, feed: Items, data: PairTensors, task: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit rows of all images and all captions of a set."""
        rows, texts = torch.arange(len(data)), torch.arange(len(data.tokens_ML))
        context = Context(task=task)
        image_ND = method.encode_image(feed.images(data, rows, context))
        text = feed.texts(data.tokens_ML, data.text_key, texts, context)
        return image_ND, method.encode_text(text)


def _load(split: Any, root: Path, clip: Backbone) -> Any:
    return load_split(split, clip.size, clip.tokenize, root)


def make_lab(root: Path) -> Lab:
    """A lab on fresh renders, its cache under `root`."""
    clip = load("tiny-s", "random:0")
    pairs = [_load(mini.render_pairs(n, "train", 14, 0), root, clip) for n in
             ("photos", "sketches", "scans")]  # fmt: skip
    labelled = [_load(mini.render_labelled(n, "train", 14, 0), root, clip) for n in
                ("objects", "land")]  # fmt: skip
    reference = _load(mini.render_pairs("photos", "pretrain", 10, 1), root, clip)
    return Lab(root, tuple(pairs), tuple(labelled), reference)


def make_captioned(lab: Lab) -> PairTensors:
    """Five captions or fewer per image, never the same number twice in a row."""
    split = mini.render_pairs("street", "train", 13, 0)
    texts = tuple(
        tuple(f"{own[0]} number {j}" for j in range(1 + i % 5))
        for i, own in enumerate(split.captions)
    )
    loaded: PairTensors = _load(replace(split, captions=texts), lab.root, lab.clip())
    return loaded
