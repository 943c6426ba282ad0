"""Training steps beside a loop over open_clip's own model, and LoRA steps beside PEFT's.

    python scripts/speed/benchmark_steps.py [--rounds 7] [--quick] [--json FILE]

All sides take the same images and captions, gather and normalise the pixels themselves, and step
AdamW (fused) with the loss of CLIP. cl-bench's `ft` is the method in the harness's loop, with its
schedule and its checks. LoRA is on c_fc and c_proj alone, since PEFT's wrapper does not reach the
projection inside torch's attention, without dropout, and both sides are loops written by hand.
open_clip pads every caption to 77 tokens; "trimmed" is the same model with captions cut after the
longest of the batch, by hand. PEFT is no dependency: where it is missing, a line says so.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmark_routing import ALPHA, MLP, RANK, open_clip_model, peft_model, random_bank
from fair import Table, Way, arguments, compare, finish
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import bundled
from benchmark.backbones.load import load
from benchmark.common.seeds import generator
from benchmark.data.batches import join
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.items import Items
from benchmark.data.tensors import PairTensors, load_split
from benchmark.protocol.losses import matching
from benchmark.protocol.types import Batch, Features, Task, Tools
from benchmark.run.registry import find_method
from benchmark.run.train import Fit
from benchmark.suites.find import find_suite

STEPS = 4  # of a round
QUICK = (("tiny-s", 8),)
SETTINGS = (("tiny-s", 32), ("tiny-s", 64), ("ViT-B-16-quickgelu", 8))
Step = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Fixed:
    """A loader of the same pairs in the same order: every image with its first caption."""

    feed: Items
    data: PairTensors
    batch: int
    steps: int

    def __len__(self) -> int:
        return self.steps

    def rows(self) -> list[Tensor]:
        """Indices of the images of each batch."""
        return list(
            torch.arange(self.batch * self.steps).remainder(len(self.data)).split(self.batch)
        )

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """The batches."""
        for rows in self.rows()[start:]:
            texts = self.feed.texts(
                self.data.tokens_ML, self.data.text_key, self.data.first_N[rows]
            )
            images = self.feed.images(self.data, rows)
            yield Batch(images, texts, torch.arange(len(rows)), paired=True)

    def sweep(self) -> Iterator[Batch]:
        """As an epoch."""
        return self.epoch(0)

    def keep(self, rows: Tensor) -> None:
        """Not asked for here."""
        raise NotImplementedError


def weights_of(name: str) -> str:
    """Those that ship with the package, or random ones."""
    return "bundled" if name in bundled() else "random:0"


def feed_of(name: str, root: Path) -> Items:
    """A feed on a backbone of its own."""
    clip = load(name, weights_of(name))
    about = (clip.name, clip.fingerprint, "cpu", "fp32")
    return Items(
        clip, FrozenFeatures(partial(load, name, weights_of(name)), about, clip.size, root)
    )


def no_reference(batch_size: int) -> Batch:
    """Methods here draw no other images."""
    raise NotImplementedError


def harness(loader: Fixed) -> Callable[[], float]:
    """`ft` in the harness's loop; gives the loss of its first step."""
    found = find_method("ft", [])
    method = found.cls(
        loader.feed.clip, found.config, Tools(partial(generator, 0), no_reference, join)
    )
    task = Task(0, 1, loader, None, partial(generator, 0, 0))
    method.before_task(task)
    recipe = replace(find_suite("mini").recipe, epochs=1)

    def run() -> float:
        losses: list[float] = []
        Fit(method, task, recipe, (0,)).run(lambda progress, loss, size: losses.append(loss))
        return losses[0]

    return run


def loop(loader: Fixed, params: list[Tensor], features: Step) -> Callable[[], float]:
    """Steps written by hand; gives the loss of the first."""
    optimizer = torch.optim.AdamW(params, lr=1e-5, fused=True)
    clip, data = loader.feed.clip, loader.data
    mean, std = torch.tensor(clip.mean)[:, None, None], torch.tensor(clip.std)[:, None, None]

    def run() -> float:
        losses = []
        for rows in loader.rows():
            pixels = torch.from_numpy(data.pixels[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
            loss = features((pixels - mean) / std, data.tokens_ML[data.first_N[rows]])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses[0]

    return run


def info_nce(image_BD: Tensor, text_BD: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss."""
    logits, target = scale.exp() * image_BD @ text_BD.T, torch.arange(len(image_BD))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def full(model: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """open_clip's own encoders: texts of 77 tokens."""
    image = model.encode_image(pixels, normalize=True)
    return info_nce(image, model.encode_text(tokens, normalize=True), model.logit_scale)


def trimmed(model: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Its own layers on texts cut after the longest; causal attention sees no difference."""
    end_B = tokens.argmax(dim=1)  # the end of text has the largest number
    length = int(end_B.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    text = F.normalize(x[torch.arange(len(x)), end_B] @ model.text_projection, dim=1)
    return info_nce(model.encode_image(pixels, normalize=True), text, model.logit_scale)


def trainable(model: Any) -> list[Tensor]:
    """What is trained."""
    return [p for p in model.parameters() if p.requires_grad]


def open_clip_ways(loader: Fixed, clip: Backbone) -> Iterator[Way]:
    """A model of its own for each, with the same weights."""
    for name, does, features in (
        ("open_clip, trimmed", "the same model, captions cut after the batch's longest", trimmed),
        ("open_clip, 77 tokens", "its model, its encoders", full),
    ):
        model = open_clip_model(clip).train()
        yield Way(name, does, loop(loader, trainable(model), partial(features, model)))


def lora_ways(loader: Fixed, clip: Backbone) -> Iterator[Way]:
    """One adapter that changes something, in each."""
    bank = random_bank(clip, 1, MLP)
    adapter = bank.adapter(0).train().requires_grad_()
    clip.requires_grad_(False)

    def ours(pixels: Tensor, tokens: Tensor) -> Tensor:
        with clip.adapted(adapter.deltas(), adapter.targets):
            rows = clip.image(pixels), clip.text(tokens)
        scale, target = clip.logit_scale.exp(), torch.arange(len(tokens))
        return matching(Features(*rows, scale, target, paired=True))

    params: list[Tensor] = list(adapter.parameters())
    does = f"rank {RANK}, alpha {ALPHA:g}, c_fc and c_proj of both towers"
    yield Way("cl-bench, LoRA", does, loop(loader, params, ours))
    for name, features in (("PEFT, trimmed", trimmed), ("PEFT, 77 tokens", full)):
        model = peft_model(clip, bank).train()
        inner = model.base_model.model
        yield Way(name, "PEFT's wrappers in open_clip's model", loop(
            loader, trainable(model), partial(features, inner)
        ))  # fmt: skip


def tables_of(name: str, batch: int, rounds: int, root: Path) -> Iterator[Table]:
    """Steps of one model at one size of batch."""
    feed = feed_of(name, root)
    clip = load(name, weights_of(name))
    data = load_split(find_suite("mini").tasks[1].load("train"), clip.size, clip.tokenize, root)
    assert isinstance(data, PairTensors)
    loader = Fixed(feed, data, batch, STEPS)
    about = f"{name}, batches of {batch}, {STEPS} steps a round"

    def same(a: float, b: float) -> bool:
        return abs(a - b) < 1e-4

    first = Way("cl-bench ft", "method `ft` in the harness's loop", harness(loader))
    yield compare(f"Training, all weights: {about}", [first, *open_clip_ways(loader, clip)],
                  rounds, same)  # fmt: skip
    try:
        ways = list(lora_ways(loader, clip))
    except ModuleNotFoundError:
        yield Table(f"Training, LoRA: {about}", remarks=["PEFT is not installed: not measured"])
        return
    yield compare(f"Training, LoRA: {about}", ways, rounds, same)


def main() -> None:
    """Command line."""
    asked = arguments(__doc__, rounds=7).parse_args()
    tables: list[Table] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, batch in QUICK if asked.quick else SETTINGS:
            rounds = asked.rounds if name in bundled() else min(asked.rounds, 3)
            tables += tables_of(name, batch, rounds, Path(folder))
    finish(tables, asked)


if __name__ == "__main__":
    main()
