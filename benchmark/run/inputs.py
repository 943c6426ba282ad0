"""Everything that a run reads, opened and checked before the first training step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..backbones.backbone import Backbone
from ..backbones.load import load
from ..common.files import cache_root
from ..common.report import Report, Say, silent
from ..data.batches import draw_pairs, spread_texts
from ..data.cache.decoded import check_ahead, transform_id
from ..data.cache.frozen import FrozenFeatures
from ..data.items import Items
from ..data.tensors import LabelTensors, PairTensors, Tensors, load_split
from ..errors import BenchError
from ..protocol.method import Frozen
from ..protocol.types import Batch, Texts
from ..suites.suite import Dataset, Suite
from .evaluate import EvalSet, Row, evaluate
from .provenance.machine import hardware
from .registry import ResolvedMethod
from .request import Plan
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

    def reference(self, batch_size: int) -> Batch:
        """A random batch of the suite's reference data; raises as `reference_texts`."""
        return draw_pairs(self.feed, self._reference_pairs(), batch_size)

    def reference_texts(self, count: int) -> Texts:
        """At most so many texts of the suite's reference data, evenly spaced.

        Raises:
            BenchError: the suite has none, or not as image-text pairs.
        """
        return spread_texts(self.feed, self._reference_pairs(), count)

    def _reference_pairs(self) -> PairTensors:
        if not isinstance(self.reference_data, PairTensors):
            raise BenchError(
                "a suite with image-text reference data, which the method distils from",
                "one without",
                "choose a suite that declares it",
            )
        return self.reference_data


def pick_device(asked: str) -> torch.device:
    """Auto takes a GPU where there is one.

    Raises:
        BenchError: an unknown or absent device.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"'{device.type}' is not supported")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as e:
        there = "cpu" + (", cuda" if torch.cuda.is_available() else "")
        raise BenchError(
            f"a device of this machine (auto, {there})",
            f"'{asked}' ({str(e).splitlines()[0]})",
            "correct --device",
        ) from e
    return device


def open_inputs(plan: Plan, report: Report) -> Inputs:
    """Load the backbone and every split of a plan.

    Raises:
        BenchError: whatever is wrong with weights, data, order or device.
    """
    device = pick_device(plan.request.device)
    root = cache_root(plan.request.cache_dir)
    clip = load_backbone(plan, device)
    feed = Items(clip, frozen_features(plan, clip, device, root, report.line))
    read = partial(read_split, clip=clip, root=root, limit=plan.request.limit, say=report.line)
    tasks = {d.name: d for d in plan.suite.tasks}
    tests: dict[str, Tensors] = {}

    def measure() -> dict[str, float]:
        report.line("order: measuring zero-shot scores")
        tests.update({name: read(d, "test") for name, d in tasks.items()})
        sets = task_sets(list(tasks.values()), tests, list(tasks), plan.suite)
        return {which.name: _main(zero_shot_rows(clip, feed, which)) for which in sets}

    second = plan.suite.order_ii
    order, measured = resolve_order(plan.request.order, list(tasks), measure, second)
    for name in plan.left_out:
        report.line(f"held-out set {name} is not prepared and left out")
    report.line(f"data: {len(order)} tasks, decoded images in {root}")
    if plan.suite.folder is not None:  # of any size; an embedded suite is small
        splits = [d.load(part) for d in tasks.values() for part in ("train", "test")]
        splits += [d.load("test") for d in plan.suite.held_out]
        check_ahead((split.images for split in splits), clip.size, root)
    train = {name: read(tasks[name], "train") for name in order}
    _check_kinds(plan.method, train)
    tests = {name: tests.get(name) or read(tasks[name], "test") for name in order}
    evals = _asked_evals(plan, order, tests, read)
    reference = plan.suite.reference if "reference data" in plan.method.uses else None
    reference_data = read(reference, "train") if reference is not None else None
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
            "threads": torch.get_num_threads(),
            "order": list(order),
            "train": {name: data.fingerprint for name, data in train.items()},
            "test": {which.name: which.data.fingerprint for which in evals},
            "reference": None if reference_data is None else reference_data.fingerprint,
        },
    )


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


def _check_kinds(method: ResolvedMethod, train: dict[str, Tensors]) -> None:
    """Raises BenchError for a task of a kind that the method refuses."""
    refused = method.cls.refused(method.config)
    for name, data in train.items():
        kind = "labelled" if isinstance(data, LabelTensors) else "pairs"
        if kind in refused:
            raise BenchError(
                f"tasks that {method.cls.label} is defined for",
                f"'{name}', of the kind '{kind}': {refused[kind]}",
                "choose another suite, --order or --method",
            )


def load_backbone(plan: Plan, device: torch.device) -> Backbone:
    """The backbone of a plan, on its device and in its precision."""
    clip = load(plan.backbone, plan.weights)
    clip.precision = plan.request.precision
    return clip.to(device)


def frozen_features(
    plan: Plan, clip: Backbone, device: torch.device, root: Path, say: Say = silent
) -> FrozenFeatures:
    """The features of the untouched backbone, from the cache or made now; damage is said."""
    about = (
        clip.name, clip.fingerprint, repr((clip.mean, clip.std)), device.type,
        plan.request.precision, str(torch.get_num_threads()), version(clip.library),
        repr(hardware()),
    )  # fmt: skip
    code = plan.code + plan.method.sha
    return FrozenFeatures(lambda: load_backbone(plan, device), about, clip.size, root, code, say)


def read_split(
    dataset: Dataset,
    split: Any,
    clip: Backbone,
    root: Path,
    limit: int | None,
    say: Say = silent,
) -> Tensors:
    """One split of a dataset as tensors; a damaged cache file that is made again is said."""
    loaded, side = dataset.load(split), clip.size
    return load_split(loaded, side, clip.tokenize, root, limit, clip.tokenizer, say)


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


def zero_shot_rows(clip: Backbone, feed: Items, which: EvalSet) -> list[Row]:
    """All scores of the untouched backbone."""
    try:
        return evaluate(Frozen(clip.scale), feed, which).rows
    except ValueError as e:
        raise BenchError(
            "zero-shot scores to measure the order by", f"{which.title}: {e}", "check the weights"
        ) from e


def _main(rows: list[Row]) -> float:
    """I2T R@1, or accuracy."""
    main = [r for r in rows if r["metric"] == "acc" or (r["direction"], r["k"]) == ("i2t", 1)]
    return float(main[0]["value"])
