"""What comes before the data: the backbone, and the method that is built on it.

Whatever a method cannot do with a backbone or its settings it says when it is built. So it is
built first, before minutes go into reading and decoding.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..backbones.backbone import Backbone
from ..backbones.blocks.compiled import Sizes
from ..backbones.load import load
from ..common.files import cache_root
from ..common.report import SILENT, Report
from ..common.seeds import generator, seed_globally
from ..data.batches import draw_pairs, join, spread_texts
from ..data.cache.frozen import TOWERS, FrozenFeatures
from ..data.cache.pieces import IMAGES, TOKENS
from ..data.cache.plain import contents
from ..data.items import Items
from ..data.tensors import PairTensors, Tensors, load_split
from ..errors import BenchError
from ..protocol.method import Method
from ..protocol.types import Batch, Texts, Tools
from ..suites.suite import Dataset
from .device.compiling import chosen_compiler, how_computed
from .device.pick import pick_device
from .provenance.machine import hardware
from .request import Plan
from .state.checkpoint import Pristine


@dataclass
class Ground:
    """A run's backbone on its device, and how its data are read.

    Attributes:
        root: cache folder. report: what the user sees of the reading.
    """

    plan: Plan
    clip: Backbone
    device: torch.device
    feed: Items
    root: Path
    report: Report
    _reference: list[Tensors] = field(default_factory=list)

    def read(self, dataset: Dataset, split: Any) -> Tensors:
        """A split as tensors; BenchError for whatever is wrong with it."""
        clip, limit = self.clip, self.plan.request.limit
        trained = split == "train" and dataset in self.plan.suite.tasks
        return load_split(
            dataset.load(split), clip.size, clip.tokenize, self.root, limit, clip.tokenizer,
            self.report, crops=trained and self.plan.recipe.crops == "random",
        )  # fmt: skip

    def reference_data(self) -> Tensors | None:
        """The suite's reference data, where the method declares that it reads some."""
        dataset = self.plan.suite.reference
        if dataset is None or "reference data" not in self.plan.method.uses:
            return None
        if not self._reference:
            self._reference.append(self.read(dataset, "train"))
        return self._reference[0]

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
        if "reference data" not in self.plan.method.uses:
            raise BenchError(
                "a method that declares 'reference data' in `uses`",
                "one that reads it without",
                "declare it, so that the leaderboard can show it",
            )
        data = self.reference_data()
        if not isinstance(data, PairTensors):
            raise BenchError(
                "a suite with image-text reference data, which the method distils from",
                "one without",
                "choose a suite that declares it",
            )
        return data


@dataclass(frozen=True)
class Built:
    """A method on its backbone, and the digests of the latter as it was before."""

    method: Method
    pristine: Pristine


def open_ground(plan: Plan, report: Report) -> Ground:
    """Load a plan's backbone.

    Raises:
        BenchError: whatever is wrong with weights or device.
    """
    device = pick_device(plan.request.device)
    if plan.instead:
        report.line(plan.instead)
    root = cache_root(plan.request.cache_dir)
    with report.phase(f"weights of {plan.backbone}"):
        clip = load_backbone(plan, device)
        sizes = Sizes(plan.recipe.batch_size, IMAGES, TOKENS)
        limited = plan.request.limit is not None
        clip.compiler, said = chosen_compiler(plan.request.compile, clip, device, sizes, limited)
        feed = Items(clip, frozen_features(plan, clip, device, root, report))
    if said:
        report.line(said)
    return Ground(plan, clip, device, feed, root, report)


def build_method(ground: Ground) -> Built:
    """The plan's method on its backbone, with the draws that the plan's seed gives.

    Raises:
        BenchError: what the method says of the backbone or of its settings.
    """
    plan, seed = ground.plan, ground.plan.request.seed

    def generate(*key: object) -> torch.Generator:
        return generator(seed, "method", *key)

    tools = Tools(generate, ground.reference, join, ground.reference_texts)
    pristine = Pristine.of(ground.clip)
    seed_globally(seed, "init")
    method: Method = plan.method.cls(ground.clip, plan.method.config, tools)
    return Built(method.to(ground.device), pristine)


def frozen_features(
    plan: Plan, clip: Backbone, device: torch.device, root: Path, report: Report = SILENT
) -> FrozenFeatures:
    """The frozen features of a run, under all that they come from.

    Args:
        plan: what was asked for.
        clip: its backbone, as it was loaded.
        device: where it lives.
        root: cache folder.
        report: see `FrozenFeatures`.
    """
    about = (
        clip.name, clip.fingerprint, repr((clip.mean, clip.std)), device.type,
        plan.precision, str(torch.get_num_threads()), version(clip.library),
        repr(hardware()), how_computed(clip),
    )  # fmt: skip
    code = plan.code + plan.method.sha
    digests = {tower: contents(clip, tower) for tower in TOWERS}

    def make() -> Backbone:
        made = load_backbone(plan, device)
        made.compiler = clip.compiler
        return made

    return FrozenFeatures(make, about, clip.size, root, code, report, digests)


def load_backbone(plan: Plan, device: torch.device) -> Backbone:
    """The backbone of a plan, on its device and in its precision."""
    clip = load(plan.backbone, plan.weights)
    clip.precision = plan.precision
    clip.checkpointing = plan.request.checkpointing
    return clip.to(device)
