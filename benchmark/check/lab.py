"""A tiny backbone, small renders of two kinds, and training as the runner does it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ..backbones.backbone import Backbone
from ..backbones.known import Precision
from ..backbones.load import load
from ..common.seeds import generator, seed_globally
from ..data import rendered
from ..data.batches import close, draw_pairs, join, make_loader, spread_texts
from ..data.cache.frozen import FrozenFeatures
from ..data.items import Items
from ..data.split import Pairs
from ..data.tensors import LabelTensors, PairTensors, Tensors, load_split
from ..errors import BenchError, MethodError
from ..protocol.method import Method, no_grad_after_task
from ..protocol.types import Batch, Context, Task, Texts, Tools
from ..run.registry import ResolvedMethod, find_method
from ..run.train import Fit, Progress
from ..suites.suite import Recipe
from .instruments.torch_state import TorchState
from .learned import Halt, Learned, Position, Watched, raised_by_watch

RECIPE = Recipe(epochs=1, batch_size=5, lr=1e-3, lr_added=2e-3, weight_decay=0.1, warmup=0.1)
CPU = torch.device("cpu")


@dataclass
class Lab:
    """All that is needed to train a method; only data is kept between trainings.

    Attributes:
        root: folder of a cache. recipe: of every training.
        pairs, labelled: small sets of both kinds. reference: what distillation may read.
        device: where models and batches live. precision: of the towers.
        chunks: pieces that batches are cut into, see `Backbone`.
        place: is told where a method is.
    """

    root: Path
    pairs: tuple[PairTensors, ...]
    labelled: tuple[LabelTensors, ...]
    reference: PairTensors
    recipe: Recipe = RECIPE
    start: Backbone | None = None
    device: torch.device = CPU
    precision: Precision = "fp32"
    chunks: int = 1
    place: Position = field(default_factory=Position)

    def clip(self) -> Backbone:
        """A copy of one freshly loaded backbone."""
        if self.start is None:
            self.start = load("tiny-s", "random:0")
        return copy.deepcopy(self.start)

    def feed(self, clip: Backbone) -> Watched:
        """Batches on the lab's device, where the backbone moves too."""
        about = (clip.name, clip.fingerprint, "cpu", "fp32")
        clip.precision = self.precision
        return Watched(clip.to(self.device), FrozenFeatures(self.clip, about, clip.size, self.root))

    def sets(self, kind: str) -> tuple[Tensors, ...]:
        """All sets of a kind."""
        return self.pairs if kind == "pairs" else self.labelled

    def task(
        self, feed: Items, data: Tensors, index: int, total: int, seed: int = 0, batch_size: int = 0
    ) -> Task:
        """The lease of one task."""
        key = (seed, data.fingerprint)
        every_caption = self.recipe.caption_sampling == "all"
        size = batch_size or self.recipe.batch_size
        loader = make_loader(feed, data, key, size, every_caption)
        classes = None
        if isinstance(data, LabelTensors):
            classes = feed.classes((data,), first_prompt_only=True)
        return Task(index, total, loader, classes, lambda *k: generator(*key, "method", *k))

    def method(
        self, asked: str | ResolvedMethod, feed: Items, seed: int = 0, **changes: Any
    ) -> Method[Any]:
        """A method as its name is resolved, or as it was resolved before."""
        found = find_method(asked, []) if isinstance(asked, str) else asked

        def declared() -> PairTensors:
            if "reference data" not in found.uses:
                raise BenchError(
                    "a method that declares 'reference data' in `uses`",
                    "one that reads it without",
                    "declare it, so that the leaderboard can show it",
                )
            return self.reference

        def reference(batch_size: int) -> Batch:
            return draw_pairs(feed, declared(), batch_size)

        def texts(count: int) -> Texts:
            return spread_texts(feed, declared(), count)

        tools = Tools(lambda *k: generator(seed, "method", *k), reference, join, texts)
        seed_globally(seed, "init")
        self.place.at("__init__")
        made: Method[Any] = found.cls(feed.clip, replace(found.config, **changes), tools)
        return made.to(self.device)

    # -- a task, in the steps of benchmark/run/runner.py without disk and display

    def before(self, method: Method[Any], task: Task, data: Tensors, seed: int = 0) -> None:
        """`before_task`, with the draws that the runner gives it."""
        self.place.at("before_task", task.index + 1)
        seed_globally(seed, data.fingerprint, "before")
        method.before_task(task)
        method.to(self.device)

    def fit(self, method: Method[Any], task: Task, data: Tensors, seed: int, epochs: int) -> Fit:
        """Training, before its first step."""
        self.place.at("trainable", task.index + 1)
        fit = Fit(method, task, replace(self.recipe, epochs=epochs), (seed, data.fingerprint))
        fit.progress.chunks = self.chunks
        return fit

    def run(
        self, fit: Fit, on_step: Callable[[float], None] = lambda loss: None, halt: int = 0
    ) -> None:
        """Train to the end; at step `halt`, where that is not 0, raise `Halt`."""
        number = fit.task.index + 1
        self.place.at("loss", number, fit.progress.step + 1)

        def after(progress: Progress, loss: float, size: int) -> None:
            on_step(loss)
            self.place.at("loss", number, progress.step + 1)
            if progress.step == halt:
                raise Halt

        fit.run(after)

    def after(self, method: Method[Any], task: Task, data: Tensors, seed: int = 0) -> None:
        """`after_task`, with the draws that the runner gives it, and the end of the lease."""
        self.place.at("after_task", task.index + 1)
        seed_globally(seed, data.fingerprint, "after")
        no_grad_after_task(method, task)
        self.end(method, task)

    def end(self, method: Method[Any], task: Task) -> None:
        """The end of a task's lease, but for a method that keeps samples."""
        if "samples" not in method.uses:
            close(task.loader)

    def train(
        self,
        asked: str | ResolvedMethod,
        data: Sequence[Tensors],
        seed: int = 0,
        epochs: int = 1,
        **changes: Any,
    ) -> Learned:
        """Every task in turn, by a new method."""
        switches = TorchState.now()
        feed = self.feed(self.clip())
        out = Learned(self.method(asked, feed, seed, **changes), feed)
        self._noted(out, switches)
        for index, part in enumerate(data):
            task = self.task(feed, part, index, len(data), seed)
            out.tasks.append(task)
            self.before(out.method, task, part, seed)
            self._noted(out, switches)
            self._train_task(out, task, part, (seed, epochs), switches)
            self.after(out.method, task, part, seed)
            self._noted(out, switches)
        out.method.eval()
        return out

    def _train_task(
        self, out: Learned, task: Task, data: Tensors, how: tuple[int, int], switches: TorchState
    ) -> None:
        method = out.method
        fit = self.fit(method, task, data, *how)
        mine = {id(p) for p in fit.params}
        for p in method.parameters():
            p.grad = None
        before = {n: p.detach().clone() for n, p in method.named_parameters()}

        def after(loss: float) -> None:
            out.losses.append(loss)
            self._noted(out, switches)

        try:
            self.run(fit, after)
        except MethodError as e:
            if not raised_by_watch(e):
                raise
            out.refused.append(f"{self.place}: expected {e.expected}, got {e.got}")
        now = dict(method.named_parameters())
        changed = [n for n, p in now.items() if n in before and not p.equal(before[n])]
        out.moved.append(len(changed))
        out.trespass += [n for n in changed if id(now[n]) not in mine]
        out.trespass += [n for n, p in now.items() if p.grad is not None and id(p) not in mine]
        out.trainable.append(sum(p.numel() for p in fit.params))

    def _noted(self, out: Learned, switches: TorchState) -> None:
        """What the hook before left changed is written down, and put back."""
        out.disturbed += [f"{self.place}: {change}" for change in switches.restore()]

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


def make_lab(root: Path) -> Lab:
    """A lab on fresh renders, its cache under `root`."""
    clip = load("tiny-s", "random:0")

    def pairs(name: str, role: Literal["train", "pretrain"], size: int, seed: int) -> PairTensors:
        split = rendered.render_pairs(name, role, size, seed)
        return _pairs(split, root, clip)

    def labelled(name: str) -> LabelTensors:
        split = rendered.render_labelled(name, "train", 14, 0)
        loaded = load_split(split, clip.size, clip.tokenize, root)
        assert isinstance(loaded, LabelTensors)
        return loaded

    return Lab(
        root,
        tuple(pairs(name, "train", 14, 0) for name in ("photos", "sketches", "scans")),
        tuple(labelled(name) for name in ("objects", "land")),
        pairs("photos", "pretrain", 10, 1),
    )


def make_captioned(lab: Lab) -> PairTensors:
    """Five captions or fewer per image, never the same number twice in a row."""
    split = rendered.render_pairs("street", "train", 13, 0)
    texts = tuple(
        tuple(f"{own[0]} number {j}" for j in range(1 + i % 5))
        for i, own in enumerate(split.captions)
    )
    return _pairs(replace(split, captions=texts), lab.root, lab.clip())


def _pairs(split: Pairs, root: Path, clip: Backbone) -> PairTensors:
    loaded = load_split(split, clip.size, clip.tokenize, root)
    assert isinstance(loaded, PairTensors)
    return loaded
