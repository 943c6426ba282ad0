"""The device: training and inference under an accelerator's rules, and on a true one."""

from dataclasses import replace
from unittest import mock

import torch

from ...errors import BenchError
from ...run.guards import returns
from ...suites.names import Kind
from ..contract import Broken, NotApplicable, Subject, check, last_line
from ..instruments.pretended import DeviceMismatch, Elsewhere, pretended
from ..learned import Learned
from ..rows import embedded, score_sets

_REMEDY = (
    "Make the tensor where the data are: `device=x.device`, `x.new_zeros(...)`, `torch.zeros_like`;"
    " what `task.generator(...)` draws on the CPU goes there with `.to(x.device)`, indices and"
    " class tables too."
)


@check("device", _REMEDY, needs=("trains", "class_order", "same_seed"))
def on_a_pretended_device(subject: Subject, kind: Kind) -> None:
    """Training and inference run where weights and batches are on an accelerator.

    No accelerator is needed: see `check.instruments.pretended`.
    """
    # To the guards of a run, what is there is the plain kind of tensor.
    with pretended() as device, mock.patch.object(returns, "Tensor", Elsewhere):
        try:
            again = _train_and_score(subject, kind, device)
        except DeviceMismatch as e:
            raise Broken(f"{_line(e, subject)}: {e}") from e
        except (RuntimeError, TypeError, NotImplementedError, BenchError) as e:
            text = " ".join(str(e).split())[:300]
            raise Broken(f"{_line(e, subject)}: {type(e).__name__}: {text}") from e
        losses = again.losses
    _near(subject.learned(kind).losses, losses)


@check("device", _REMEDY, needs=("trains", "on_a_pretended_device"), full=True)
def on_cuda(subject: Subject, kind: Kind) -> None:
    """Training and inference run on this machine's GPU, to losses near those of the CPU."""
    if not torch.cuda.is_available():
        raise NotApplicable("no CUDA on this machine")
    again = _train_and_score(subject, kind, torch.device("cuda"))
    _near(subject.learned(kind).losses, again.losses)


def _train_and_score(subject: Subject, kind: Kind, device: torch.device) -> Learned:
    lab = replace(subject.lab, device=device)
    run = lab.train(subject.found, lab.sets(kind)[:2], **subject.changes)
    lab.place.at("evaluation")
    for row_BD in embedded(run, lab.pairs[0]):
        if row_BD.device.type != device.type:
            raise Broken(f"rows that are on {row_BD.device}, not where the images are")
    score_sets(run, lab)
    return run


def _line(error: BaseException, subject: Subject) -> str:
    """The method's line that an error went by, else the hook that it came from."""
    place = str(subject.lab.place)
    where = last_line(error, subject.file)
    return f"{where} ({place})" if where and place else where or f"in {place}"


def _near(losses: list[float], there: list[float]) -> None:
    """Other kernels give other last bits, which a few steps make larger; not another training."""
    for step, (one, two) in enumerate(zip(losses, there, strict=True), start=1):
        if abs(one - two) > 0.05 * max(1.0, abs(one)):
            raise Broken(f"at step {step} a loss of {two:.4g}, and of {one:.4g} on the CPU")


CHECKS = (on_a_pretended_device, on_cuda)
