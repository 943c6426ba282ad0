"""The protocol of one run. It knows no method's name.

Stage 0 is the untouched backbone. Then for every task: before_task, training, after_task, and all
evaluation sets. Whatever is finished is on disk at once (a cell of scores, a task's state, a step
inside a task), so that the same command goes on where a killed one was.
"""

import gc
import time
from dataclasses import asdict

import torch

from ..common.digests import digest
from ..common.files import cache_root
from ..common.report import Report
from ..common.seeds import derive, generator
from ..data.batches import close, kept_bytes, make_loader
from ..data.tensors import LabelTensors
from ..errors import BenchError
from ..protocol.method import Frozen, no_grad_after_task, trainable_count
from ..protocol.types import Loader, Task
from .build import Built, build_method, open_ground
from .inputs import Inputs, open_inputs
from .provenance.machine import hardware, versions
from .provenance.usage import Usage
from .record.costs import Costs, plain_report
from .record.rows import Cell
from .record.write import write_run
from .request import Plan
from .stages import Stages
from .state import checkpoint
from .state.shared import Trained
from .state.workspace import Saved, Workspace
from .train import Fit, Progress

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
    """

    def __init__(
        self,
        plan: Plan,
        built: Built,
        inputs: Inputs,
        space: Workspace,
        report: Report,
        usage: Usage,
    ) -> None:
        self.plan, self.inputs, self.space = plan, inputs, space
        self.report, self.usage, self.costs = report, usage, Costs()
        self.stages = Stages(inputs, plan.method.uses, space, report, usage)
        self.loaders: list[Loader] = []  # of the finished tasks
        self.pristine, self.method = built.pristine, built.method
        known = ("weights", "normalisation", "transform", "torch", "device", "threads")
        about = (
            plan.code, plan.method.sha, plan.backbone, plan.request.precision, repr(versions()),
            repr(hardware()),
        )  # fmt: skip
        self.trained = Trained(
            cache_root(plan.request.cache_dir),
            (*about, *(repr(inputs.identity[k]) for k in known)),
            plan.request.fresh,
            report.line,
        )

    def _seed(self, *key: object) -> tuple[object, ...]:
        """Seeds depend on the run's seed and the key, never on the place in the order."""
        return (self.plan.request.seed, *key)

    def _reseed(self, *key: object) -> None:
        """A hook that draws from torch's global generator repeats its draws in every process."""
        torch.manual_seed(derive(*self._seed(*key)))

    def _task(self, index: int) -> Task:
        name = self.inputs.order[index]
        data = self.inputs.train[name]
        seed = self._seed(data.fingerprint)
        loader = make_loader(self.inputs.feed, data, seed, self.plan.recipe.batch_size)
        classes = None
        if isinstance(data, LabelTensors):
            classes = self.inputs.feed.classes((data,), first_prompt_only=True)

        def generate(*key: object) -> torch.Generator:
            return generator(*seed, "method", *key)

        return Task(index, len(self.inputs.order), loader, classes, generate)

    # -- the protocol

    def go(self) -> list[Cell]:
        """All stages; returns every cell."""
        saved = self.space.newest(len(self.inputs.order), self.stages.scored)
        self.method.eval()
        self.report.planned(self._planned(), 0 if saved is None else saved.tasks)
        cells = self.stages.run(0, Frozen(self.inputs.clip.scale))
        for index in range(len(self.inputs.order)):
            task = self._task(index)
            if saved is not None and index < saved.tasks:
                self._replay(task, saved)
            else:
                self._learn(task, saved)
            self.method.eval()
            cells += self.stages.run(index + 1, self.method)
        return cells

    def _planned(self) -> list[int]:
        """Steps of each task, where a method makes those of the recipe."""
        recipe, train = self.plan.recipe, self.inputs.train
        batches = [-(-len(train[name]) // recipe.batch_size) for name in self.inputs.order]
        return [recipe.steps or recipe.epochs * count for count in batches]

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
            fit = Fit(self.method, task, self.plan.recipe, self._seed(self._data(task)))
            if inside:
                self._restore_step(fit, inside)
            else:
                self.costs.trainable.append(trainable_count(self.method))
            self._train(fit)
            self._reseed(self._data(task), "after")
            no_grad_after_task(self.method, task)
            with torch.no_grad():
                self.costs.reports.append(plain_report(self.method.report()))
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
        self._reseed(self._data(task), "before")
        self.method.before_task(task)
        self.method.to(self.inputs.device)

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
        settings = self.method.training_key() if fit.progress.total else None
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

        def on_step(progress: Progress, loss: float, size: int) -> None:
            nonlocal last, cost, chunks
            if progress.chunks != chunks:
                chunks = progress.chunks
                self.report.line(f"out of memory: batches are cut in {chunks}, with all negatives")
            self.report.step(progress.step, loss, size)
            now = time.monotonic()
            if progress.step < total and now - last > max(SAVE_EVERY, 20 * cost):
                self._save_step(fit)
                last = time.monotonic()
                cost = last - now

        epochs = -(-total // max(1, len(fit.loader)))
        with self.report.training(self._head(fit), total, epochs, fit.progress.step):
            try:
                fit.run(on_step)
            except BenchError as e:
                raise self._helpful(e, fit) from e

    def _helpful(self, error: BenchError, fit: Fit) -> BenchError:
        """With a remedy that helps: no --batch-size is one where the task has no more to give."""
        name = self.inputs.order[fit.task.index]
        data = self.inputs.train[name]
        if "larger --batch-size" not in error.fix:
            return error
        if isinstance(data, LabelTensors) and len(data.names) < 2:
            fix = f"give '{name}' a second class, or choose another --method"
        elif len(data) < 2 and len(fit.loader) == 1:
            limited = self.plan.request.limit is not None
            fix = "give a larger --limit" if limited else f"give '{name}' more training images"
        else:
            return error
        got = f"{error.got} in '{name}'"
        return BenchError(error.expected, got, fix, error.code)

    def _save_step(self, fit: Fit) -> None:
        state, same = checkpoint.method_state(self.method, self.pristine)
        moments, progress = checkpoint.fit_state(fit)
        about = {
            "tasks": fit.task.index,
            "step": fit.progress.step,
            "same": same,
            "progress": progress,
            "costs": asdict(self.costs),
        }
        self.space.keep_step({**state, **moments}, about)
        self.space.keep_usage(self.usage.spent())


def execute(plan: Plan, report: Report) -> None:
    """Run a plan from where it stands to its record at `plan.target`.

    Raises:
        BenchError: whatever the user can mend; everything that was finished is kept.
    """
    usage = Usage()
    with usage.phase("prepare"):
        ground = open_ground(plan, report)
        built = build_method(ground)
        inputs = open_inputs(plan, report, ground)
    about = [repr(inputs.identity), plan.code, plan.method.sha, repr(plan.asked)]
    if plan.request.fresh:  # it goes on from no state that holds what others have trained
        about.append("fresh")
    identity = digest(about)
    space = Workspace(plan.scratch / "running" / f"{plan.stem[:150]}-{identity[:12]}", report.line)
    with space.locked():
        usage.add(space.usage().spent())
        run = Run(plan, built, inputs, space, report, usage)
        try:
            cells = run.go()
        except torch.OutOfMemoryError as e:
            raise BenchError(
                "enough memory outside the training step's forward and backward pass",
                str(e).splitlines()[0],
                "use a smaller --backbone; the same command goes on from here",
                code=3,
            ) from e
        write_run(plan, inputs, run.costs, usage, cells)
        space.remove()
    del run, inputs, built, ground
    gc.collect()  # a method and its run hold each other; the next run may need the memory
