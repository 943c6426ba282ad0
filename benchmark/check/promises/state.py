"""Groups 5 and 6: what survives a kill, and what may depend on the order of the tasks."""

import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from ...data.tensors import Tensors
from ...run.record.costs import plain_report
from ...run.state import checkpoint
from ...run.state.checkpoint import Pristine
from ...suites.names import Kind
from ..contract import Broken, NotApplicable, Subject, check
from ..learned import Halt, Learned
from ..rows import bits, embedded, scores

_KEEP = (
    "Keep it in an `nn.Buffer`, a parameter or a module; a number, list or plain attribute that "
    "another hook than `before_task` sets is lost."
)


@check(
    "state",
    "Return finite numbers, strings, lists and mappings; count in the training hooks.",
    needs=("trains",),
)
def report(subject: Subject, kind: Kind) -> None:
    """Its report fits into a record, is the same twice, and changes nothing."""
    method = subject.learned(kind).method
    subject.lab.place.at("report")
    before = bits(method.state_dict())
    if plain_report(method.report()) != plain_report(method.report()):
        raise Broken("another report the second time")
    if before != bits(method.state_dict()):
        subject.forget()
        raise Broken("it changes the method's state")


@check("state", _KEEP, needs=("trains", "repeatable"))
def state_comes_back(subject: Subject, kind: Kind) -> str:
    """After a kill between tasks, a method built anew from its saved tensors predicts the same."""
    run = subject.learned(kind)
    again, state = _from_disk(subject, run, kind)
    one, two = bits(run.method.state_dict()), bits(again.method.state_dict())
    if names := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
        raise Broken(f"`{names[0]}` comes back otherwise, of {len(names)} tensors that do")
    _predicts_alike(subject, run, again)
    return f"{checkpoint.extra_bytes(state):,} bytes beyond the backbone"


@check(
    "state",
    "Take out of `training_only` what a prediction reads, and name only what is there.",
    needs=("state_comes_back",),
)
def training_only(subject: Subject, kind: Kind) -> None:
    """No prediction reads what `training_only` names: NaN in its place change nothing."""
    run = subject.learned(kind)
    for module in run.method.modules():
        for part in getattr(module, "training_only", ()):
            if not hasattr(module, part):
                raise Broken(f"`training_only` names '{part}', which is not there")
    state, _ = checkpoint.method_state(run.method, Pristine.of(subject.lab.clip()))
    idle = state.keys() - checkpoint.inference_state(run.method, state).keys()
    idle = {key for key in idle if not key.startswith("clip.")}
    if not idle:
        raise NotApplicable("`training_only` names nothing that is kept")
    again, _ = _from_disk(subject, run, kind)
    own = again.method.state_dict()
    for key in idle:
        own[key].fill_(float("nan") if own[key].is_floating_point() else -1)
    _predicts_alike(subject, run, again)


def _from_disk(
    subject: Subject, run: Learned, kind: Kind
) -> tuple[Learned, dict[str, torch.Tensor]]:
    """A method built as the runner builds it after a kill, and the state that was saved."""
    lab, pristine = subject.lab, Pristine.of(subject.lab.clip())
    state, same = checkpoint.method_state(run.method, pristine)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        checkpoint.write(file, state, {"same": same})
        tensors, about = checkpoint.read(file)
    feed = lab.feed(lab.clip())
    method = lab.method(subject.found, feed, **subject.changes)
    again = Learned(method, feed)
    data = lab.sets(kind)[:2]
    for index, part in enumerate(data):  # as the runner replays finished tasks
        task = lab.task(feed, part, index, len(data))
        lab.before(method, task, part)
        if index == len(data) - 1:
            checkpoint.restore(method, tensors, about["same"], pristine)
        lab.end(method, task)
    method.eval()
    return again, state


def _predicts_alike(subject: Subject, run: Learned, again: Learned) -> None:
    for data in subject.lab.pairs[:2]:
        for old, new in zip(embedded(run, data), embedded(again, data), strict=True):
            if not old.equal(new):
                raise Broken(f"rows that differ by {float((old - new).abs().max()):.2g}")
    labelled = subject.lab.labelled[0]
    rows = torch.arange(6)
    if not scores(run, labelled, rows).equal(scores(again, labelled, rows)):
        raise Broken("other scores of the classes")


@check(
    "state",
    _KEEP,
    needs=(
        "state_comes_back", "same_seed", "torch_stays_as_it_is", "only_trainable_moves",
        "other_tasks_are_not_read",
    ),
)  # fmt: skip
def resumes_between_tasks(subject: Subject, kind: Kind) -> None:
    """After a kill between tasks, the next task is learned as if there had been none."""
    _resumes(subject, kind, 0)


@check("state", _KEEP, needs=("resumes_between_tasks",))
def resumes_inside_a_task(subject: Subject, kind: Kind) -> None:
    """After a kill inside a task, the rest of it is learned as if there had been none."""
    if not sum(subject.learned(kind).trainable):
        raise NotApplicable("no step is made")
    _resumes(subject, kind, 2)


def _resumes(subject: Subject, kind: Kind, halt: int) -> None:
    """Three tasks without and with a kill: before the third, or in it after step `halt`."""
    lab, pristine = subject.lab, Pristine.of(subject.lab.clip())
    data = [*lab.sets(kind)[:2], lab.sets(kind)[0]]
    whole = _begun(subject, data)
    killed = _begun(subject, data) if halt else whole
    about = None
    if halt:
        about = _killed_inside(subject, killed, data, halt)
    state, same = checkpoint.method_state(killed.method, pristine)
    state = {k: v.clone() for k, v in state.items()}

    feed = lab.feed(lab.clip())
    again = Learned(lab.method(subject.found, feed, **subject.changes), feed)
    for index in (0, 1):
        task = lab.task(feed, data[index], index, len(data))
        lab.before(again.method, task, data[index])
        if index == 1 and not halt:
            checkpoint.restore(again.method, state, same, pristine)
        lab.end(again.method, task)
    saved = None if about is None else (state, same, pristine, *about)
    _last(subject, again, data, saved)
    _last(subject, whole, data, None)
    tail = len(again.losses)
    if again.losses != whole.losses[-tail:] and tail:
        raise Broken(f"losses of {again.losses}, not {whole.losses[-tail:]}")
    one, two = bits(whole.method.state_dict()), bits(again.method.state_dict())
    if names := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
        raise Broken(f"another `{names[0]}` ({len(names)} of {len(one)} tensors differ)")


def _begun(subject: Subject, data: list[Tensors]) -> Learned:
    """A method after the first two of three tasks."""
    lab = subject.lab
    feed = lab.feed(lab.clip())
    run = Learned(lab.method(subject.found, feed, **subject.changes), feed)
    for index in (0, 1):
        task = lab.task(feed, data[index], index, len(data))
        lab.before(run.method, task, data[index])
        lab.run(lab.fit(run.method, task, data[index], 0, 1), run.losses.append)
        lab.after(run.method, task, data[index])
    return run


Fitted = tuple[dict[str, torch.Tensor], dict[str, object]]
Saved = tuple[
    dict[str, torch.Tensor], list[str], Pristine, dict[str, torch.Tensor], dict[str, object]
]


def _killed_inside(subject: Subject, run: Learned, data: list[Tensors], halt: int) -> Fitted:
    """The optimiser's state at that step of the third task."""
    lab = subject.lab
    task = lab.task(run.feed, data[2], 2, len(data))
    lab.before(run.method, task, data[2])
    fit = lab.fit(run.method, task, data[2], 0, 1)
    with suppress(Halt):
        lab.run(fit, halt=halt)
    moments, progress = checkpoint.fit_state(fit)
    return {k: v.clone() for k, v in moments.items()}, progress


def _last(subject: Subject, run: Learned, data: list[Tensors], saved: Saved | None) -> None:
    """The third task, or the rest of it."""
    lab = subject.lab
    task = lab.task(run.feed, data[2], 2, len(data))
    lab.before(run.method, task, data[2])
    if saved is not None:
        checkpoint.restore(run.method, saved[0], saved[1], saved[2])
    fit = lab.fit(run.method, task, data[2], 0, 1)
    if saved is not None:
        checkpoint.restore_fit(fit, saved[3], saved[4])
    lab.run(fit, run.losses.append)
    lab.after(run.method, task, data[2])


@check(
    "order",
    "Return None from `training_key` where training reads what earlier tasks left; merge in "
    "float64, or by content.",
    needs=("trains", "same_seed"),
)
def order_free(subject: Subject, kind: Kind) -> None:
    """Where `training_key` says so, the same tasks in another order end in the same rows."""
    run, lab = subject.learned(kind), subject.lab
    if run.method.training_key() is None:
        raise NotApplicable("`training_key` is None: training may depend on the order")
    back = lab.train(subject.found, lab.sets(kind)[:2][::-1], **subject.changes)
    steps = len(run.losses) // 2
    turned = back.losses[steps:] + back.losses[:steps]
    if run.losses != turned:
        raise Broken("a task's losses are others when it comes first")
    for data in lab.pairs[:2]:
        for one, two in zip(embedded(run, data), embedded(back, data), strict=True):
            if (off := float((one - two).abs().max())) > 1e-5:
                raise Broken(f"rows that differ by up to {off:.2g}")


CHECKS = (
    report, state_comes_back, training_only, resumes_between_tasks, resumes_inside_a_task,
    order_free,
)  # fmt: skip
