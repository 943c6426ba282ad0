"""The classifier of 1,000 classes with 80 templates: 80,000 prompts, on the real ViT-B/16.

    python scripts/speed/benchmark_prompts.py [--rounds 3] [--quick] [--json FILE]

Random weights, as neither time nor memory depends on their values. On a CPU the whole takes an
hour, so parts of it are measured and the peak of 80,000 is extrapolated from them, by the line
through the two largest parts, or the largest part's where that is more. The peak is that of a new
process, above the model and the tokens. open_clip's own builder takes ten classes at a time.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmark_routing import open_clip_model
from fair import Table, Way, arguments, compare, finish, growth, peak_memory
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import bundled
from benchmark.backbones.load import load
from benchmark.common.seeds import generator
from benchmark.data.batches import join
from benchmark.data.cache.frozen import FrozenFeatures
from benchmark.data.items import Items, Rules
from benchmark.data.pixels import PixelRows
from benchmark.data.tensors import LabelTensors
from benchmark.protocol.types import Batch, Images, Tools
from benchmark.run.registry import find_method

MODEL, TEMPLATES, ALL = "ViT-B-16-quickgelu", 80, 80_000
WORDS = ("a", "photo", "of", "the", "large", "small", "blurry", "painting", "in", "origami")


def prompts(classes: int, templates: int = TEMPLATES) -> list[str]:
    """Texts of 5 to 12 words, class by class."""
    g = torch.Generator().manual_seed(0)
    found = []
    for c in range(classes):
        for t in range(templates):
            words = torch.randint(len(WORDS), (3 + t % 8,), generator=g).tolist()
            found.append(" ".join((*(WORDS[w] for w in words), "class", str(c))))
    return found


def set_of(clip: Backbone, classes: int) -> LabelTensors:
    """A labelled set without images; its name is new, so that no cached row is found."""
    import numpy as np

    tokens = clip.tokenize(prompts(classes)).view(classes, TEMPLATES, -1)
    none = np.zeros((0, clip.size, clip.size, 3), np.uint8)
    pixels = PixelRows.of([none], none.shape[1:])
    names = tuple(str(c) for c in range(classes))
    return LabelTensors("set", pixels, "", torch.zeros(0).long(), names, tokens, str(classes), "")


def no_reference(batch_size: int) -> Batch:
    """Nothing is trained here."""
    raise NotImplementedError


def ours(model: str, classes: int) -> Callable[[], Tensor]:
    """The classifier that an evaluation of a trained backbone builds; every call encodes anew."""
    torch.set_num_threads(1)
    weights = "bundled" if model in bundled() else "random:0"
    clip, found = load(model, weights), find_method("ft", [])
    data = set_of(clip, classes)
    image = torch.zeros(1, 3, clip.size, clip.size)
    made = found.cls(clip, found.config, Tools(partial(generator, 0), no_reference, join)).eval()

    @torch.no_grad()
    def run() -> Tensor:
        with tempfile.TemporaryDirectory() as folder:
            about = (clip.name, clip.fingerprint, "cpu", "fp32")
            feed = Items(
                clip, FrozenFeatures(partial(load, model, weights), about, clip.size, Path(folder))
            )
            classifier = made.classifier(feed.classes((data,), rules=Rules(True)))
            return F.normalize(classifier(Images(image, lambda: torch.empty(0))), dim=1)

    return run


def theirs(model: str, classes: int) -> Callable[[], Tensor]:
    """open_clip's builder, with texts of full length."""
    from open_clip import build_zero_shot_classifier

    torch.set_num_threads(1)
    clip = load(model, "bundled" if model in bundled() else "random:0")
    tower: Any = open_clip_model(clip)
    texts = prompts(classes)
    image = torch.zeros(1, 3, clip.size, clip.size)

    @torch.no_grad()
    def run() -> Tensor:
        templates = [lambda c, t=t: texts[int(c) * TEMPLATES + t] for t in range(TEMPLATES)]
        weight_DC = build_zero_shot_classifier(
            tower, clip.tokenize, [str(c) for c in range(classes)], templates, 10
        )
        return F.normalize(tower.encode_image(image, normalize=True) @ weight_DC, dim=1)

    return run


def close(a: Tensor, b: Tensor) -> bool:
    """Scores of one image, by classes, without their scale."""
    return torch.allclose(a, b, atol=1e-4)


def main() -> None:
    """Command line."""
    asked = arguments(__doc__, rounds=3).parse_args()
    model, parts = ("tiny-s", (2, 4, 8)) if asked.quick else (MODEL, (16, 32, 64))
    most = parts[0] // 2
    ways = [
        Way(
            "cl-bench",
            "texts sorted by length, in pieces, each cut after its longest",
            ours(model, most),
        ),
        Way(
            "open_clip",
            "build_zero_shot_classifier, ten classes at a time, 77 tokens",
            theirs(model, most),
        ),
    ]
    title = f"{most} classes with {TEMPLATES} templates, {model}"
    tables = [compare(f"Classifier: {title}", ways, asked.rounds, close)]
    points = {n: ours(model, n) for n in (most // 2 or 1, most, 2 * most)}
    tables.append(
        growth(f"Classifier by classes, {TEMPLATES} templates, {model}", "classes", points, 1)
    )
    memory, above = Table(f"Memory of the classifier, {model}"), {}
    for n in parts:
        total, peak = peak_memory(ours, model, n)
        above[n * TEMPLATES] = peak
        row = {"above the model, MiB": f"{peak:.0f}", "in all, MiB": f"{total:.0f}"}
        memory.rows.append({"prompts": str(n * TEMPLATES)} | row)
    (x, a), (y, b) = list(above.items())[-2:]
    guess = max(b, b + (b - a) / (y - x) * (ALL - y))
    memory.rows.append({"prompts": f"{ALL}, extrapolated", "above the model, MiB": f"{guess:.0f}"})
    memory.show()
    finish([*tables, memory], asked)


if __name__ == "__main__":
    main()
