"""Everything that a run reads, opened and checked before the first training step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..backbones.backbone import Backbone
from ..common.report import Report
from ..data.batches import make_loader
from ..data.cache.decoded import check_ahead, transform_id
from ..data.crops.room import wide_id
from ..data.items import Items
from ..data.own.apart import copies
from ..data.tensors import LabelTensors, PairTensors, Tensors
from ..errors import BenchError
from ..protocol.method import Frozen
from ..protocol.types import Loader
from ..suites.names import Kind
from ..suites.suite import Dataset, Recipe, Suite
from .build import Ground, open_ground
from .device.compiling import how_computed
from .evaluate import EvalSet, Row, evaluate, items_of
from .request import Plan
from .suitable import check_kinds
from .task_order import resolve_order


@dataclass(frozen=True)
class Inputs:
    """A run's backbone and data.

    Attributes:
        order: task names as they are learned. measured: scores they were sorted by, if any.
        train: training split per task. evals: tasks in learned order, then held-out sets.
        identity: fingerprints of all that the numbers derive from.
    """

    clip: Backbone
    device: torch.device
    feed: Items
    order: tuple[str, ...]
    measured: dict[str, float]
    titles: dict[str, str]
    train: dict[str, Tensors]
    evals: tuple[EvalSet, ...]
    reference_data: Tensors | None
    identity: dict[str, Any]

    def steps(self, recipe: Recipe) -> list[int]:
        """Steps of each task, where a method makes those of the recipe."""
        loaders = (self.loader(self.train[name], (), recipe) for name in self.order)
        return [recipe.steps or recipe.epochs * len(loader) for loader in loaders]

    def loader(self, data: Tensors, seed: tuple[object, ...], recipe: Recipe) -> Loader:
        """The training batches of a task, as the recipe has them."""
        every_caption = recipe.caption_sampling == "all"
        return make_loader(self.feed, data, seed, recipe.batch_size, every_caption)


def open_inputs(plan: Plan, report: Report, ground: Ground | None = None) -> Inputs:
    """Read every split of a plan.

    Args:
        plan: what was asked for.
        report: what the user sees.
        ground: the plan's backbone, where it is loaded.

    Raises:
        BenchError: whatever is wrong with weights, data, order or device.
    """
    ground = ground or open_ground(plan, report)
    clip, feed, device = ground.clip, ground.feed, ground.device
    tasks = {d.name: d for d in plan.suite.tasks}
    tests: dict[str, Tensors] = {}

    def measure() -> dict[str, float]:
        report.line("order: measuring zero-shot scores")
        tests.update(read_tests(ground, report))
        sets = task_sets(list(tasks.values()), tests, list(tasks), plan.suite)
        return {which.name: _main(zero_shot_rows(ground, which)) for which in sets}

    second = plan.suite.order_ii
    order, measured = resolve_order(plan.request.order, list(tasks), measure, second)
    for name in plan.left_out:
        report.line(f"held-out set {name} is not prepared and left out")
    report.line(f"data: {len(order)} tasks, decoded images in {ground.root}")
    if plan.suite.folder is not None:  # of any size; an embedded suite is small
        splits = [d.load(part) for d in tasks.values() for part in ("train", "test")]
        splits += [d.load("test") for d in plan.suite.held_out]
        _tell_copies(plan.suite, report)
        check_ahead((split.images for split in splits), clip.size, ground.root)
    train, evals = _read_all(ground, order, tests)
    reference_data = ground.reference_data()
    return Inputs(
        clip=clip,
        device=device,
        feed=feed,
        order=tuple(order),
        measured=measured,
        titles={d.name: d.title for d in plan.suite.tasks},
        train=train,
        evals=evals,
        reference_data=reference_data,
        identity={
            "weights": clip.fingerprint,
            "normalisation": [clip.mean, clip.std],
            "transform": transform_id(clip.size),
            "torch": torch.__version__,
            "device": device.type,
            "blocks": how_computed(clip),
            "threads": torch.get_num_threads(),
            "order": list(order),
            "train": {name: data.fingerprint for name, data in train.items()},
            "test": {which.name: which.data.fingerprint for which in evals},
            "reference": None if reference_data is None else reference_data.fingerprint,
            **({"crops": wide_id(clip.size)} if plan.recipe.crops == "random" else {}),
        },
    )


def _tell_copies(suite: Suite, report: Report) -> None:
    """Reports equal pictures in the user's own datasets."""
    for dataset in suite.tasks + suite.held_out:
        train = dataset.load("train") if dataset in suite.tasks else None
        for text in copies(dataset.name, train, dataset.load("test")):
            report.line(text)


def _read_all(
    ground: Ground, order: list[str], tests: dict[str, Tensors]
) -> tuple[dict[str, Tensors], tuple[EvalSet, ...]]:
    """Training splits of the tasks in learned order, and the sets that are scored.

    Args:
        ground: reads them.
        order: names of the tasks.
        tests: test splits that have been read.
    """
    plan = ground.plan
    tasks = {d.name: d for d in plan.suite.tasks}
    held_out = plan.suite.held_out if plan.request.evals != "id" else ()
    total = 2 * len(order) - len(tests.keys() & set(order)) + len(held_out)
    with ground.report.phase("data", total, "splits") as advance:

        def read(dataset: Dataset, split: Any) -> Tensors:
            found = ground.read(dataset, split)
            advance(1)
            return found

        train = {name: read(tasks[name], "train") for name in order}
        check_kinds(plan.method, {name: _kind(data) for name, data in train.items()})
        tests = {name: tests.get(name) or read(tasks[name], "test") for name in order}
        return train, _asked_evals(plan, order, tests, read)


def _asked_evals(
    plan: Plan, order: list[str], tests: dict[str, Tensors], read: Callable[..., Tensors]
) -> tuple[EvalSet, ...]:
    """The sets that `--evals` names: the tasks in learned order, then the held-out ones.

    Raises:
        BenchError: there are none.
    """
    evals: list[EvalSet] = []
    if plan.request.evals != "ood":
        learned = [d for d in plan.suite.tasks if d.name in order]
        evals += task_sets(learned, tests, order, plan.suite)
    if plan.request.evals != "id":
        evals += [held_out_set(d, read(d, "test")) for d in plan.suite.held_out]
    if not evals:
        raise BenchError(
            "held-out sets for --evals ood", f"none in '{plan.suite.name}'", "use --evals id"
        )
    return tuple(evals)


def _kind(data: Tensors) -> Kind:
    return "labelled" if isinstance(data, LabelTensors) else "pairs"


def task_sets(
    datasets: list[Dataset], tests: dict[str, Tensors], order: list[str], suite: Suite
) -> list[EvalSet]:
    """Evaluation sets of the tasks, in learned order; classes compete in the suite's order."""
    labelled = {d.name: t for d in datasets if isinstance(t := tests[d.name], LabelTensors)}
    found = []
    for d in sorted(datasets, key=lambda d: order.index(d.name)):
        data, position = tests[d.name], order.index(d.name)
        if isinstance(data, PairTensors):
            found.append(EvalSet(d.name, d.title, data, position))
        elif suite.class_scope == "own":
            found.append(EvalSet(d.name, d.title, data, position, (data,), 0, (position,)))
        else:
            scope, own = tuple(labelled.values()), list(labelled).index(d.name)
            places = tuple(order.index(name) for name in labelled)
            found.append(EvalSet(d.name, d.title, data, position, scope, own, places))
    return found


def held_out_set(dataset: Dataset, data: Tensors) -> EvalSet:
    """The evaluation set of a held-out dataset, whose own classes compete."""
    scope = (data,) if isinstance(data, LabelTensors) else ()
    return EvalSet(dataset.name, dataset.title, data, None, scope, 0, (None,) * len(scope))


def read_tests(ground: Ground, report: Report) -> dict[str, Tensors]:
    """The test splits of all tasks."""
    tests = {}
    with report.phase("data", len(ground.plan.suite.tasks), "splits") as advance:
        for dataset in ground.plan.suite.tasks:
            tests[dataset.name] = ground.read(dataset, "test")
            advance(1)
    return tests


def zero_shot_rows(ground: Ground, which: EvalSet) -> list[Row]:
    """All scores of the untouched backbone."""
    frozen = Frozen(ground.clip.scale)
    try:
        with ground.report.phase(which.title, items_of(which), "items") as advance:
            return evaluate(frozen, ground.feed, which, advance=advance).rows
    except ValueError as e:
        raise BenchError(
            "zero-shot scores to measure the order by", f"{which.title}: {e}", "check the weights"
        ) from e


def _main(rows: list[Row]) -> float:
    """I2T R@1, or accuracy."""
    main = [r for r in rows if r["metric"] == "acc" or (r["direction"], r["k"]) == ("i2t", 1)]
    return float(main[0]["value"])
