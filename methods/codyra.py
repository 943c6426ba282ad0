"""CoDyRA (Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004 v4).

    dW = sum_i w_i B_:,i A_i,:                           (eq. 2, for every linear map)
    w <- sign(w) max(|w| - kappa, 0)  after a step       (eq. 4)
    W <- W + dW over w_i != 0         after a task

Fresh low-rank updates for every task, on all linear maps of all blocks of both towers; A is
Kaiming-uniform, B zero, the gates w are N(0, 1). After a dense part of the task, every optimiser
step is followed by a soft threshold of all gates, which rises to kappa_max: an L1 penalty
(eq. 3). Ranks whose gate is zero are dropped, the others merged. 4,423,680 scalars in the factors
of ViT-B/16 at rank 16, and 2,304 gates.

The update itself, its pruning and its merging are `benchmark/toolkit/gated.py`, for the methods
that stand on CoDyRA as well: `codyra-plus`, `codyra-rail-primal` and `codyra-rail-dual`.

Details are those of the official code (Artificer-AI-Lab/CoDyRA): AdamW with betas (0.9, 0.9999),
no weight decay, no alpha / R, no dropout; the loss is the sum of image-to-text cross-entropy over
the current classes and text-to-image cross-entropy (see `symmetric_cross_entropy`); the steps at
which the threshold rises. AdamW's moments of a pruned gate live on, so it can come back, if a step
moves it by more than kappa. On image-caption tasks the two terms are CLIP's. Differs:
- prox: the code also drops gates in (kappa, 2 kappa), against eq. 4; prox=released does.
- text_rows: the code divides the second term by the number of all classes so far, though only the
  current ones contribute, so that it fades as tasks pass; text_rows=seen does. Here, by the
  current ones.
- Below 50 steps after the dense part the code never prunes (`Pruning.threshold`); here the
  threshold still rises to kappa_max.
- Merged when the task ends, and evaluated merged; the code evaluates the unmerged update and
  merges when the next task starts: the same function up to rounding.
- The code keeps the factors of past tasks for its checkpoints; nothing reads them.
- Rate, steps, batch, crops, class prompts and precision are the suite's, one budget for all
  methods. Theirs: 5e-4 without warm-up, 500 steps of 64 images, random crops of 0.9 to 1 of an
  image, one prompt per dataset with class names as they are in the lists, float32.
- Embeddings of earlier classes, which the code computes only to mask them, are not computed.

What pruning keeps is mostly drawn, not learned: a gate moves by about the sum of learning rates
(0.125 in 500 steps at 5e-4 with half a cosine) and shrinks by the sum of thresholds (0.65 in 500
steps). The report of each task therefore has, beside the kept ranks, those that pruning keeps of
untrained gates: 8.2 of 16, and 11.2 with dense=0.7. As kappa_max is absolute, the number of steps
decides: with these defaults 15 of 16 are left after 60 steps, 3.1 after 1,000, 0.15 after 2,000, so
that tasks much longer than the paper's need a smaller kappa_max. Suites with another budget than
the paper's give it in proportion (0.005 * 500 / steps), and those of MTIL give dense = 0.7.

Kept between tasks: nothing but the merged model. A step costs the plain one's plus the low-rank
products; the texts of all current classes are encoded at every step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from benchmark.api import (
    MAPS,
    Backbone,
    Batch,
    Config,
    Features,
    Gated,
    Method,
    ParamGroup,
    Pruning,
    Task,
    Tools,
    check_gated,
    setting,
    symmetric_cross_entropy,
)


@dataclass(frozen=True)
class CoDyRAConfig(Config):
    """Defaults: section 4.1 for X-TAIL and the official code."""

    lr: float | None = setting(
        None, paper="5e-4 (official code, runner_codyra.sh)",
        why="the suite's; that of xtail and mtil is 5e-4 for what is added",
    )  # fmt: skip
    weight_decay: float | None = setting(0.0, source="official code, models/codyra.py")
    rank: int = setting(16, source="section 4.1")  # R, before pruning
    kappa_max: float = setting(0.005, source="section 4.1")  # largest threshold
    # Share of the steps before any pruning
    dense: float = setting(0.5, source="section 4.1, for X-TAIL; 0.7 for MTIL")
    # As the paper has it, or as released
    prox: Literal["exact", "released"] = setting("exact", source="equation 4")
    text_rows: Literal["current", "seen"] = setting(  # classes that t2i is a mean over
        "current", paper="seen (official code)", why="divided by all classes the term fades"
    )
    targets: tuple[str, ...] = setting(MAPS, source="sections 3.3 and 4.1")  # linear maps

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_gated(self.rank, self.targets, self.kappa_max, self.dense)


class CoDyRA(Method[CoDyRAConfig]):
    """Gated low-rank updates, pruned and merged after each task."""

    label = "CoDyRA"
    paper = "Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004"
    variants = {
        "released": {"prox": "released", "text_rows": "seen"},  # official code
    }

    def __init__(self, clip: Backbone, config: CoDyRAConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.update: Gated  # A, B and w of the current task
        self.seen = 0  # classes so far
        self.outcome: Mapping[str, Any] = {}

    @classmethod
    def refused(cls, config: CoDyRAConfig) -> Mapping[str, str]:
        """Where classes are counted, image-caption tasks, which have none."""
        return {"pairs": "text_rows=seen counts classes"} if config.text_rows == "seen" else {}

    def before_task(self, task: Task) -> None:
        """A fresh update of every linear map; it changes nothing yet, as B is zero."""
        c, seed = self.config, task.generator("adapter")
        pruning = Pruning(c.kappa_max, c.dense, c.prox)
        self.update = Gated(self.clip, c.targets, c.rank, pruning, seed)
        self.seen += len(task.classes or ())

    def trainable(self) -> list[ParamGroup]:
        """Factors and gates; the backbone is frozen."""
        return [ParamGroup(list(self.update.parameters()), betas=(0.9, 0.9999))]

    def features(self, batch: Batch) -> Features:
        """Embeddings by the weights W + dW (equation 2)."""
        with self.clip.adapted(self.update.deltas(), self.update.targets):
            return super().features(batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Image to text, and text to image as a mean over the current classes, or all so far."""
        features = self.features(batch)
        earlier = self.seen - len(features.text_MD) if self.config.text_rows == "seen" else 0
        return symmetric_cross_entropy(features, earlier)

    def after_step(self, step: int, total: int) -> None:
        """The proximal step (equation 4): gates shrink by kappa, and small ones become zero."""
        self.update.prune(step, total)

    def after_task(self, task: Task) -> None:
        """W <- W + dW over the ranks whose gate is not zero; factors and gates are dropped."""
        self.outcome = self.update.report()
        self.update.merge(self.clip)
        del self.update

    def report(self) -> Mapping[str, Any]:
        """Kept ranks of each map, and those that pruning alone would keep; see `Gated.report`."""
        return self.outcome
