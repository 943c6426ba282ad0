"""How CoDyRA learns a task (Lu et al., arXiv 2412.01004 v4), for every method that learns so.

A gated low-rank update of all linear maps (`toolkit.gated`), trained by cross-entropy in both
directions (`toolkit.losses.both_ways`), pruned on the way and merged at the end. What of this is
the paper's, what the official code's (Artificer-AI-Lab/CoDyRA), and what ours stands in
methods/codyra.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..backbones.backbone import Backbone
from ..errors import BenchError
from ..protocol.config import Config
from ..protocol.losses import symmetric_cross_entropy
from ..protocol.method import Method
from ..protocol.types import Batch, Features, ParamGroup, Task, Tools
from .gated import Factors, Gated, Pruning, merge_factors
from .lora import MAPS, check_adapter

TEXT_ROWS = ("current", "seen")


@dataclass(frozen=True)
class GatedConfig(Config):
    """Defaults: section 4.1 for X-TAIL and the official code."""

    weight_decay: float | None = 0.0  # official code
    rank: int = 16  # R before pruning, section 4.1
    kappa_max: float = 0.005  # largest threshold, section 4.1
    dense: float = 0.5  # share of the steps before any pruning, section 4.1
    prox: str = "exact"  # equation 4, or as released
    text_rows: str = "current"  # classes that text-to-image is a mean over; released: seen
    targets: tuple[str, ...] = MAPS  # linear maps, section 3.3

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, 1.0, 0.0, self.targets)
        _ = self.pruning
        if self.text_rows not in TEXT_ROWS:
            known = ", ".join(TEXT_ROWS)
            raise BenchError(f"text_rows in {known}", f"'{self.text_rows}'", "choose one")

    @property
    def pruning(self) -> Pruning:
        """The schedule; it refuses what it cannot do."""
        return Pruning(self.kappa_max, self.dense, self.prox)


class GatedMethod(Method[Any]):
    """The training hooks of a method that learns as CoDyRA; abstract, as `Method` is.

    Between tasks it holds no tensor but the merged model.
    """

    Config: ClassVar[type[GatedConfig]] = GatedConfig
    paper = "Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004"

    def __init__(self, clip: Backbone, config: Any, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.update: Gated | None = None
        self.steps = 0  # of the current task
        self.earlier = self.current = 0  # classes of earlier tasks and of this one
        self.outcome: Mapping[str, Any] = {}

    @classmethod
    def refused(cls, config: Any) -> Mapping[str, str]:
        """Where classes are counted, image-caption tasks, which have none."""
        if config.text_rows != "seen":
            return cls.refuses
        return {"pairs": "text_rows=seen counts classes", **cls.refuses}

    def before_task(self, task: Task) -> None:
        """A new update."""
        c = self.config
        self.earlier += self.current
        self.current = 0 if task.classes is None else len(task.classes)
        self.update = Gated(self.clip, c.targets, c.rank, task.generator("adapter"))

    def trainable(self) -> list[ParamGroup]:
        """Factors and gates."""
        assert self.update is not None
        return [ParamGroup(list(self.update.parameters()), betas=(0.9, 0.9999))]

    def features(self, batch: Batch) -> Features:
        """Embeddings by the backbone with the update, in training alone."""
        assert self.update is not None
        with self.clip.adapted(self.update.deltas(), self.update.targets):
            image_BD = self.clip.image(batch.images.pixels_B3HW)
            text_MD = self.clip.text(batch.texts.tokens_ML)
        return Features(image_BD, text_MD, self.clip.scale, batch.target_B, batch.paired)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Image to text and text to image."""
        others = self.earlier if self.config.text_rows == "seen" else 0
        return symmetric_cross_entropy(self.features(batch), others)

    def after_step(self, step: int, total: int) -> None:
        """The proximal step."""
        assert self.update is not None
        self.steps = total
        self.update.prune(self.config.pruning, step, total)

    def after_task(self, task: Task) -> None:
        """Merge what is left of the update, and drop it."""
        assert self.update is not None
        self.outcome = self.update.report(self.config.pruning, self.steps)
        kept = self.update.kept()
        merge_factors(self.clip, self.config.targets, kept)
        self.update = None
        self.merged(kept)

    def merged(self, factors: Factors) -> None:
        """What a method does with what was merged into its model; see `Gated.kept`."""

    def report(self) -> Mapping[str, Any]:
        """Kept ranks of each map, and those that pruning alone would keep; see `Gated.report`."""
        return self.outcome
