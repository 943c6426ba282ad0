"""Scores an encoder on one evaluation set. There is no other evaluator, and it knows no method.

Two kinds of sets: pairs ask for embeddings of images and of texts, labelled ones for a classifier.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..common.report import Advance, ignore
from ..data.items import Items
from ..data.tensors import LabelTensors, PairTensors, Tensors
from ..errors import BenchError
from ..metrics.accuracy import rank_of, top1
from ..metrics.retrieval import first_positive_rank, hits
from ..protocol.badges import Badge
from ..protocol.lookup import Lookup
from ..protocol.method import Encoder, Frozen
from ..protocol.types import Context, Log, no_log
from ..records.answers import KS
from .guards.returns import checked_classifier, checked_scores, checked_shape
from .guards.rows import Called, check_alone, check_finite, check_rows, tolerance, watched

BATCH = 256


@dataclass(frozen=True)
class EvalSet:
    """One test split and how it is scored.

    Attributes:
        name, title: of the dataset. data: the loaded split.
        position: 0-based place in the learned order, None where it is held out.
        scope: for labelled sets, all splits whose classes compete; own: the index of this one.
        places: position of every split of the scope.
    """

    name: str
    title: str
    data: Tensors
    position: int | None
    scope: tuple[LabelTensors, ...] = ()
    own: int = 0
    places: tuple[int | None, ...] = ()

    @property
    def label_space(self) -> str | None:
        """own, union, or None for pairs."""
        return None if not self.scope else "own" if len(self.scope) == 1 else "union"

    def right_N(self) -> Tensor:
        """What is right for every image (N,), see `records.answers.AnswerKey`."""
        if isinstance(self.data, PairTensors):
            return self.data.first_N[1:] - self.data.first_N[:-1]
        return self.data.label_N + sum(len(s.names) for s in self.scope[: self.own])


Row = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """What one evaluation gave.

    Attributes:
        rows: of the record.
        ranks: direction -> rank of the first positive of each query, 0 for the first; of a labelled
            set, under "image", that of the right class.
        guesses: of a labelled set, index of the class that was predicted for each image.
    """

    rows: list[Row]
    ranks: dict[str, list[int]]
    guesses: list[int]


class _Counts:
    """How often a method logged which value for an item."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter[int]] = {}

    def of(self, modality: str) -> Log:
        def log(key: str, value_B: Tensor) -> None:
            values = value_B.flatten().tolist()
            if key != "route" or not all(isinstance(v, int) and 0 <= v < 2**15 for v in values):
                raise BenchError(
                    "logs under the key 'route', integers from 0 to 32767",
                    f"'{key}' with {max(values, default=None, key=abs)}",
                    "log the index of what an item was routed to",
                )
            self.counts.setdefault((key, modality), Counter()).update(values)

        return log

    def rows(self) -> Iterator[Row]:
        for (key, modality), counter in sorted(self.counts.items()):
            for value, count in sorted(counter.items()):
                n = counter.total()
                yield _row(key, modality, value, count, n, 0)


def _row(
    metric: str, direction: str | None, k: int | None, count: int, queries: int, gallery: int
) -> Row:
    return {
        "direction": direction,
        "metric": metric,
        "k": k,
        "value": count / queries,
        "hits": count,
        "n_queries": queries,
        "n_gallery": gallery,
    }


@torch.no_grad()
def evaluate(
    encoder: Encoder,
    feed: Items,
    which: EvalSet,
    step: int = 0,
    uses: frozenset[Badge] = frozenset(),
    advance: Advance = ignore,
    again: bool = True,
) -> Scores:
    """Score one set.

    Args:
        encoder: a method in eval mode, or the frozen backbone.
        feed: makes the batches.
        which: the set.
        step: number of tasks learned.
        uses: what the method declares. With "task id", items carry their learned task; with
            "test pairing", the features of what they are paired with.
        advance: is called with the number of items that were encoded, see `items_of`.
        again: whether a few items are encoded in other batches too, and compared.

    Raises:
        Undefined: an embedding or a score is NaN or infinite, or an embedding zero.
        MethodError: rows or scores that are none, or that depend on the batch (see `guards.rows`).
    """
    learned = which.position if which.position is not None and which.position < step else -1
    task = learned if "task id" in uses else None
    shown = task is not None or len(which.scope) > 1
    places = [p if shown and p is not None and p < step else -1 for p in which.places]
    pairing = "test pairing" in uses
    own = isinstance(encoder, Frozen) or "test batch" in uses or not again
    allowed = None if own else tolerance(feed.clip.precision, feed.device)
    if isinstance(which.data, PairTensors):
        scores = _pairs(encoder, feed, which, which.data, task, pairing, allowed, advance)
    else:
        data = which.data
        scores = _labelled(encoder, feed, which, data, task, pairing, places, allowed, advance)
    feed.frozen.store.flush()
    return scores


def items_of(which: EvalSet) -> int:
    """Number of images and of captions or class prompts that a set is scored with."""
    if isinstance(which.data, PairTensors):
        return len(which.data) + len(which.data.tokens_ML)
    return len(which.data) + _prompts(which)


def _prompts(which: EvalSet) -> int:
    return sum(part.prompts_CPL.shape[0] * part.prompts_CPL.shape[1] for part in which.scope)


def failed_rows(which: EvalSet, status: str, error: str) -> list[Row]:
    """Rows for a set that could not be scored: they have a status, so that no row is missing."""
    data = which.data
    if isinstance(data, PairTensors):
        n = {"t2i": (len(data.tokens_ML), len(data)), "i2t": (len(data), len(data.tokens_ML))}
        empty = [_row("hit", d, k, 0, *n[d]) for d in n for k in KS]
    else:
        empty = [_row("acc", None, None, 0, len(data), sum(len(s.names) for s in which.scope))]
    return [{**r, "value": None, "hits": None, "status": status, "error": error} for r in empty]


def _encode(order_N: Tensor, encode: Callable[[Tensor], Tensor], advance: Advance) -> Tensor:
    parts = []
    for rows in order_N.split(BATCH):
        parts.append(encode(rows).clone())  # a method may use the memory again for the next batch
        advance(len(rows))
    return torch.cat(parts)


def _encode_by_length(
    length_M: Tensor, encode: Callable[[Tensor], Tensor], advance: Advance
) -> Tensor:
    """As `_encode`; texts of similar length share a batch, as a tower runs over its longest."""
    order_M = length_M.argsort(stable=True)
    rows_MD = _encode(order_M, encode, advance)
    return rows_MD[order_M.argsort().to(rows_MD.device)]


def _pairs(
    encoder: Encoder,
    feed: Items,
    which: EvalSet,
    data: PairTensors,
    task: int | None,
    pairing: bool,
    allowed: float | None,
    advance: Advance,
) -> Scores:
    counts, tokens = _Counts(), data.tokens_ML
    of_image, of_text = counts.of("image"), counts.of("text")

    def images(rows: Tensor, log: Log = of_image) -> Tensor:
        partner = Lookup(partial(feed.captions_of, data), rows) if pairing else None
        items = feed.images(data, rows, Context(log, task, partner), cached=True)
        return checked_shape(encoder.encode_image(items), len(rows), feed.device, "encode_image()")

    def texts(rows: Tensor, log: Log = of_text) -> Tensor:
        partner = Lookup(partial(feed.image_of, data), rows) if pairing else None
        context = Context(log, task, partner)
        items = feed.texts(tokens, data.text_key, rows, context, cached=True)
        return checked_shape(encoder.encode_text(items), len(rows), feed.device, "encode_text()")

    image_ND = _encode(torch.arange(len(data)), images, advance)
    text_MD = _encode_by_length(feed.clip.end_of_text(tokens), texts, advance)
    for rows_ND, encode, hook, items in (
        (image_ND, images, "encode_image()", "image"),
        (text_MD, texts, "encode_text()", "caption"),
    ):
        called = Called(hook, which.title, items)
        check_rows(rows_ND, called)
        if allowed is not None:
            n, place_K = len(rows_ND), watched(len(rows_ND))
            then_KD = rows_ND[place_K.to(rows_ND.device)]
            check_alone(place_K, then_KD, partial(encode, log=no_log), allowed, called, n)
    device = image_ND.device
    owner_M1 = data.owner_M[:, None].to(device)
    offset = torch.arange(int((data.first_N[1:] - data.first_N[:-1]).max()))
    caption_NP = data.first_N[:-1, None] + offset
    caption_NP = caption_NP.where(caption_NP < data.first_N[1:, None], -1).to(device)
    rank = {
        "t2i": first_positive_rank(text_MD, image_ND, owner_M1),
        "i2t": first_positive_rank(image_ND, text_MD, caption_NP),
    }
    gallery = {"t2i": len(data), "i2t": len(data.tokens_ML)}
    rows = [_row("hit", d, k, hits(r, k), len(r), gallery[d]) for d, r in rank.items() for k in KS]
    return Scores(rows + list(counts.rows()), {d: r.tolist() for d, r in rank.items()}, [])


def _labelled(
    encoder: Encoder,
    feed: Items,
    which: EvalSet,
    data: LabelTensors,
    task: int | None,
    pairing: bool,
    places: list[int],
    allowed: float | None,
    advance: Advance,
) -> Scores:
    counts = _Counts()
    partner = (lambda: None) if pairing else None  # there are no pairs here
    of_text, of_image = (Context(counts.of(m), task, partner) for m in ("text", "image"))
    classes = feed.classes(which.scope, learned=places, context=of_text, cached=True)
    score = checked_classifier(encoder.classifier(classes))
    advance(_prompts(which))

    label_N, called = which.right_N(), Called("classifier()", which.title, "image")
    hook = "the function that classifier() returns"

    def scores(rows: Tensor, context: Context = of_image) -> Tensor:
        score_BC = score(feed.images(data, rows, context, cached=True))
        return checked_scores(score_BC, len(rows), len(classes), feed.device, hook)

    place_K, then = watched(len(data)), list[Tensor]()

    def guess(rows: Tensor) -> Tensor:
        score_BC = scores(rows)
        check_finite(score_BC, rows, len(data), called)
        if allowed is not None:
            then.append(score_BC[(place_K[torch.isin(place_K, rows)] - rows[0]).to(feed.device)])
        right_B = label_N[rows].to(score_BC.device)
        return torch.stack([top1(score_BC), rank_of(score_BC, right_B)], dim=1)

    guess_N, rank_N = _encode(torch.arange(len(data)), guess, advance).cpu().T
    if allowed is not None:
        plain = partial(scores, context=Context(no_log, task, partner))
        check_alone(place_K, torch.cat(then), plain, allowed, called, len(data))
    right = int((guess_N == label_N).sum())
    rows = [_row("acc", None, None, right, len(data), len(classes))]
    ranks = {"image": rank_N.tolist()}
    return Scores(rows + list(counts.rows()), ranks, guess_N.tolist())
