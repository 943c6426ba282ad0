"""The only training loop. It knows no method: it asks for parameters and loss terms.

Every random draw inside a step comes from a generator seeded by (seed, dataset, step), and batches
are functions of (seed, dataset, epoch). So a run that goes on from a saved step repeats what an
uninterrupted one would have done, bit for bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..common.report import Say, silent
from ..common.seeds import seed_globally
from ..data.batches import make_room
from ..data.tensors import LabelTensors, Tensors
from ..errors import BenchError, MethodError
from ..protocol.method import Method
from ..protocol.optimisers import eager
from ..protocol.types import Batch, ParamGroup, Task
from ..suites.suite import Recipe
from .guards.returns import checked_budgets, checked_groups, checked_loader, checked_terms
from .guards.training import Watch


@dataclass
class Progress:
    """Where a task's training stands; what a saved step needs beside the tensors.

    Attributes:
        step: optimiser steps done. total: steps of the task.
        sums: per loss term, its sum over the steps of the current epoch.
        losses: per finished epoch, the mean of each term.
        chunks: pieces that a batch is cut into, see `Backbone`; doubled when memory runs out.
    """

    step: int = 0
    total: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    losses: list[dict[str, float]] = field(default_factory=list)
    chunks: int = 1


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Factor on the peak rate at 0-based step: linear warm-up, then half a cosine to zero.

    Args:
        step: in [0, total).
        total: steps of the task.
        warmup: fraction of them, in [0, 1].
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _by_origin(method: Method, groups: list[ParamGroup], recipe: Recipe) -> list[dict[str, Any]]:
    """AdamW's groups: pretrained weights and parameters that the method added, at their rates.

    Gains, biases and other vectors have groups without weight decay, unless all shall decay or the
    method itself gives their group one.
    """
    pretrained = {id(p) for p in method.clip.parameters()}
    config, found = method.config, []
    vectors = (config.decay or recipe.decay) == "matrices"
    for group in groups:
        given = (group.weight_decay, config.weight_decay, recipe.weight_decay)
        decay = next(d for d in given if d is not None)
        for added, rate in ((False, recipe.lr), (True, recipe.lr_added)):
            mine = [p for p in group.params if (id(p) not in pretrained) == added]
            spares = vectors and decay and group.weight_decay is None
            spared = [p for p in mine if spares and p.ndim < 2]
            apart = {id(p) for p in spared}
            for params, amount in (
                ([p for p in mine if id(p) not in apart], decay), (spared, 0.0),
            ):  # fmt: skip
                if params:
                    found.append(
                        {
                            "params": params,
                            "lr": (rate if config.lr is None else config.lr) * group.lr_scale,
                            "weight_decay": amount,
                            "betas": group.betas,
                        }
                    )
    return found


class Fit:
    """Training of one method on one task, step by step, so that it can be saved between steps.

    Args:
        method: after `before_task`.
        task: the task's lease.
        recipe: the suite's budget.
        seed: everything random in a step derives from it.
        say: is told what is given up when memory runs out.
    """

    def __init__(
        self,
        method: Method,
        task: Task,
        recipe: Recipe,
        seed: tuple[object, ...],
        say: Say = silent,
    ) -> None:
        self.method, self.task, self.recipe, self.seed = method, task, recipe, seed
        self._say = say
        declared = checked_groups(method.trainable(), method)
        groups = _by_origin(method, [g for g in declared if g.params], recipe)
        self.params = [p for g in groups for p in g["params"]]
        samples = "samples" in method.uses
        self.loader = checked_loader(method.loader(task), task.loader, samples)
        budgets = checked_budgets(method.budgets, task.index + 1, samples)
        self.peaks = [g["lr"] for g in groups]
        self.optimizer = eager(torch.optim.AdamW)(groups, fused=True) if groups else None
        steps = recipe.steps * budgets or recipe.epochs * len(self.loader)
        self.progress = Progress(total=steps if groups else 0)
        self.watch = Watch(method, self.params, self.optimizer)

    def run(self, on_step: Callable[[Progress, float, int], None]) -> None:
        """Train to the end; on_step(progress, loss, number of images) after each step."""
        steps = len(self.loader)
        self._only_trainable()
        with self.watch.training():
            self._steps(steps, on_step)
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=True)  # of no use to anyone, and large

    def _steps(self, steps: int, on_step: Callable[[Progress, float, int], None]) -> None:
        while (first := self.progress.step) < self.progress.total:
            epoch, start = divmod(self.progress.step, steps)
            for batch in self.loader.epoch(epoch, start):
                loss = self._step(batch)
                last = self.progress.step == self.progress.total
                if self.progress.step % steps == 0 or last:
                    count = (self.progress.step - 1) % steps + 1
                    means = {k: v / count for k, v in self.progress.sums.items()}
                    self.progress.losses.append(means)
                    self.progress.sums = {}
                on_step(self.progress, loss, len(batch.images))
                if last:
                    break
            if self.progress.step == first:
                raise MethodError(
                    f"loader() to give {steps} batches in an epoch",
                    f"none from batch {start} of epoch {epoch} on",
                    "give as many batches as len() says, in every epoch",
                    code=3,
                )

    def _step(self, batch: Batch) -> float:
        step, total = self.progress.step, self.progress.total
        assert self.optimizer is not None
        factor = learning_rate(step, total, self.recipe.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        values = self._gradients(batch)
        if not math.isfinite(sum(values.values())):
            got = ", ".join(f"{k} = {v:.4g}" for k, v in values.items())
            raise BenchError(
                "a finite loss", f"{got} at step {step + 1} of {total}", "lower --hp lr=...", code=3
            )
        if self.recipe.grad_clip > 0:
            nn.utils.clip_grad_norm_(self.params, self.recipe.grad_clip)
        self.optimizer.step()
        # The fused step writes without a trace, on which digests of the weights rely.
        torch.autograd.graph.increment_version(self.params)
        self.progress.step += 1
        for name, value in values.items():
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        with torch.no_grad():
            self.method.after_step(self.progress.step, total)
        return sum(values.values())

    def _gradients(self, batch: Batch) -> dict[str, float]:
        """Loss terms of a step after backward().

        Out of memory, images that lie on the device are given up, from which no number changes; if
        there are none, the same batch is done in more pieces.
        """
        assert self.optimizer is not None
        while True:
            self.method.clip.chunks = self.progress.chunks
            seed_globally(*self.seed, "step", self.progress.step)
            self.method.train()
            for p in self.params:
                p.grad = None
            try:
                with self.watch.step():
                    terms = checked_terms(self.method.loss(batch))
                torch.stack(list(terms.values())).sum().backward()
                values = torch.stack([t.detach() for t in terms.values()]).tolist()  # the one sync
                return dict(zip(terms, values, strict=True))
            except torch.OutOfMemoryError as e:
                freed = make_room(self.task.loader, self._say)
                if not freed and self.progress.chunks >= max(len(batch.images), len(batch.texts)):
                    raise BenchError(
                        "memory for a step with one example at a time",
                        str(e).splitlines()[0],
                        "give a smaller --batch-size, or a smaller --backbone",
                        code=3,
                    ) from e
            terms = {}  # what is left of the graph would be in the way of the next attempt
            if not freed:
                self.progress.chunks *= 2
            torch.cuda.empty_cache()

    def _only_trainable(self) -> None:
        """No gradient is computed for what is not trained, and none flows into it."""
        mine = {id(p) for p in self.params}
        for p in self.method.parameters():
            p.requires_grad_(id(p) in mine)


def with_more_data(
    error: BenchError, name: str, data: Tensors, fit: Fit, limited: bool
) -> BenchError:
    """With a remedy that helps: no --batch-size is one where a task has no more to give."""
    if "larger --batch-size" not in error.fix:
        return error
    if isinstance(data, LabelTensors) and len(data.names) < 2:
        fix = f"give '{name}' a second class, or choose another --method"
    elif len(data) < 2 and len(fit.loader) == 1:
        fix = "give a larger --limit" if limited else f"give '{name}' more training images"
    else:
        return error
    return BenchError(error.expected, f"{error.got} in '{name}'", fix, error.code)
