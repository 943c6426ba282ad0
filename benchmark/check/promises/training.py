"""Group 3: what two tiny tasks may do to the weights, to the data and to the process."""

from collections.abc import Sequence
from math import isfinite

from ...data.tensors import PairTensors, Tensors
from ...errors import BenchError
from ...protocol.types import Task
from ...run.state import checkpoint
from ...run.state.checkpoint import Pristine
from ...suites.names import Kind
from ..contract import Broken, NotApplicable, Subject, check
from ..instruments.sealed import seal
from ..learned import Learned
from ..rows import bits, embedded, frozen_images


@check("training", "Lower the learning rate, or look for a division by zero or a log of it.")
def trains(subject: Subject, kind: Kind) -> str | None:
    """Two tasks are learned without an error, and every loss is finite."""
    run = subject.learned(kind)
    if odd := [x for x in run.losses if not isfinite(x)]:
        raise Broken(f"{len(odd)} of {len(run.losses)} losses are {odd[0]}")
    if not run.losses:
        return "no step is made"
    return f"{len(run.losses)} steps, the loss from {run.losses[0]:.4g} to {run.losses[-1]:.4g}"


@check(
    "training",
    "Leave torch's switches alone: they are of the whole process, so of other runs too.",
    needs=("trains",),
)
def torch_stays_as_it_is(subject: Subject, kind: Kind) -> None:
    """Training leaves torch's switches (default type, gradients, threads ...) as they were."""
    if found := subject.learned(kind).disturbed:
        raise Broken(f"after {found[0]}")


@check(
    "training",
    "Name in `trainable` whatever changes, and change weights in `after_task` or by training only.",
    needs=("trains",),
)
def only_trainable_moves(subject: Subject, kind: Kind) -> str | None:
    """Training changes parameters that `trainable` names, and no others."""
    run = subject.learned(kind)
    if names := list(dict.fromkeys(run.trespass)):
        more = f" and {len(names) - 1} others" if len(names) > 1 else ""
        raise Broken(f"`{names[0]}`{more} changed, or has a gradient, and is not trainable")
    if run.refused:
        raise Broken(run.refused[0])
    for task, (count, moved) in enumerate(zip(run.trainable, run.moved, strict=True), start=1):
        if (moved > 0) != (count > 0):
            raise Broken(f"{count} trainable numbers in task {task}, and {moved} tensors moved")
    return f"{max(run.trainable, default=0):,} trainable numbers"


@check(
    "training",
    "Leave `logit_scale` as it is: `Backbone.weights` has all that may be trained.",
    needs=("trains",),
)
def logit_scale(subject: Subject, kind: Kind) -> None:
    """The similarity's scale keeps its pretrained value."""
    now = subject.learned(kind).method.clip.logit_scale
    start = subject.lab.clip().logit_scale
    if not now.equal(start):
        raise Broken(f"exp(logit_scale) of {now.exp().item():.4f}, not {start.exp().item():.4f}")


@check(
    "training",
    "Let the encoders use what was trained, and keep it in parameters, buffers or modules.",
    needs=("trains", "rows_are_float32", "rows_have_length_1"),
)
def learning_shows(subject: Subject, kind: Kind) -> None:
    """Embeddings differ from the backbone's where something was learned, and only there."""
    run, lab = subject.learned(kind), subject.lab
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    if sum(run.trainable) and not state:
        raise Broken("something was trained and nothing is kept")
    image_ND, _ = embedded(run, lab.pairs[0])
    frozen_ND = frozen_images(run, lab.pairs[0])
    off = (image_ND - frozen_ND).abs().max().item()
    if not state and off > 1e-6:
        raise Broken(f"nothing is kept, and rows are {off:.2g} from the backbone's")
    if sum(run.trainable) and kind == "pairs" and off <= 1e-4:
        raise Broken(f"something was trained, and rows are {off:.2g} from the backbone's")


@check(
    "training",
    "Draw from `task.generator(...)` or `tools.generator(...)`, or from torch's own generator in "
    "`loss`; no clock, no `random`, no order of a set.",
    needs=("trains", "repeatable"),
)
def same_seed(subject: Subject, kind: Kind) -> None:
    """The same seed gives the same losses, the same state and the same rows, bit for bit."""
    first, again = subject.learned(kind), subject.train(kind)
    _same(first, again)
    data = subject.lab.pairs[1]
    for one, two in zip(embedded(first, data), embedded(again, data), strict=True):
        if not one.equal(two):
            raise Broken(f"rows that differ by {(one - two).abs().max().item():.2g}")


def _same(first: Learned, again: Learned) -> None:
    if first.losses != again.losses:
        step = next(i for i, (a, b) in enumerate(zip(first.losses, again.losses)) if a != b)  # noqa: B905
        raise Broken(
            f"at step {step + 1} a loss of {again.losses[step]!r}, not {first.losses[step]!r}"
        )
    one, two = bits(first.method.state_dict()), bits(again.method.state_dict())
    if one != two:
        names = sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
        raise Broken(f"another `{names[0]}` ({len(names)} of {len(one)} tensors differ)")


@check(
    "training",
    "Draw what is random from the generators that the harness gives.",
    needs=("trains", "same_seed"),
    full=True,
)
def another_seed(subject: Subject, kind: Kind) -> None:
    """Another seed gives another state, where something is trained."""
    first = subject.learned(kind)
    if not sum(first.trainable):
        raise NotApplicable("nothing is trained")
    other = subject.train(kind, seed=1)
    if bits(first.method.state_dict()) == bits(other.method.state_dict()):
        raise Broken("the very same state from seeds 0 and 1")


@check(
    "training",
    "Drop the pixels when the task ends, or declare 'samples' in `uses`.",
    needs=("trains",),
)
def keeps_no_pixels(subject: Subject, kind: Kind) -> None:
    """No image of a task is kept when it has ended."""
    run = subject.learned(kind)
    if "samples" in run.method.uses:
        raise NotApplicable("it declares 'samples'")
    if run.kept:
        raise Broken(f"{run.kept} batches of pixels are alive after the last task")


@check("training", "Read a task's data in that task.", needs=("trains",))
def leases_end(subject: Subject, kind: Kind) -> None:
    """A task's data cannot be read when it has ended."""
    run = subject.learned(kind)
    if "samples" in run.method.uses:
        for task in run.tasks:
            next(task.loader.epoch(0))
        return
    for number, task in enumerate(run.tasks, start=1):
        if (how := _readable(task)) is not None:
            raise Broken(f"`loader.{how}` of task {number} still gives batches")


def _readable(task: Task) -> str | None:
    for how in ("epoch", "sweep"):
        try:
            next(task.loader.epoch(0) if how == "epoch" else task.loader.sweep())
        except BenchError as e:
            if "samples" not in str(e):
                raise
        else:
            return how
    return None


@check(
    "training",
    "Read the current task's loader alone; declare 'samples' in `uses` to keep examples.",
    needs=("trains", "same_seed", "torch_stays_as_it_is", "only_trainable_moves"),
)
def other_tasks_are_not_read(subject: Subject, kind: Kind) -> None:
    """While a task is learned, no other task's pixels, captions or labels matter.

    The same training over data that are zeros but in their own task must end in the same bits. A
    method that declares 'samples' may read those of past tasks.
    """
    first = subject.learned(kind)
    again = _train_sealed(subject, kind, subject.lab.sets(kind)[:2])
    _same(first, again)


def _train_sealed(subject: Subject, kind: Kind, sets: Sequence[Tensors]) -> Learned:
    lab, past = subject.lab, "samples" in subject.found.uses
    sealed = [seal(data) for data in sets]
    for one in sealed:  # their frozen features are there before, as in every run
        with one.shown() as data:
            feed = lab.feed(lab.clip())
            feed.frozen.images(data.pixels, data.pixel_key)
            if isinstance(data, PairTensors):
                feed.frozen.texts(data.tokens_ML, data.text_key)
            else:
                feed.classes((data,), first_prompt_only=True).prompts.frozen()
    feed = lab.feed(lab.clip())
    out = Learned(lab.method(subject.found, feed, **subject.changes), feed)
    for index, one in enumerate(sealed):
        one.show()
        task = lab.task(feed, one.data, index, len(sealed))
        lab.before(out.method, task, one.data)
        fit = lab.fit(out.method, task, one.data, 0, 1)
        lab.run(fit, out.losses.append)
        lab.after(out.method, task, one.data)
        if not past:
            one.hide()
    out.method.eval()
    return out


FIRST = (
    trains,
    torch_stays_as_it_is,
    only_trainable_moves,
    logit_scale,
    keeps_no_pixels,
    leases_end,
)
THEN = (learning_shows, same_seed, another_seed, other_tasks_are_not_read)
