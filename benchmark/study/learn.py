"""One task, learned from the pretrained weights as the first task of a run learns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..backbones.sites import MAPS, Site
from ..common.report import Report
from ..common.seeds import generator, seed_globally
from ..data.batches import close, make_loader
from ..data.tensors import LabelTensors, Tensors
from ..errors import BenchError
from ..protocol.method import Method, no_grad_after_task
from ..protocol.types import Task
from ..run.build import Ground, build_method, open_ground
from ..run.device.precision import float32_products, steps_in_tf32
from ..run.evaluate import EvalSet, evaluate
from ..run.inputs import held_out_set, task_sets
from ..run.request import Plan
from ..run.train import Fit
from ..suites.suite import Dataset
from ..toolkit.gated import Factors, Gated
from ..toolkit.lora import LoRA


@dataclass
class LearnedAlone:
    """A method after its only task.

    Attributes:
        ground: its backbone, changed, and how data are read.
        method: in eval mode.
        updates: what was added to every map: site name -> (out, K) and (K, in).
        start: site name -> the weight (out, in) of every map of both towers before.
        data: what it was trained on.
    """

    ground: Ground
    method: Method[Any]
    updates: Factors
    start: Mapping[str, Tensor]
    data: Tensors

    @property
    def sites(self) -> Mapping[str, Site]:
        """The maps of both towers as they are now."""
        return self.ground.clip.sites(MAPS)

    def score(self, which: EvalSet) -> dict[str, int]:
        """Correct test images and all of them, of a labelled set."""
        with float32_products(tf32=False):
            (row,) = evaluate(self.method, self.ground.feed, which, step=1).rows
        return {"hits": int(row["hits"]), "n": int(row["n_queries"])}


def learn(plan: Plan, report: Report) -> LearnedAlone:
    """Train a plan's method on the only task of its order.

    Every draw is that of a run of the same method, seed and task, and so is every bit.

    Raises:
        BenchError: an order of several tasks, a task with captions, a method that makes no low-rank
            update of weights, and whatever a run raises.
    """
    (name,) = plan.request.order.split(",")
    dataset = next(d for d in plan.suite.tasks if d.name == name)
    with float32_products(tf32=False):
        ground = open_ground(plan, report)
        start = {n: s.weight.detach().clone() for n, s in ground.clip.sites(MAPS).items()}
        method = build_method(ground).method
        data = ground.read(dataset, "train")
        if not isinstance(data, LabelTensors):
            raise BenchError("a task with labels", f"'{name}', with captions", "choose another")
        updates = _train(plan, ground, method, data, report)
    return LearnedAlone(ground, method, updates, start, data)


def _train(
    plan: Plan, ground: Ground, method: Method[Any], data: LabelTensors, report: Report
) -> Factors:
    key = (plan.request.seed, data.fingerprint)
    loader = make_loader(ground.feed, data, key, plan.recipe.batch_size)
    classes = ground.feed.classes((data,), first_prompt_only=True)
    task = Task(0, 1, loader, classes, lambda *k: generator(*key, "method", *k))
    seed_globally(*key, "before")
    method.before_task(task)
    method.to(ground.device)
    fit = Fit(method, task, plan.recipe, key)
    total = fit.progress.total
    tf32 = steps_in_tf32(plan.precision, ground.device)
    shown = report.training(plan.request.order, total, -(-total // max(1, len(loader))), 0)
    with shown, float32_products(tf32):
        fit.run(lambda progress, loss, size: report.step(progress.step, loss, size))
    updates = _updates(method)
    seed_globally(*key, "after")
    no_grad_after_task(method, task)
    close(loader)
    method.eval()
    return updates


@torch.no_grad()
def _updates(method: Method[Any]) -> Factors:
    """What the method is about to add to the weights, by its own low-rank parts."""
    for part in method.modules():
        if isinstance(part, Gated):
            return {n: (b.clone(), a.clone()) for n, (b, a) in part.kept().items()}
        if isinstance(part, LoRA):
            pairs = {name: (part.B[key], part.A[key]) for name, key in part.names.items()}
            return {n: (part.scale * b, a.detach().clone()) for n, (b, a) in pairs.items()}
    raise BenchError(
        "a method that adds a low-rank update to weights",
        f"{method.label}, which adds none",
        "choose another --method",
    )


def scored_set(ground: Ground, dataset: Dataset, plan: Plan) -> EvalSet:
    """The test set of a task or of a held-out set, scored among its own classes.

    Raises:
        BenchError: it has captions.
    """
    data = ground.read(dataset, "test")
    if not isinstance(data, LabelTensors):
        raise BenchError("a set with labels", f"'{dataset.name}', with captions", "choose another")
    if dataset in plan.suite.tasks:
        return task_sets([dataset], {dataset.name: data}, [dataset.name], plan.suite)[0]
    return held_out_set(dataset, data)
