"""Group 9: half precision, batches in pieces, and what a method asks of the system."""

from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np
import torch

from ...errors import BenchError
from ...protocol.config import Config, field_types, literals
from ...suites.names import Kind
from ..contract import Broken, NotApplicable, Subject, check
from ..instruments.watch import watched
from ..learned import Learned
from ..rows import bits, embedded


@check(
    "hostile",
    "Leave files, programs and the network to the harness.",
    needs=("imports", "calls", "trains"),
)
def asks_nothing_of_the_system(subject: Subject, kind: Kind) -> None:
    """Training and inference open no file, start no program and reach no network."""
    lab = subject.lab
    with watched(subject.file) as seen:
        run = lab.train(subject.found, lab.sets(kind)[:2], **subject.changes)
        embedded(run, lab.pairs[0])
    if seen:
        raise Broken("; ".join(dict.fromkeys(seen)))


@check(
    "hostile",
    "Compute losses and similarities outside the towers in float32 (`x.float()`).",
    needs=("trains", "rows_have_length_1"),
    full=True,
)
def half_precision(subject: Subject, kind: Kind) -> None:
    """With towers in bf16, losses are finite and rows are float32 of length 1."""
    lab = replace(subject.lab, precision="bf16")
    run = lab.train(subject.found, lab.sets(kind)[:2], **subject.changes)
    if not np.isfinite(run.losses).all():
        raise Broken(f"losses of {run.losses}")
    lab.place.at("evaluation")
    for row_BD in embedded(run, lab.pairs[0]):
        if row_BD.dtype != torch.float32:
            raise Broken(f"rows of type {row_BD.dtype}")
        if (off := float((row_BD.norm(dim=1) - 1).abs().max())) > 1e-5:
            raise Broken(f"rows whose length is off by {off:.2g}")


@check(
    "hostile",
    "Draw in a delta from torch's global generator alone, count nothing there, and take what the "
    "loss needs from `features`, which gives the whole batch.",
    needs=("trains", "same_seed"),
    full=True,
)
def batches_in_pieces(subject: Subject, kind: Kind) -> str | None:
    """Where memory is short and a batch goes through the towers in pieces, the losses agree.

    Not where a step draws, as a dropout does: then other masks are drawn, and the training has to
    end with finite losses alone.
    """
    lab = replace(subject.lab, chunks=4)
    run = lab.train(subject.found, lab.sets(kind)[:2], **subject.changes)
    if not np.isfinite(run.losses).all():
        raise Broken(f"losses of {run.losses}")
    if _draws(subject, kind):
        return "a step draws, so only that losses are finite is compared"
    for step, (one, two) in enumerate(zip(subject.learned(kind).losses, run.losses, strict=True)):
        if abs(one - two) > 0.02 * max(1.0, abs(one)):
            raise Broken(f"at step {step + 1} a loss of {two:.5g}, and of {one:.5g} in one piece")
    return None


def _draws(subject: Subject, kind: Kind) -> bool:
    """Whether a loss depends on torch's global generator."""
    lab = subject.lab
    feed = lab.feed(lab.clip())
    method = lab.method(subject.found, feed, **subject.changes)
    task = lab.task(feed, lab.sets(kind)[0], 0, 2)
    lab.before(method, task, lab.sets(kind)[0])
    if not method.trainable():
        return False
    method.train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    method.loss(next(task.loader.epoch(0)))
    return not torch.equal(before, torch.get_rng_state())


@check(
    "hostile",
    "Use the setting, or remove it; if it acts in longer runs alone, all is well.",
    needs=("trains", "same_seed"),
    full=True,
)
def settings_matter(subject: Subject, kind: Kind) -> str | None:
    """Another value of a setting gives another result."""
    own = {f.name for f in fields(subject.found.config)} - {f.name for f in fields(Config)}
    if not own:
        raise NotApplicable("it has no settings of its own")
    first = subject.learned(kind)
    idle = [name for name in sorted(own) if not _matters(subject, kind, name, first)]
    if idle:
        words = ", ".join(map(repr, idle))
        raise Broken(f"two tiny tasks end alike whatever {words} is", warning=True)
    return None


def _matters(subject: Subject, kind: Kind, name: str, first: Learned) -> bool:
    """Whether some other value of a setting changes losses, state or rows, or is refused."""
    there = {**vars(subject.found.config), **subject.changes}[name]
    tried = False
    for value in _others(field_types(type(subject.found.config))[name], there):
        try:
            changes = {**subject.changes, name: value}
            lab = subject.lab
            other = lab.train(subject.found, lab.sets(kind)[:2], **changes)
        except BenchError:
            continue  # refused: another value may be taken
        tried = True
        if other.losses != first.losses:
            return True
        if bits(other.method.state_dict()) != bits(first.method.state_dict()):
            return True
        data = subject.lab.pairs[0]
        if any(
            not a.equal(b)
            for a, b in zip(embedded(other, data), embedded(first, data), strict=True)
        ):
            return True
    return not tried


def _others(kind: Any, value: Any) -> list[Any]:
    """Other values of a setting, of its type."""
    if choices := literals(kind):
        return [choice for choice in choices if choice != value]
    options = get_args(kind) or (kind,)
    if bool in options:
        return [not value]
    if isinstance(value, float) or (value is None and float in options):
        base = 0.3 if value is None else value
        return [base * 0.5 + 0.01, base * 2 + 0.1]
    if isinstance(value, int) or (value is None and int in options):
        base = 2 if value is None else value
        return [base + 1, max(1, base - 1)]
    return []


CHECKS = (asks_nothing_of_the_system, half_precision, batches_in_pieces, settings_matter)
