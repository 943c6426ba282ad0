"""Rows and scores of a method that has learned, of items in batches of any make-up."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ..data.items import Items
from ..data.tensors import LabelTensors, PairTensors, Tensors
from ..protocol.badges import Badge
from ..protocol.items import Context, Images, Texts, together
from ..protocol.lookup import Lookup
from ..run.evaluate import EvalSet, Scores, evaluate
from ..run.state import checkpoint
from .lab import Lab
from .learned import Learned

Side = Literal["image", "text"]
Scorer = Callable[[Images], Tensor]


def bits(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """A digest of the values of every tensor."""
    return {name: checkpoint._digest(tensor) for name, tensor in tensors.items()}


def count(side: Side, data: PairTensors) -> int:
    """Number of images, or of captions, of a set."""
    return len(data) if side == "image" else len(data.tokens_ML)


@torch.no_grad()
def encoded(run: Learned, side: Side, data: PairTensors, rows: Tensor) -> Tensor:
    """Rows of some images or captions of a set, in one batch, as the encoder gives them."""
    if side == "image":
        row_BD: Tensor = run.method.encode_image(images(run, data, rows))
        return row_BD
    return run.method.encode_text(texts(run, data, rows))


def embedded(run: Learned, data: PairTensors) -> tuple[Tensor, Tensor]:
    """Rows of all images and of all captions of a set."""
    of_images, of_texts = torch.arange(len(data)), torch.arange(len(data.tokens_ML))
    return encoded(run, "image", data, of_images), encoded(run, "text", data, of_texts)


@torch.no_grad()
def with_others(
    run: Learned, side: Side, data: PairTensors, rows: Tensor, others: PairTensors
) -> Tensor:
    """Rows of some items of a set, in a batch with items of another set around them."""
    strangers = torch.arange(min(4, count(side, others)))
    make: Callable[[Learned, Any, Tensor], Any] = images if side == "image" else texts
    parts = [make(run, others, strangers), make(run, data, rows), make(run, others, strangers)]
    n, first = len(rows), len(strangers)
    whole = _joined(parts)
    encode = run.method.encode_image if side == "image" else run.method.encode_text
    found: Tensor = encode(whole)
    return found[first : first + n]


@torch.no_grad()
def scorer(run: Learned, data: LabelTensors) -> Scorer:
    """The method's classifier for one set."""
    context = _context(run, None)
    found: Scorer = run.method.classifier(run.feed.classes((data,), context=context))
    return found


@torch.no_grad()
def scores(run: Learned, data: LabelTensors, rows: Tensor) -> Tensor:
    """Scores (B, C) of some images of a labelled set, in one batch."""
    return scorer(run, data)(images(run, data, rows))


def score_sets(run: Learned, lab: Lab) -> list[Scores]:
    """Scores of a set of pairs, and of all labelled sets, which share their classes.

    By the evaluator, told that rows may depend on the batch: whether they do is another check, of
    more makings of a batch than a run has time for.
    """
    sets = [EvalSet("a", "A", lab.pairs[0], 0)]
    for index, data in enumerate(lab.labelled):
        places = tuple(range(len(lab.labelled)))
        sets.append(EvalSet("b", "B", data, 0, lab.labelled, index, places))
    uses: frozenset[Badge] = run.method.uses | {"test batch"}
    return [evaluate(run.method, run.feed, which, 2, uses) for which in sets]


def images(run: Learned, data: Tensors, rows: Tensor) -> Images:
    """Test images with what the method declares that it is told of them."""
    return run.feed.images(data, rows, _context(run, _partner(run.feed, "image", data, rows)))


def texts(run: Learned, data: PairTensors, rows: Tensor) -> Texts:
    """Captions with what the method declares that it is told of them."""
    context = _context(run, _partner(run.feed, "text", data, rows))
    return run.feed.texts(data.tokens_ML, data.text_key, rows, context)


def frozen_images(run: Learned, data: Tensors) -> Tensor:
    """Rows (N, D) of the untouched backbone."""
    return run.feed.frozen.images(data.pixels, data.pixel_key)


def _context(run: Learned, partner: Callable[[], Tensor | None] | None) -> Context:
    uses = run.method.uses
    if "test pairing" in uses and partner is None:
        partner = _nobody
    return Context(
        task=0 if "task id" in uses else None,
        partner=partner if "test pairing" in uses else None,
    )


def _nobody() -> None:
    """Items of labelled sets have no partner."""


def _partner(feed: Items, side: Side, data: Tensors, rows: Tensor) -> Callable[[], Tensor | None]:
    if not isinstance(data, PairTensors):
        return _nobody
    table = feed.captions_of if side == "image" else feed.image_of
    return Lookup(partial(table, data), rows)


def _joined(parts: list[Any]) -> Any:
    """One batch of several, with the partners of each part."""

    def partner() -> Tensor | None:
        return torch.cat([part.partner for part in parts])

    whole, context = together(parts), parts[0]._context
    told = Context(context.log, context.task, context.partner and partner, whole._context.cached)
    return replace(whole, _context=told)
