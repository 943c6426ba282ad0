"""Scores an encoder on one evaluation set. There is no other evaluator, and it knows no method.

Two kinds of sets: pairs ask for embeddings of images and of texts, labelled ones for a classifier.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..common.report import Advance, ignore
from ..data.items import Items, Rules
from ..data.tensors import LabelTensors, PairTensors
from ..metrics.accuracy import rank_of, top1
from ..metrics.retrieval import hits, ranks_both_ways
from ..protocol.badges import Badge
from ..protocol.items import Context, Images, Log, no_log
from ..protocol.lookup import Lookup
from ..protocol.method import Encoder, Frozen, at_once
from ..records.answers import KS
from .guards.returns import checked_classifier, checked_scores, checked_shape
from .guards.rows import Called, check_alone, check_finite, check_rows, tolerance, watched
from .scoring.memory import Classifier, Memory, Ranks
from .scoring.sets import Counts, prompts_of, score_row
from .scoring.sets import EvalSet as EvalSet
from .scoring.sets import Row as Row
from .scoring.sets import Scores as Scores
from .scoring.sets import failed_rows as failed_rows
from .scoring.sets import items_of as items_of


@dataclass(frozen=True)
class _Evaluation:
    """One encoder on one set.

    Attributes:
        task: what items say of their learned task; None where the method does not declare it.
        pairing: whether items carry the features of what they are paired with.
        places: learned task of every split of the scope, as classes say it.
        allowed: how far a row may move in another batch; None where it may move at will.
        built_in: whether its code came with the harness.
        images, texts: how many the encoder is given at a time.
        memory: what it has in common with the others of a run.
    """

    encoder: Encoder
    feed: Items
    which: EvalSet
    task: int | None
    pairing: bool
    places: list[int]
    allowed: float | None
    built_in: bool
    images: int
    texts: int
    advance: Advance
    memory: Memory

    @property
    def verify(self) -> float | None:
        """How far a stored row may be from one that is encoded again; None for no look."""
        return None if self.built_in else self.allowed


@torch.no_grad()
def evaluate(
    encoder: Encoder,
    feed: Items,
    which: EvalSet,
    step: int = 0,
    uses: frozenset[Badge] = frozenset(),
    advance: Advance = ignore,
    again: bool = True,
    memory: Memory | None = None,
    committed: bool = True,
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
        again: whether a few items are encoded in other batches too, and compared. Rows that a
            method of the harness's own has from the store are compared as they are there; those
            of others are also encoded past it, as their keys are only claimed to tell all.
        memory: what it has in common with other evaluations of a run; inside `Memory.stage`.
        committed: whether a method of methods/ is as the repository has it, whose tests have asked
            past the store; else it is looked at as everybody's.

    Raises:
        Undefined: an embedding or a score is NaN or infinite, or an embedding zero.
        MethodError: rows or scores that are none, or that depend on the batch (see `guards.rows`).
    """
    learned = which.position if which.position is not None and which.position < step else -1
    task = learned if "task id" in uses else None
    shown = task is not None or len(which.scope) > 1
    own = isinstance(encoder, Frozen) or "test batch" in uses or not again
    run = _Evaluation(
        encoder,
        feed,
        which,
        task,
        "test pairing" in uses,
        [p if shown and p is not None and p < step else -1 for p in which.places],
        None if own else tolerance(feed.clip.precision, feed.device),
        committed and type(encoder).__module__.partition(".")[0] in ("benchmark", "methods"),
        at_once(encoder, "encode_image", uses),
        at_once(encoder, "encode_text", uses),
        advance,
        memory or Memory(),
    )
    data = which.data
    scores = _pairs(run, data) if isinstance(data, PairTensors) else _labelled(run, data)
    feed.frozen.store.flush()
    return scores


def _encode(
    order_N: Tensor, encode: Callable[[Tensor], Tensor], many: int, advance: Advance
) -> Tensor:
    parts = []
    for rows in order_N.split(many):
        parts.append(encode(rows).clone())  # a method may use the memory again for the next batch
        advance(len(rows))
    return torch.cat(parts)


def _encode_by_length(
    length_M: Tensor, encode: Callable[[Tensor], Tensor], many: int, advance: Advance
) -> Tensor:
    """As `_encode`; texts of similar length share a batch, as a tower runs over its longest."""
    order_M = length_M.argsort(stable=True)
    rows_MD = _encode(order_M, encode, many, advance)
    return rows_MD[order_M.argsort().to(rows_MD.device)]


def _pairs(run: _Evaluation, data: PairTensors) -> Scores:
    counts, tokens, feed, task = Counts(), data.tokens_ML, run.feed, run.task
    of_image, of_text = counts.of("image"), counts.of("text")

    def images(rows: Tensor, log: Log = of_image, verify: float | None = None) -> Tensor:
        partner = Lookup(partial(feed.captions_of, data), rows) if run.pairing else None
        items = feed.images(data, rows, Context(log, task, partner), cached=True, verify=verify)
        row_BD = run.encoder.encode_image(items)
        return checked_shape(row_BD, len(rows), feed.device, "encode_image()")

    def texts(rows: Tensor, log: Log = of_text, verify: float | None = None) -> Tensor:
        partner = Lookup(partial(feed.image_of, data), rows) if run.pairing else None
        context = Context(log, task, partner)
        items = feed.texts(tokens, data.text_key, rows, context, cached=True, verify=verify)
        row_BD = run.encoder.encode_text(items)
        return checked_shape(row_BD, len(rows), feed.device, "encode_text()")

    image_ND = _encode(torch.arange(len(data)), images, run.images, run.advance)
    length_M = feed.clip.end_of_text(tokens)
    text_MD = _encode_by_length(length_M, texts, run.texts, run.advance)
    for rows_ND, encode, hook, items in (
        (image_ND, images, "encode_image()", "image"),
        (text_MD, texts, "encode_text()", "caption"),
    ):
        called = Called(hook, run.which.title, items)
        check_rows(rows_ND, called)
        if run.allowed is not None:
            n, place_K = len(rows_ND), watched(len(rows_ND))
            then_KD = rows_ND[place_K.to(rows_ND.device)]
            again = partial(encode, log=no_log, verify=run.verify)
            check_alone(place_K, then_KD, again, run.allowed, called, n)
    about = f"{run.which.name} {data.fingerprint}"
    rank = run.memory.ranks((image_ND, text_MD), about, lambda: _ranks(data, image_ND, text_MD))
    gallery = {"t2i": len(data), "i2t": len(data.tokens_ML)}
    rows = [
        score_row("hit", d, k, hits(r, k), len(r), gallery[d]) for d, r in rank.items() for k in KS
    ]
    return Scores(rows + list(counts.rows()), {d: r.tolist() for d, r in rank.items()}, [])


def _ranks(data: PairTensors, image_ND: Tensor, text_MD: Tensor) -> Ranks:
    """Rank of the first positive, of texts and of images as queries."""
    t2i_M, i2t_N = ranks_both_ways(text_MD, image_ND, data.owner_M.to(image_ND.device))
    return {"t2i": t2i_M, "i2t": i2t_N}


def _classifier(run: _Evaluation) -> Classifier:
    """The method's classifier of the set's classes, which other sets of the stage may have had."""
    partner = (lambda: None) if run.pairing else None  # there are no pairs here
    keys = tuple(part.text_key for part in run.which.scope)
    names = tuple(part.names for part in run.which.scope)

    def make(known: Classifier) -> Callable[[Images], object]:
        told = Context(known.log(), run.task, partner)
        rules = Rules(True, run.verify, few=True)
        classes = run.feed.classes(run.which.scope, learned=run.places, context=told, rules=rules)
        return checked_classifier(run.encoder.classifier(classes))

    return run.memory.classifier((keys, names, tuple(run.places), run.task), make)


def _labelled(run: _Evaluation, data: LabelTensors) -> Scores:
    counts, which, feed = Counts(), run.which, run.feed
    partner = (lambda: None) if run.pairing else None
    of_image = Context(counts.of("image"), run.task, partner)
    known = _classifier(run)
    score = known.score
    assert score is not None
    run.advance(prompts_of(which))
    label_N, called = which.right_N(), Called("classifier()", which.title, "image")
    hook, classes = "the function that classifier() returns", sum(len(s.names) for s in which.scope)

    def scores(rows: Tensor, context: Context = of_image, verify: float | None = None) -> Tensor:
        images = feed.images(data, rows, context, cached=True, verify=verify)
        return checked_scores(score(images), len(rows), classes, feed.device, hook)

    place_K, then = watched(len(data)), list[Tensor]()

    def guess(rows: Tensor) -> Tensor:
        score_BC = scores(rows)
        check_finite(score_BC, rows, len(data), called)
        if run.allowed is not None:
            then.append(score_BC[(place_K[torch.isin(place_K, rows)] - rows[0]).to(feed.device)])
        right_B = label_N[rows].to(score_BC.device)
        return torch.stack([top1(score_BC), rank_of(score_BC, right_B)], dim=1)

    order_N = torch.arange(len(data))
    guess_N, rank_N = _encode(order_N, guess, run.images, run.advance).cpu().T
    if run.allowed is not None:
        plain = partial(scores, context=Context(no_log, run.task, partner), verify=run.verify)
        check_alone(place_K, torch.cat(then), plain, run.allowed, called, len(data))
    counts.add(known.counts)
    right = int((guess_N == label_N).sum())
    rows = [score_row("acc", None, None, right, len(data), classes)]
    ranks = {"image": rank_N.tolist()}
    return Scores(rows + list(counts.rows()), ranks, guess_N.tolist())
