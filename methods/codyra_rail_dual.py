"""CoDyRA with RAIL's kernel ridge regression as a second head (Table 5 of the CoDyRA paper).

As `codyra-rail-primal`, with the regression of `rail-dual`: the image features of all tasks are
kept as the model saw them when their task ended, and a test image meets them as the model sees it
now.

Kept between tasks: the merged model, features, labels and alpha, N (D + 1 + S) numbers for N images
and S classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import Tensor

from benchmark.api import (
    Backbone,
    BenchError,
    Classes,
    Dual,
    GatedConfig,
    GatedMethod,
    Images,
    RidgeHead,
    Task,
    Tools,
    check_ridge,
    encode_classes,
)


@dataclass(frozen=True)
class CoDyRARAILDualConfig(GatedConfig):
    """CoDyRA's, and those of `rail-dual`, with its sources."""

    gamma: float = 0.1  # of the kernel exp(-gamma |x - x'|^2)
    ridge: float = 0.001  # penalty
    beta: float = 0.8  # the regression's share in fused scores

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_ridge(self.ridge, self.beta)
        if not 0 < self.gamma < inf:
            raise BenchError("a finite gamma above 0", f"{self.gamma}", "correct --hp")


class CoDyRARAILDual(GatedMethod):
    """CoDyRA's model, with a ridge regression beside its zero-shot classifier."""

    Config = CoDyRARAILDualConfig
    label = "CoDyRA + RAIL-Dual"
    variants = {"dense70": {"dense": 0.7}}  # section 4.1 for MTIL
    refuses = {"pairs": "a regression on labels needs class labels"}
    uses = frozenset({"features"})

    def __init__(self, clip: Backbone, config: Any, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        regression = Dual(clip.dim, config.ridge, config.gamma)
        self.head = RidgeHead(regression, config.beta)

    def after_task(self, task: Task) -> None:
        """Merge what is left of the update, and regress on what the merged model sees."""
        super().after_task(task)
        self.head.learn(task, self.encode_image)

    def classifier(self, classes: Classes) -> Callable[[Images], Tensor]:
        """Zero-shot probabilities, and the regression where they point to a learned class."""
        class_CD = encode_classes(self.encode_text, classes)
        return self.head.classifier(classes, class_CD, self.clip.scale, self.encode_image)
