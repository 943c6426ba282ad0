"""RAIL-Dual (Xu et al., Advancing cross-domain discriminability, NeurIPS 2024).

The backbone is frozen. All image features X of all tasks are stored with their labels Y, and after
each task a kernel ridge regression is solved on all of them,

    alpha = (K + ridge I)^-1 Y,      K(x, x') = exp(-gamma |x - x'|^2),

whose scores for an image are K(x, X) alpha. They are fused with the zero-shot probabilities as in
`rail-primal`: only where the likeliest class is a learned one.

Differs from the paper, or is not in it:
- K is float64 and the system solved by Cholesky; the official code (linghan1997/Regression-based-
  Analytic-Incremental-Learning, dual_RAIL.py) inverts a matrix of float32 kernel values.
- One pass over the images as they are evaluated; the official code draws a random crop of each.
- The scale of the zero-shot softmax is the backbone's own (100 for OpenAI's weights, as there).
- Where one dataset's classes compete alone (MTIL; no code is released), they have columns if
  exactly their names, and no others, are those of one learned task. If they are those of several
  learned tasks, the run ends with an error.
- `kernel=linear`, K(x, x') = x . x', is the regression of `rail-primal` with `hidden=0`.

No step is trained. Kept: features, labels and alpha, N (D + 1 + S) numbers for N images and S
classes. Solving takes N^3 / 3 multiplications and two N x N matrices in passing; an image costs
N products with stored features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from torch import Tensor

from benchmark.api import (
    Backbone,
    Classes,
    Config,
    Dual,
    Images,
    Method,
    ParamGroup,
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
class RAILDualConfig(Config):
    """Defaults: the authors' configs/analytic_clip.yaml, or the line named."""

    kernel: Literal["rbf", "linear"] = setting("rbf", source="official code, utils.py")
    # Of the kernel "rbf"
    gamma: float = setting(0.1, source="official code, configs/analytic_clip.yaml")
    ridge: float = setting(  # penalty
        0.001, source="official code, dual_RAIL.py, not regularization of its yaml file"
    )
    beta: float = setting(  # the regression's share in fused scores
        0.8, source="official code, configs/analytic_clip.yaml, fusion_weight"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require_no_step(self)
        check_ridge(self.ridge, self.beta)
        require(0 < self.gamma < inf, "a finite gamma above 0", self.gamma)
        require(
            self.kernel == "rbf" or self.gamma == RAILDualConfig.gamma,
            "settings that act with the linear kernel",
            f"gamma={self.gamma}",
            "leave it out",
        )


class RAILDual(Method[RAILDualConfig]):
    """Kernel ridge regression on stored features of the frozen backbone, fused with zero-shot."""

    label = "RAIL-Dual"
    paper = "Xu et al., Advancing cross-domain discriminability, NeurIPS 2024"
    invariants = {"same in every seed": {}}  # nothing is drawn
    refuses = {"pairs": "a regression on labels needs class labels"}
    uses = frozenset({"features"})

    def __init__(self, clip: Backbone, config: RAILDualConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        gamma = config.gamma if config.kernel == "rbf" else None
        self.head = RidgeHead(Dual(clip.dim, config.ridge, gamma), config.beta)

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
