"""The protocol of one run. It knows no method's name.

Stage 0 is the untouched backbone. Then for every task: before_task, training, after_task, and all
evaluation sets. Whatever is finished is on disk at once (a cell of scores, a task's state, a step
inside a task), so that the same command goes on where a killed one was.
"""

import gc
import time
from dataclasses import asdict
from functools import partial

import torch

from ..common.digests import digest
from ..common.report import Report
from ..common.seeds import generator, seed_globally
from ..data.batches import close, kept_bytes
from ..data.tensors import LabelTensors
from ..errors import BenchError, MethodError
from ..protocol.method import Frozen, no_grad_after_task, trainable_count
from ..protocol.types import Loader, Task
from .build import Built, Ground, build_method, open_ground
from .device.precision import float32_products, steps_in_tf32
from .guards.crash import RunPlace
from .guards.process.kept import kept
from .guards.returns import checked_key, nothing_left
from .guards.rows import tolerance
from .guards.training import Constants, no_backbone_steps
from .inputs import Inputs, open_inputs
from .provenance.usage import Usage
from .record.costs import Costs, plain_report
from .record.failed import Failing
from .record.rows import Cell
from .record.write import write_run
from .request import Plan
from .stages import Stages
from .state import checkpoint
from .state.shared import shared_training
from .state.workspace import Saved, Workspace
from .train import Fit, Progress, with_more_data

SAVE_EVERY = 3.0  # seconds of training between saved steps, and at least 20 times a save's cost


class Run:
    """One method, one order, one seed.

    Args:
        plan: what was asked for.
        built: the method on its backbone.
        inputs: backbone, data and features, made by `open_inputs`.
        space: where unfinished work is kept.
        report: what the user sees.
        usage: what was spent before; filled while running, like `costs`.
        place: is told where the run is.
    """

    def __init__(
        self,
        plan: Plan,
        built: Built,
        inputs: Inputs,
        space: Workspace,
        report: Report,
        usage: Usage,
        place: RunPlace,
    ) -> None:
        self.plan, self.inputs, self.space = plan, inputs, space
        self.report, self.usage, self.costs, self.place = report, usage, Costs(), place
        committed = f"methods/{plan.method.file.name}" not in plan.git["dirty"]
        self.stages = Stages(inputs, plan.method.uses, space, report, usage, place, committed)
        self.loaders: list[Loader] = []  # of the finished tasks
        self.pristine, self.method = built.pristine, built.method
        allowed = tolerance(plan.precision, inputs.device)
        self.look_again = partial(inputs.feed.asked.look_again, allowed)
        same = partial(built.pristine.unchanged, "clip.logit_scale")
        self.constants = Constants(inputs.clip, same, plan.asked["config"])
        self.trained = shared_training(plan, inputs, report.line)

    def _seed(self, *key: object) -> tuple[object, ...]:
        """Seeds, one for each hook, depend on the run's seed, never on the place in the order."""
        return (self.plan.request.seed, *key)

    def _task(self, index: int) -> Task:
        name = self.inputs.order[index]
        data = self.inputs.train[name]
        seed = self._seed(data.fingerprint)
        loader = self.inputs.loader(data, seed, self.plan.recipe)
        classes = None
        if isinstance(data, LabelTensors):
            classes = self.inputs.feed.classes((data,), first_prompt_only=True)

        def generate(*key: object) -> torch.Generator:
            return generator(*seed, "method", *key)

        return Task(index, len(self.inputs.order), loader, classes, generate, self.trained.once)

    def go(self) -> list[Cell]:
        """All stages; returns every cell."""
        saved = self.space.newest(len(self.inputs.order), self.stages.scored)
        self.method.eval()
        self.report.planned(
            self.inputs.steps(self.plan.recipe), 0 if saved is None else saved.tasks
        )
        cells = self.stages.run(0, Frozen(self.inputs.clip.scale))
        for index in range(len(self.inputs.order)):
            task = self._task(index)
            self.place.begin(self.inputs.order[index], index + 1)
            with kept(f"training of task {index + 1}", self.report.line):
                if saved is not None and index < saved.tasks:
                    self._replay(task, saved)
                else:
                    self._learn(task, saved)
                self.method.eval()
            with kept(f"evaluation at stage {index + 1}", self.report.line):
                cells += self.stages.run(index + 1, self.method)
        return cells

    def _replay(self, task: Task, saved: Saved) -> None:
        """Rebuild what a finished task built; after the last one, load its tensors."""
        self._before(task)
        if task.index == saved.tasks - 1 and not saved.step:
            self._restore(saved)
        self._end(task)
        if task.index == saved.tasks - 1 and not saved.step:
            self.costs.resume(saved.about["costs"])
            self.report.line(f"going on after {saved.tasks} finished tasks")

    def _learn(self, task: Task, saved: Saved | None) -> None:
        with self.usage.phase("train"):
            self._before(task)
            inside = saved if saved and saved.step and saved.tasks == task.index else None
            if inside:
                self._restore(inside)  # first: what is trained may depend on the state
            self.place.hook = "trainable"
            seed = self._seed(self._data(task))
            fit = Fit(self.method, task, self.plan.recipe, seed, self.report.line)
            self.place.steps, self.place.hook = fit.progress.total, "loss"
            if inside:
                self._restore_step(fit, inside)
            else:
                self.costs.trainable.append(trainable_count(self.method))
            self._train(fit)
            self.look_again()
            seed_globally(*self._seed(self._data(task), "after"))
            self.place.hook = "after_task"
            with no_backbone_steps(self.method):
                no_grad_after_task(self.method, task)
            self.look_again()
            self.place.hook = "report"
            with torch.no_grad():
                self.costs.reports.append(plain_report(self.method.report()))
            self.constants.check(self.method)
        self.costs.losses.append(fit.progress.losses)
        self.costs.chunks.append(fit.progress.chunks)
        self._end(task)
        state, same = checkpoint.method_state(self.method, self.pristine)
        lent = sum(kept_bytes(loader) for loader in self.loaders)
        self.costs.state_bytes.append(checkpoint.extra_bytes(state) + lent)
        read = checkpoint.inference_state(self.method, state)
        self.costs.inference.append(sum(v.numel() for v in read.values()))
        self.costs.inference_bytes.append(checkpoint.extra_bytes(read))
        about = {"tasks": task.index + 1, "same": same, "costs": asdict(self.costs)}
        self.space.keep_task(task.index + 1, state, about)
        self.space.keep_usage(self.usage.spent())

    def _before(self, task: Task) -> None:
        seed_globally(*self._seed(self._data(task), "before"))
        self.place.hook = "before_task"
        with no_backbone_steps(self.method):
            nothing_left("before_task()", self.method.before_task(task))  # type: ignore[func-returns-value]
        self.method.to(self.inputs.device)
        self.constants.check(self.method)

    def _data(self, task: Task) -> str:
        return self.inputs.train[self.inputs.order[task.index]].fingerprint

    def _end(self, task: Task) -> None:
        self.loaders.append(task.loader)
        if "samples" not in self.plan.method.uses:
            close(task.loader)

    def _restore(self, saved: Saved) -> None:
        own = {k: v for k, v in saved.tensors.items() if not k.startswith(checkpoint.MOMENTS)}
        checkpoint.restore(self.method, own, saved.about["same"], self.pristine)

    def _restore_step(self, fit: Fit, saved: Saved) -> None:
        checkpoint.restore_fit(fit, saved.tensors, saved.about["progress"])
        self.costs.resume(saved.about["costs"])
        self.report.line(f"going on at step {fit.progress.step} of {fit.progress.total}")

    def _train(self, fit: Fit) -> None:
        """Train, or take what another run has trained."""
        settings = checked_key(self.method.training_key()) if fit.progress.total else None
        if settings is None or fit.progress.step:
            self._fit(fit)
            self.costs.shared.append(None)
            return
        key = self.trained.key(fit, self._data(fit.task), settings)
        if (about := self.trained.load(key, fit)) is not None:
            fit.progress = Progress(**about["progress"])
            self.costs.shared.append(about["seconds"])
            self.report.line(f"{self._head(fit)}: trained by an earlier run")
            return
        start = time.monotonic()
        self._fit(fit)
        self.costs.shared.append(None)
        seconds = round(time.monotonic() - start, 2)
        self.trained.keep(key, fit, {"progress": asdict(fit.progress), "seconds": seconds})

    def _head(self, fit: Fit) -> str:
        title = self.inputs.titles[self.inputs.order[fit.task.index]]
        return f"task {fit.task.index + 1}/{fit.task.total} {title}"

    def _fit(self, fit: Fit) -> None:
        total = fit.progress.total
        last, cost, chunks = time.monotonic(), 0.0, fit.progress.chunks
        epochs = -(-total // max(1, len(fit.loader)))

        def on_step(progress: Progress, loss: float, size: int) -> None:
            nonlocal last, cost, chunks
            if progress.chunks != chunks:
                chunks = progress.chunks
                self.report.line(f"out of memory: batches are cut in {chunks}, with all negatives")
            self.place.step = progress.step
            self.report.step(progress.step, loss, size)
            now = time.monotonic()
            if progress.step < total and now - last > max(SAVE_EVERY, 20 * cost):
                self._save_step(fit)
                last = time.monotonic()
                cost = last - now

        tf32 = steps_in_tf32(self.plan.precision, self.inputs.device)
        shown = self.report.training(self._head(fit), total, epochs, fit.progress.step)
        with shown, float32_products(tf32):
            try:
                fit.run(on_step)
            except BenchError as e:
                name, limited = self.inputs.order[fit.task.index], bool(self.plan.request.limit)
                raise with_more_data(e, name, self.inputs.train[name], fit, limited) from e

    def _save_step(self, fit: Fit) -> None:
        state, same = checkpoint.method_state(self.method, self.pristine)
        moments, progress = checkpoint.fit_state(fit)
        at = {"tasks": fit.task.index, "step": fit.progress.step}
        about = {**at, "same": same, "progress": progress, "costs": asdict(self.costs)}
        self.space.keep_step({**state, **moments}, about)
        self.space.keep_usage(self.usage.spent())


@float32_products(tf32=False)
def execute(plan: Plan, report: Report) -> None:
    """Run a plan from where it stands to its record at `plan.target`.

    Raises:
        BenchError: whatever the user can mend; everything that was finished is kept. Where the
            method failed, a record says so.
    """
    usage, place = Usage(), RunPlace(tasks=len(plan.suite.tasks))
    failing = Failing(plan, usage, place)
    with usage.phase("prepare"):
        ground = open_ground(plan, report)
        built = _built(ground, report, failing)
        inputs = open_inputs(plan, report, ground)
    place.tasks = len(inputs.order)
    about = [repr(inputs.identity), plan.code, plan.method.sha, repr(plan.asked)]
    if plan.request.fresh:  # it goes on from no state that holds what others have trained
        about.append("fresh")
    identity = digest(about)
    folder = plan.scratch / "running" / f"{plan.stem[:150]}-{identity[:12]}"
    space = Workspace(folder, report.line)
    with space.locked():
        usage.add(space.usage().spent())
        run = Run(plan, built, inputs, space, report, usage, place)
        try:
            cells = run.go()
        except BaseException as e:
            if not failing.is_failure(e):
                raise
            raise failing.recorded(e, inputs, run.costs, run.stages.reached()) from None
        write_run(plan, inputs, run.costs, usage, cells)
        space.remove()
    with kept("the end", report.line):
        del run, inputs, built, ground
        gc.collect()  # a method and its run hold each other; the next run may need the memory


def _built(ground: Ground, report: Report, failing: Failing) -> Built:
    """The method; where its own code fails, the record of a run without a score."""
    try:
        with kept("__init__", report.line):
            return build_method(ground)
    except BaseException as e:
        # What a method says of the backbone or of its settings is the user's to mend.
        told = isinstance(e, BenchError) and not isinstance(e, MethodError)
        if told or not failing.is_failure(e):
            raise
        error = e
    raise failing.recorded(error, open_inputs(ground.plan, report, ground), Costs(), []) from None
