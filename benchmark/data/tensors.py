"""Splits made ready for the model: decoded pixels, tokens, fingerprints."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..common.digests import digest
from ..common.report import SILENT, Report
from ..errors import BenchError
from .cache.decoded import decoded
from .cache.tokens import Tokenize, tokens_of
from .crops.wide import WideImages, wide_images
from .pixels import PixelRows
from .split import Labelled, Pairs, Split


@dataclass(frozen=True)
class PairTensors:
    """Image-caption pairs.

    Attributes:
        pixels: (N, S, S, 3) uint8, read by rows. tokens_ML: all captions. owner_M: the
            image of each caption, ascending. first_N: the first caption of each image, with N+1
            entries.
        pixel_key: sha256 of the pixels; text_key: of the tokens; fingerprint: of both.
        wide: what training crops are taken from; None where it has the images as they are.
    """

    name: str
    pixels: PixelRows
    pixel_key: str
    tokens_ML: Tensor
    text_key: str
    owner_M: Tensor
    first_N: Tensor
    fingerprint: str
    wide: WideImages | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels and tokens."""
        return self.pixels.nbytes + self.tokens_ML.nbytes


@dataclass(frozen=True)
class LabelTensors:
    """Labelled images; prompts_CPL holds the tokens of P prompts per class."""

    name: str
    pixels: PixelRows
    pixel_key: str
    label_N: Tensor
    names: tuple[str, ...]
    prompts_CPL: Tensor
    text_key: str
    fingerprint: str
    wide: WideImages | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels and labels."""
        return self.pixels.nbytes + self.label_N.nbytes


Tensors = PairTensors | LabelTensors


def load_split(
    split: Split,
    size: int,
    tokenize: Tokenize,
    root: Path,
    limit: int | None = None,
    tokenizer: str = "",
    report: Report = SILENT,
    crops: bool = False,
) -> Tensors:
    """Decode (or map from the cache) and tokenise one split.

    Args:
        split: what to load.
        size: image side in pixels.
        tokenize: texts -> (M, L) int64.
        root: cache folder.
        limit: keep so many images, evenly spaced, since files are often sorted by class; such a
            run is never ranked.
        tokenizer: names what the tokens derive from, see `cache.tokens.tokens_of`.
        report: is told how far it is, and of a damaged cache file that is made again.
        crops: whether its batches have random crops of the images. The fingerprint is the same:
            so are the images, and the draws that depend on it.

    Raises:
        BenchError: an empty split, or what decoding raises.
    """
    if split.images.size == 0:
        raise BenchError(f"images in '{split.name}'", "an empty split", "check its split rule")
    with report.phase(f"images of {split.name}", split.images.size, "images") as advance:
        done = decoded(split.images, size, root, advance, report.line)
    total = len(done.pixels)
    wide = None
    if crops:
        with report.phase(f"images of {split.name} to crop", total, "images") as advance:
            wide = wide_images(split.images, size, root, advance, report.line)
    if limit is None or limit >= total:
        rows, pixels, key = list(range(total)), done.pixels, done.digest
    else:
        rows = [i * total // limit for i in range(limit)]
        pixels, key = done.pixels.pick(rows), digest([done.digest, str(limit)])
        wide = None if wide is None else wide.pick(rows, digest([wide.digest, str(limit)]))

    def encode(texts: list[str]) -> Tensor:
        with report.phase(f"tokens of {split.name}", len(texts), "texts") as advance:
            return tokens_of(texts, tokenize, tokenizer, root, advance, report.line)

    if isinstance(split, Pairs):
        return replace(_pairs(split, rows, pixels, key, encode), wide=wide)
    return replace(_labelled(split, rows, pixels, key, encode), wide=wide)


def _text_key(tokens: Tensor) -> str:
    return digest([str(tuple(tokens.shape)), tokens.numpy().tobytes()])


def _pairs(
    split: Pairs, rows: list[int], pixels: PixelRows, key: str, tokenize: Tokenize
) -> PairTensors:
    captions = [split.captions[i] for i in rows]
    tokens_ML = tokenize([c for texts in captions for c in texts])
    counts = torch.tensor([len(texts) for texts in captions])
    text_key = _text_key(tokens_ML)
    return PairTensors(
        split.name,
        pixels,
        key,
        tokens_ML,
        text_key,
        torch.arange(len(captions)).repeat_interleave(counts),
        torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        digest([key, *(c for texts in captions for c in (str(len(texts)), *texts))]),
    )


def _labelled(
    split: Labelled, rows: list[int], pixels: PixelRows, key: str, tokenize: Tokenize
) -> LabelTensors:
    labels = np.asarray(split.labels[rows], dtype=np.int64)
    prompts = [t.format(name) for name in split.classnames for t in split.templates]
    prompts_CPL = tokenize(prompts).unflatten(0, (len(split.classnames), -1))
    return LabelTensors(
        split.name,
        pixels,
        key,
        torch.from_numpy(labels),
        split.classnames,
        prompts_CPL,
        _text_key(prompts_CPL),
        digest([key, labels.tobytes(), *prompts]),
    )
