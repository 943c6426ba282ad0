"""CoDyRA with RAIL's recursive ridge regression as a second head (Table 5 of the CoDyRA paper).

The backbone is trained, pruned and merged as by `codyra`, bit for bit. After each task the images
of the task, and none of an earlier one, are encoded by the merged model and taken up by the ridge
regression of `rail-primal`. Its scores are fused with the current model's zero-shot probabilities
in the same way: only where the likeliest class is a learned one.

The paper says that RAIL's head is put on the features of the model that CoDyRA trains, and no more;
no code of it is released. So it is open what becomes of features of earlier tasks when the model
goes on. By default they are not computed again, as that would need images of finished tasks: the
regression holds them as the model saw them then, and meets test images as the model sees them now.
`rebuilt` is the other reading: the images of all tasks are kept (which the badge "samples" shows),
and after each task the regression is made anew of what the model now sees in them.

Kept between tasks: the merged model, and the regression's W_h, R and W (see `Primal`), nothing of a
single image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from benchmark.api import (
    MAPS,
    Backbone,
    Badge,
    Batch,
    Classes,
    Config,
    Features,
    Gated,
    Images,
    Method,
    ParamGroup,
    Primal,
    Pruning,
    RidgeHead,
    Task,
    Tools,
    check_gated,
    check_ridge,
    encode_classes,
    require,
    setting,
    symmetric_cross_entropy,
)


@dataclass(frozen=True)
class CoDyRARAILPrimalConfig(Config):
    """CoDyRA's, and those of `rail-primal`, with their sources there."""

    lr: float | None = setting(
        None, paper="5e-4 (official code, runner_codyra.sh)",
        why="the suite's; that of xtail and mtil is 5e-4 for what is added",
    )  # fmt: skip
    weight_decay: float | None = setting(0.0, source="official code, models/codyra.py")
    rank: int = setting(16, source="section 4.1")
    kappa_max: float = setting(0.005, source="section 4.1")
    dense: float = setting(0.5, source="section 4.1, for X-TAIL; 0.7 for MTIL")
    prox: Literal["exact", "released"] = setting("exact", source="equation 4")
    text_rows: Literal["current", "seen"] = setting(
        "current", paper="seen (official code)", why="divided by all classes the term fades"
    )
    targets: tuple[str, ...] = setting(MAPS, source="sections 3.3 and 4.1")
    # and the regression's
    # F, length of phi; 0 is a regression on the features themselves
    hidden: int = setting(15_000, source="RAIL, official code, configs/analytic_clip.yaml")
    # Penalty
    ridge: float = setting(0.1, source="RAIL, official code, configs/analytic_clip.yaml")
    # The regression's share in fused scores
    beta: float = setting(0.8, source="RAIL, official code, configs/analytic_clip.yaml")
    # After each task regress anew on all images, as the model sees them now
    rebuild: bool = setting(
        False, why="the paper does not say; it would need images of finished tasks"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_gated(self.rank, self.targets, self.kappa_max, self.dense)
        check_ridge(self.ridge, self.beta)
        require(self.hidden >= 0, "hidden of at least 0", self.hidden)


class CoDyRARAILPrimal(Method[CoDyRARAILPrimalConfig]):
    """CoDyRA's model, with a ridge regression beside its zero-shot classifier."""

    label = "CoDyRA + RAIL-Primal"
    paper = "Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004"
    variants = {"rebuilt": {"rebuild": True}}
    refuses = {"pairs": "a regression on labels needs class labels"}

    def __init__(self, clip: Backbone, config: CoDyRARAILPrimalConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.update: Gated
        self.seen = 0
        self.outcome: Mapping[str, Any] = {}
        self.head = self._head()
        self.tasks: list[Task] = []  # whose images are read again, with rebuild

    @classmethod
    def badges(cls, config: CoDyRARAILPrimalConfig) -> frozenset[Badge]:
        """With rebuild the images of all tasks are kept."""
        return frozenset({"samples"}) if config.rebuild else cls.uses

    def _head(self) -> RidgeHead:
        c = self.config
        regression = Primal(self.clip.dim, c.hidden, c.ridge, self.tools.generator("hidden"))
        return RidgeHead(regression, c.beta)

    # -- training, as `codyra`

    def before_task(self, task: Task) -> None:
        """A fresh update."""
        c, seed = self.config, task.generator("adapter")
        pruning = Pruning(c.kappa_max, c.dense, c.prox)
        self.update = Gated(self.clip, c.targets, c.rank, pruning, seed)
        self.seen += len(task.classes or ())
        if c.rebuild:
            self.tasks.append(task)

    def trainable(self) -> list[ParamGroup]:
        """Factors and gates."""
        return [ParamGroup(list(self.update.parameters()), betas=(0.9, 0.9999))]

    def features(self, batch: Batch) -> Features:
        """Embeddings by the weights W + dW."""
        with self.clip.adapted(self.update.deltas(), self.update.targets):
            return super().features(batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Image to text and text to image."""
        features = self.features(batch)
        earlier = self.seen - len(features.text_MD) if self.config.text_rows == "seen" else 0
        return symmetric_cross_entropy(features, earlier)

    def after_step(self, step: int, total: int) -> None:
        """The proximal step."""
        self.update.prune(step, total)

    def after_task(self, task: Task) -> None:
        """Merge what is left of the update, and regress on what the merged model sees."""
        self.outcome = self.update.report()
        self.update.merge(self.clip)
        del self.update
        if self.config.rebuild:
            self.head = self._head().to(self.clip.logit_scale.device)
        for one in self.tasks or [task]:
            self.head.learn(one, self.encode_image)

    def report(self) -> Mapping[str, Any]:
        """Kept ranks of each map."""
        return self.outcome

    # -- inference

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Zero-shot probabilities, and the regression where they point to a learned class."""
        class_CD = encode_classes(self.encode_text, classes)
        return self.head.classifier(classes, class_CD, self.clip.scale, self.encode_image)
