"""RAIL-Primal (Xu et al., Advancing cross-domain discriminability, NeurIPS 2024).

The backbone is frozen. A ridge regression from random hidden features of an image,
phi = ReLU(W_h f), to its class is updated recursively, and is at any time the regression on all
tasks at once:

    R <- R - R Phi^T (I + Phi R Phi^T)^-1 Phi R,      W <- W + R Phi^T (Y - Phi W)

with R = I / ridge at first, and zero columns of W for the classes of a new task. At test time an
image is first classified by zero-shot probabilities p over all candidates. If the likeliest is a
class that was learned, p <- (1 - beta) p + beta (phi W on learned classes, 0 on others); else p
stays as it is. So what is said of classes not learned is what the untouched backbone says.

Differs from the paper, or is not in it:
- Computed in float64 throughout; the official code (linghan1997/Regression-based-Analytic-
  Incremental-Learning, primal_RAIL.py) keeps R and W and updates them in float32.
- R is kept as a factor while that is smaller (`toolkit.ridge`), which is exact.
- One pass over the images as they are evaluated; the official code draws a random crop of each.
- The scale of p is the backbone's own (100 for OpenAI's weights, as there).
- Where one dataset's classes compete alone (MTIL; no code is released), they have columns if
  exactly their names, and no others, are those of one learned task; else p stays as it is. If
  they are those of several learned tasks, the run ends with an error.
- W_h is drawn from the run's seed.

No step is trained. Kept: W_h, W, and R or a factor of it, at most F^2 numbers (1.8 GB for 15,000
units). An image costs one product with W_h and one with W beside the cached features.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from benchmark.api import (
    Backbone,
    Classes,
    Config,
    Images,
    Method,
    ParamGroup,
    Primal,
    RidgeHead,
    Task,
    Texts,
    Tools,
    check_ridge,
    encode_classes,
    require,
    require_no_step,
    setting,
)


@dataclass(frozen=True)
class RAILPrimalConfig(Config):
    """Defaults: the authors' configs/analytic_clip.yaml."""

    hidden: int = setting(  # F; 0 is a regression on the features themselves
        15_000, source="official code, configs/analytic_clip.yaml, hidden_dim"
    )
    ridge: float = setting(  # penalty on W's squared norm
        0.1, source="official code, configs/analytic_clip.yaml, regularization"
    )
    beta: float = setting(  # the regression's share in fused scores
        0.8, source="official code, configs/analytic_clip.yaml, fusion_weight"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require_no_step(self)
        check_ridge(self.ridge, self.beta)
        require(self.hidden >= 0, "hidden of at least 0", self.hidden)


class RAILPrimal(Method[RAILPrimalConfig]):
    """Recursive ridge regression on the frozen backbone, fused with zero-shot."""

    label = "RAIL-Primal"
    paper = "Xu et al., Advancing cross-domain discriminability, NeurIPS 2024"
    refuses = {"pairs": "a regression on labels needs class labels"}

    def __init__(self, clip: Backbone, config: RAILPrimalConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        regression = Primal(clip.dim, config.hidden, config.ridge, tools.generator("hidden"))
        self.head = RidgeHead(regression, config.beta)

    def trainable(self) -> list[ParamGroup]:
        """Nothing: no step is made."""
        return []

    def after_task(self, task: Task) -> None:
        """The task's images, once."""
        self.head.learn(task, self.encode_image)

    def encode_image(self, images: Images) -> Tensor:
        """The untouched backbone's image features."""
        return images.frozen()

    def encode_text(self, texts: Texts) -> Tensor:
        """The untouched backbone's text features."""
        return texts.frozen()

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Zero-shot probabilities, and the regression where they point to a learned class."""
        class_CD = encode_classes(self.encode_text, classes)
        return self.head.classifier(classes, class_CD, self.clip.scale, self.encode_image)
