"""Trains the embedded tiny CLIP models and writes what ships in benchmark/backbones/shipped/.

    python scripts/train_tiny_clip.py vocabulary
    python scripts/train_tiny_clip.py train tiny-s
    python scripts/train_tiny_clip.py train tiny-b --total 20000 --steps 450
    python scripts/train_tiny_clip.py few-shot tiny-s

These are the commands that made the shipped weights; tiny-b is the wider and deeper of the two, and
trained for a shorter time. The last one goes on from the shipped weights, half with renders of the
few-shot suites' domains and the prompts of their classes: a model that tells these domains apart,
as X-TAIL presupposes of CLIP, and knows their classes in part.

The renders are those of role "pretrain": their scenes are disjoint from every training and test
set of the embedded suites. The share of a domain in the mix sets its zero-shot recall. What is
printed of the few-shot domains on the way is of other renders of role "pretrain": their training
and test images are not looked at.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from benchmark.backbones.backbone import Backbone
from benchmark.backbones.known import DIGESTS, SHIPPED
from benchmark.backbones.load import load
from benchmark.data import rendered as mini
from benchmark.data.cache.frozen import normalise
from benchmark.data.split import ImageSource
from benchmark.metrics.retrieval import first_positive_rank, hits

VOCABULARY = 4096  # rows of the token table, as in the model configs
SHARES = {
    "photos": 0.44,
    "gen-art": 0.033,
    "products": 0.03,
    "paintings": 0.025,
    "cartoons": 0.0125,
    "sketches": 0.014,
    "scans": 0.0005,
    "street": 0.16,
    "pantry": 0.12,
    "objects": 0.12,
    "land": 0.045,
}
# Half of what the few-shot weights learn is as before, so that nothing of it is lost.
FEW_SHOT_SHARES = {
    **{name: share / 2 for name, share in SHARES.items()},
    **dict.fromkeys(mini.FEW_SHOT, 0.5 / len(mini.FEW_SHOT)),
}
FEW_SHOT_LABEL = "few-shot"
SEED = 2026


def note_digests() -> None:
    """Write down the sha256 of all that ships; whoever reads one of these files compares it."""
    files = sorted(p for p in SHIPPED.iterdir() if p.name != DIGESTS)
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    (SHIPPED / DIGESTS).write_text(json.dumps(found, indent=1) + "\n")


def vocabulary() -> None:
    """Collect the token ids that rendered captions use; the rest of the table is shared."""
    from open_clip.tokenizer import SimpleTokenizer

    encode, used = SimpleTokenizer().encode, Counter[int]()
    for domain in mini.CAPTIONED:
        for texts in mini.render_pairs(domain, "pretrain", 20_000, SEED).captions:
            used.update(t for text in texts for t in encode(text))
    for domain in mini.LABELLED:
        split = mini.render_labelled(domain, "pretrain", 100, SEED)
        for name in split.classnames:
            used.update(t for p in split.templates for t in encode(p.format(name)))
    tokens = sorted(used)
    table = {"tokens": tokens, "buckets": VOCABULARY - 2 - len(tokens)}
    (SHIPPED / "tiny-vocabulary.json").write_text(json.dumps(table) + "\n")
    note_digests()
    print(f"{len(tokens)} tokens in use, {table['buckets']} shared rows")


def _render(job: tuple[str, int, int]) -> tuple[np.ndarray, list[list[str]]]:
    domain, size, seed = job
    if domain in mini.CAPTIONED:
        pairs = mini.render_pairs(domain, "pretrain", size, seed)
        source, captions = pairs.images, [list(texts) for texts in pairs.captions]
    else:
        split = mini.render_labelled(domain, "pretrain", size, seed)
        names = [split.classnames[y] for y in split.labels]
        source, captions = split.images, [[t.format(n) for t in split.templates] for n in names]
    assert isinstance(source, ImageSource)
    return np.stack([np.asarray(source.open(i)) for i in range(size)]), captions


def corpus(total: int, shares: Mapping[str, float]) -> tuple[torch.Tensor, list[list[str]]]:
    """(N, 48, 48, 3) uint8 and the captions of each image, rendered in blocks of 1000."""
    jobs = [
        (domain, min(1000, round(total * share) - i), SEED + i // 1000)
        for domain, share in shares.items()
        for i in range(0, round(total * share), 1000)
    ]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        parts = pool.map(_render, jobs, chunksize=1)
    pixels = torch.from_numpy(np.concatenate([part for part, _ in parts]))
    return pixels, [texts for _, block in parts for texts in block]


class ZeroShot:
    """I2T R@1 (or accuracy) in percent on renders of role test."""

    def __init__(self, size: int = 240) -> None:
        self.sets = {}
        for domain in SHARES:
            if domain in mini.CAPTIONED:
                pairs = mini.render_pairs(domain, "test", size, 0)
                source, texts = pairs.images, [c for cs in pairs.captions for c in cs]
                truth = torch.arange(len(texts)).view(size, -1)
            else:
                split = mini.render_labelled(domain, "test", size, 0)
                source, truth = split.images, torch.tensor(split.labels)[:, None]
                texts = [split.templates[0].format(n) for n in split.classnames]
            assert isinstance(source, ImageSource)
            pixels = np.stack([np.asarray(source.open(i)) for i in range(size)])
            self.sets[domain] = pixels, texts, truth

    @torch.no_grad()
    def __call__(self, clip: Backbone) -> dict[str, float]:
        """Percent per domain."""
        device, found = clip.logit_scale.device, {}
        for domain, (pixels, texts, truth) in self.sets.items():
            image = clip.image(normalise(pixels, clip))
            text = clip.text(clip.tokenize(texts).to(device))
            rank = first_positive_rank(image, text, truth.to(device))
            found[domain] = round(100 * hits(rank, 1) / len(pixels), 1)
        return found


class FewShot:
    """Accuracy among the classes of all few-shot domains, in percent, on renders of "pretrain".

    With a seed of their own: a few scenes may be among those that were trained on.
    """

    def __init__(self, size: int = 160) -> None:
        self.sets: list[tuple[np.ndarray, torch.Tensor]] = []
        self.texts: list[str] = []
        for name in mini.FEW_SHOT:
            split = mini.render_labelled(name, "pretrain", size, SEED - 1)
            assert isinstance(split.images, ImageSource)
            pixels = np.stack([np.asarray(split.images.open(i)) for i in range(size)])
            self.sets.append((pixels, torch.tensor(split.labels) + len(self.texts)))
            self.texts += [split.templates[0].format(n) for n in split.classnames]

    @torch.no_grad()
    def __call__(self, clip: Backbone) -> dict[str, float]:
        """Percent per domain, their mean, and of images whose best class is of their own domain."""
        device, found, own = clip.logit_scale.device, {}, []
        text = clip.text(clip.tokenize(self.texts).to(device))
        for name, (pixels, label) in zip(mini.FEW_SHOT, self.sets, strict=True):
            best = (clip.image(normalise(pixels, clip)) @ text.T).argmax(dim=1).cpu()
            found[name] = round(100 * float((best == label).float().mean()), 1)
            here = (best >= int(label.min())) & (best <= int(label.max()))
            own.append(100 * float(here.float().mean()))
        mean = sum(found.values()) / len(found)
        return {**found, "mean": round(mean, 1), "own domain": round(min(own), 1)}


class Scores(Protocol):
    """What is printed of a model now and then."""

    def __call__(self, clip: Backbone) -> dict[str, float]:
        """Percent of each set."""


def train(
    clip: Backbone, path: Path, shares: Mapping[str, float], scores: Scores, total: int, steps: int,
    batch: int, peak: float,
) -> None:  # fmt: skip
    """Contrastive training with identical captions in a batch masked out of the negatives."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = time.monotonic()
    pixels, captions = corpus(total, shares)
    print(f"{len(pixels)} images in {time.monotonic() - start:.0f} s")
    clip = clip.to(device).train()
    first = torch.tensor([0, *np.cumsum([len(c) for c in captions])])
    flat = [c for cs in captions for c in cs]
    tokens = torch.cat([clip.tokenize(flat[i : i + 4096]) for i in range(0, len(flat), 4096)])
    text_id = torch.tensor(np.unique(flat, return_inverse=True)[1])
    pixels, tokens, text_id = pixels.to(device), tokens.to(device), text_id.to(device)
    counts = first[1:] - first[:-1]
    decay = [p for p in clip.parameters() if p.ndim >= 2]
    plain = [p for p in clip.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)
    draw = torch.Generator().manual_seed(SEED)
    mean = torch.tensor(clip.mean, device=device)[:, None, None]
    std = torch.tensor(clip.std, device=device)[:, None, None]
    start = time.monotonic()
    for step in range(steps):
        warm = min(1.0, (step + 1) / (0.04 * steps))
        factor = warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = peak * factor
        row = torch.randint(len(pixels), (batch,), generator=draw)
        caption = first[row] + (torch.rand(batch, generator=draw) * counts[row]).long()
        row, caption = row.to(device), caption.to(device)
        x = (pixels[row].permute(0, 3, 1, 2).float() / 255 - mean) / std
        text = clip.text(tokens[caption])
        logits = clip.scale.clamp(max=100) * clip.image(x) @ text.T
        same = text_id[caption][:, None] == text_id[caption][None]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -torch.inf)
        target = torch.arange(batch, device=device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 8) == 0:
            found = scores(clip)
            seconds = time.monotonic() - start
            print(f"{step + 1}/{steps} {seconds:.0f} s loss {loss.item():.3f} {found}", flush=True)
    with torch.no_grad():
        clip.logit_scale.clamp_(max=math.log(100))
    state = {k: v.half().contiguous().cpu() for k, v in clip.state_dict().items()}
    save_file(state, path, metadata={"quick_gelu": "true", "model": clip.name})
    note_digests()
    print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
    print(scores(load(clip.name, str(path))))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("vocabulary")
    fit = verbs.add_parser("train")
    fit.add_argument("name")
    fit.add_argument("--out", type=Path, default=SHIPPED)
    fit.add_argument("--total", type=int, default=50_000)
    fit.add_argument("--steps", type=int, default=1_200)
    fit.add_argument("--batch", type=int, default=128)
    fit.add_argument("--lr", type=float, default=1e-3)
    more = verbs.add_parser(FEW_SHOT_LABEL)
    more.add_argument("name")
    more.add_argument("--out", type=Path, default=SHIPPED)
    more.add_argument("--total", type=int, default=24_000)
    more.add_argument("--steps", type=int, default=210)
    more.add_argument("--batch", type=int, default=128)
    more.add_argument("--lr", type=float, default=3e-4)
    a = parser.parse_args()
    if a.verb == "vocabulary":
        vocabulary()
    elif a.verb == "train":
        clip, path = load(a.name, f"random:{SEED}"), a.out / f"{a.name}.safetensors"
        train(clip, path, SHARES, ZeroShot(), a.total, a.steps, a.batch, a.lr)
    else:
        clip, path = load(a.name, "bundled"), a.out / f"{a.name}-{FEW_SHOT_LABEL}.safetensors"
        train(clip, path, FEW_SHOT_SHARES, FewShot(), a.total, a.steps, a.batch, a.lr)


if __name__ == "__main__":
    main()
