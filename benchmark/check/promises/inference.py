"""Group 4: rows and scores that depend on the item alone; evaluation leaves no trace."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...common.digests import digest
from ...data.tensors import LabelTensors, PairTensors
from ...suites.names import Kind
from ..contract import Broken, NotApplicable, Subject, check
from ..instruments.torch_state import Generators, TorchState
from ..instruments.trace import differing, traced
from ..learned import Evaluated, Learned
from ..rows import (
    Scorer,
    Side,
    count,
    embedded,
    encoded,
    images,
    score_sets,
    scorer,
    scores,
    with_others,
)  # fmt: skip

SIDES: tuple[Side, ...] = ("image", "text")
ROWS, SCORES = 1e-5, 1e-4
"""What the last bits of float32 may move, of a row of length 1 and of a scaled score."""


@check(
    "inference",
    "Return `unit(...)` of the features: it is float32 whatever they are.",
    needs=("trains",),
)
def rows_are_float32(subject: Subject, kind: Kind) -> None:
    """Both encoders give a finite row of float32, without gradient, for every item."""
    run, data, width = subject.learned(kind), subject.lab.pairs[2], subject.lab.clip().dim
    _at(subject, "encode_image")
    for side, row_BD in zip(SIDES, embedded(run, data), strict=True):
        shape = (count(side, data), width)
        if not isinstance(row_BD, Tensor) or tuple(row_BD.shape) != shape:
            got = tuple(row_BD.shape) if isinstance(row_BD, Tensor) else type(row_BD).__name__
            raise Broken(f"rows of {side}s of shape {got}, not {shape}")
        if row_BD.dtype != torch.float32:
            raise Broken(f"rows of {side}s of type {row_BD.dtype}")
        if row_BD.requires_grad:
            raise Broken(f"rows of {side}s with a gradient, which evaluation turned off")
        if not row_BD.isfinite().all():
            raise Broken(f"{int((~row_BD.isfinite()).sum())} numbers of {side}s are not finite")


@check(
    "inference",
    "Return `unit(...)` of the features: retrieval ranks by the cosine, which longer rows win.",
    needs=("rows_are_float32",),
)
def rows_have_length_1(subject: Subject, kind: Kind) -> str:
    """Every row has length 1."""
    most = 0.0
    for side, row_BD in zip(
        SIDES, embedded(subject.learned(kind), subject.lab.pairs[2]), strict=True
    ):
        length_B = row_BD.norm(dim=1)
        off = float((length_B - 1).abs().max())
        if off > ROWS:
            raise Broken(f"lengths of {side}s from {length_B.min():.4g} to {length_B.max():.4g}")
        most = max(most, off)
    return f"off by at most {most:.1g}"


def _evaluated(subject: Subject, kind: Kind) -> Evaluated:
    """Evaluation of a set of pairs and of two that share their classes, twice."""
    run, lab = subject.learned(kind), subject.lab
    if run.evaluated is None:
        _at(subject, "evaluation")
        first = score_sets(run, lab)  # fills the caches of frozen features
        generators, before, switches = Generators.now(), traced(run.method), TorchState.now()
        again = score_sets(run, lab)
        changes, drawn = switches.restore(), generators.drawn()
        changed = differing(before, traced(run.method))
        changed += ["training mode"] * run.method.training
        run.evaluated = Evaluated(drawn, changed, changes, again != first)
    return run.evaluated


def _at(subject: Subject, hook: str) -> None:
    subject.lab.place.at(hook)


@check(
    "inference",
    "Draw nothing in the encoders; what is random belongs into training, from its generators.",
    needs=("trains", "rows_have_length_1"),
)
def no_global_generator(subject: Subject, kind: Kind) -> None:
    """Evaluation draws from no global generator: torch's, Python's or numpy's."""
    if drawn := _evaluated(subject, kind).drawn:
        raise Broken(f"the generator of {' and of '.join(drawn)} stands elsewhere afterwards")


@check(
    "inference",
    "Change nothing in the encoders and in `classifier`: count and learn in the training hooks.",
    needs=("trains", "no_global_generator"),
)
def evaluation_leaves_no_trace(subject: Subject, kind: Kind) -> None:
    """Evaluation changes no weight, buffer or attribute, and none of torch's switches."""
    found = _evaluated(subject, kind)
    if found.changed or found.switches:
        subject.forget()
        shown = ", ".join([*(f"`{n}`" for n in found.changed[:5]), *found.switches])
        raise Broken(f"changed by it: {shown}")


@check(
    "inference",
    "Let a row depend on the item and the state alone: no counter, no clock, no draw.",
    needs=("trains", "no_global_generator", "evaluation_leaves_no_trace", "rows_are_float32"),
)
def repeatable(subject: Subject, kind: Kind) -> None:
    """The same evaluation twice gives the same bits."""
    run, lab = subject.learned(kind), subject.lab
    for data in (lab.pairs[0], lab.pairs[1]):
        for side, one, two in zip(SIDES, embedded(run, data), embedded(run, data), strict=True):
            if not one.equal(two):
                raise Broken(f"rows of {side}s that differ by {_off(one, two):.2g}")
    rows = torch.arange(len(lab.labelled[0]))
    one, two = scores(run, lab.labelled[0], rows), scores(run, lab.labelled[0], rows)
    if not one.equal(two):
        raise Broken(f"scores that differ by {_off(one, two):.2g}")
    if _evaluated(subject, kind).differs:
        raise Broken("the same rows of hits, but other routes, ranks or hits")


@check(
    "inference",
    "Compute an item's row from that item: no statistic of the batch, no normalisation over it; "
    "what chooses (a router, a gate) in float64.",
    needs=("repeatable",),
)
def batch_invariance(subject: Subject, kind: Kind) -> str:
    """A row does not depend on what else is in the batch: its size, its order, other items."""
    run, lab = subject.learned(kind), subject.lab
    if "test batch" in run.method.uses:
        raise NotApplicable("it declares 'test batch'")
    most = 0.0
    for data in (lab.pairs[0], subject.captioned):  # a learned set and one that is not
        for side in SIDES:
            _at(subject, f"encode_{side}")
            most = max(most, _rows_vary(run, side, data, lab.pairs[2]))
    _at(subject, "classifier")
    for labelled in lab.labelled:
        rows, score = torch.arange(len(labelled)), scorer(run, labelled)
        _scores_vary(run, labelled, score, rows)
    return f"at most {most:.1g}"


def _rows_vary(run: Learned, side: Side, data: PairTensors, others: PairTensors) -> float:
    """The largest deviation of a row; raises `Broken` where it is too large."""
    some = 5
    every = torch.arange(count(side, data))
    p = torch.randperm(len(every), generator=torch.Generator().manual_seed(3))
    whole = encoded(run, side, data, every)

    def take(rows: Tensor) -> Tensor:
        return encoded(run, side, data, rows)

    first, three = every[:some], every[: 2 * some].split(3)
    makings: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
        "one at a time": lambda: (torch.cat([take(r) for r in first.split(1)]), whole[:some]),
        "three at a time": lambda: (torch.cat([take(r) for r in three]), whole[: 2 * some]),
        "in another order": lambda: (take(p), whole[p]),
        "among items of another set": lambda: (
            with_others(run, side, data, first, others), whole[:some],
        ),
    }  # fmt: skip
    most = 0.0
    for how, make in makings.items():
        got, expected = make()
        if got.shape != expected.shape:
            raise Broken(f"{len(expected)} {side}s {how} give {len(got)} rows")
        if (off := _off(got, expected)) > ROWS:
            raise Broken(
                f"rows of {side}s {how} deviate by up to {off:.2g} from those of one batch"
            )
        most = max(most, off)
    return most


@torch.no_grad()
def _scores_vary(run: Learned, data: LabelTensors, score: Scorer, rows: Tensor) -> None:
    whole = score(images(run, data, rows))
    single = torch.cat([score(images(run, data, r)) for r in rows[:6].split(1)])
    if (off := _off(single, whole[:6])) > SCORES:
        raise Broken(f"scores of images one at a time deviate by up to {off:.2g}")


@check(
    "inference",
    "Let column c of the scores depend on class c's own prompts, and on what `task_C[c]` says.",
    needs=("repeatable",),
)
def class_order(subject: Subject, kind: Kind) -> None:
    """Scores are float32, one for each class, and permuted as the classes are."""
    run = subject.learned(kind)
    _at(subject, "classifier")
    for data in subject.lab.labelled:
        c, rows = len(data.names), torch.arange(len(data))
        p = torch.randperm(c, generator=torch.Generator().manual_seed(1))
        mixed = replace(
            data,
            names=tuple(data.names[i] for i in p),
            prompts_CPL=data.prompts_CPL[p],
            text_key=digest([data.text_key, "permuted"]),
        )
        plain = scores(run, data, rows)
        if tuple(plain.shape) != (len(data), c) or plain.dtype != torch.float32:
            shape = tuple(plain.shape)
            raise Broken(f"scores of shape {shape} and type {plain.dtype}, for {len(data)} x {c}")
        if not plain.isfinite().all() or plain.std() == 0:
            raise Broken("scores that are not finite, or all the same")
        if (off := _off(scores(run, mixed, rows), plain[:, p])) > SCORES:
            raise Broken(f"scores of the classes in another order deviate by up to {off:.2g}")


def _off(one: Tensor, other: Tensor) -> float:
    """The largest difference; infinite where something is not finite."""
    off = float((one - other).abs().max())
    return off if off == off else float("inf")


CHECKS = (
    rows_are_float32, rows_have_length_1, no_global_generator, evaluation_leaves_no_trace,
    repeatable, batch_invariance, class_order,
)  # fmt: skip
