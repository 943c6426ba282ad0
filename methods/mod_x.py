"""Mod-X (Ni et al., Continual vision-language representation learning, ICML 2023).

    L = L_match + alpha * (KL(S~_old || S) + KL(S~_old^T || S^T)) / 2

S is the matrix of cosines of a batch after a softmax over each row, S_old the same of the model
before the task, and S~_old has the rows of S in place of those in which the old model does not
rank the right candidate first ("cognition align"). A replaced row has no divergence and no
gradient, so the sum runs over the rows where the old model is right.

Follows the official code (ZixuanNi/Mod-X, ModX_Training/continue_train_model.py): no temperature
in the distillation, the sum over all entries of the batch (so the term grows with the batch), and
the diagonal stays in, despite the paper's "off-diagonal".

Differs from it:
- The old model runs without gradient, and is there from the first task on, as the pretrained one.
  In the first task its features come from the shared cache and cost nothing.
- The similarity scale is frozen, not trained within [0, ln 100].
- The budget is the suite's, one for all methods. Theirs (5e-4, weight decay 0.1, 35 epochs with
  20 % of warm-up, batches of 280) is for a ResNet-50 that was trained from scratch.
- Where the texts are class prompts, images alone choose among candidates, as in the matching loss.

Kept between tasks: nothing. During a task, a copy of the model (0.6 GB for ViT-B/16) and, from the
second task on, its embeddings of the task's items, each computed once.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmark.api import (
    Backbone,
    Batch,
    Config,
    Method,
    Task,
    Tools,
    divergence,
    is_right,
    matching,
    over_directions,
    require,
    setting,
    snapshot,
    teacher_features,
)


@dataclass(frozen=True)
class ModXConfig(Config):
    """Defaults: the official code (folder ModX_Training)."""

    lr: float | None = setting(
        None, paper="5e-4 (official code, for a ResNet-50 from scratch)",
        why="one budget for all methods of a suite",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0.1 (official code)", why="one budget for all methods of a suite"
    )
    # Weight of the distillation
    alpha: float = setting(20.0, source="official code, modx_5phase.sh")
    distill_temperature: float = setting(  # divides the cosines
        1.0, source="official code, which has none"
    )
    # "sum" over rows and columns, "batchmean" over rows, "mean" over entries
    reduction: Literal["sum", "batchmean", "mean"] = setting("sum", source="official code")
    drop_diagonal: bool = setting(  # leave the right candidate out of every row
        False, source='official code, despite the paper\'s "off-diagonal"'
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(self.alpha >= 0, "alpha >= 0", self.alpha)
        t = self.distill_temperature
        require(t > 0, "distill_temperature > 0", t)


class ModX(Method[ModXConfig]):
    """Fine-tuning that keeps the similarities of a batch where the old model was right."""

    label = "Mod-X"
    paper = "Ni et al., Continual vision-language representation learning, ICML 2023"

    def __init__(self, clip: Backbone, config: ModXConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None  # the untouched backbone, whose rows are cached

    def before_task(self, task: Task) -> None:
        """The model as it is now becomes the teacher."""
        self.teacher = snapshot(self.clip) if task.index else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and distillation."""
        new = self.features(batch)
        old = teacher_features(self.teacher, batch, new)
        distill = self.config.alpha * over_directions(new, old, self._align)
        return {"match": matching(new), "distill": distill}

    def after_task(self, task: Task) -> None:
        """The teacher is of no more use."""
        self.teacher = None

    def _align(self, new_BM: Tensor, old_BM: Tensor, target_B: Tensor) -> Tensor:
        """Divergence of the new rows of cosines from the old ones, where the old model is right."""
        right_B = is_right(old_BM, target_B)
        if self.config.drop_diagonal:
            new_BM, old_BM = _others(new_BM, target_B), _others(old_BM, target_B)
        t = self.config.distill_temperature
        kl_B = divergence(new_BM / t, (old_BM / t).softmax(dim=1))
        parts = {"sum": 1, "batchmean": len(new_BM), "mean": new_BM.numel()}
        return kl_B.where(right_B, 0).sum() / parts[self.config.reduction]


def _others(x_BM: Tensor, target_B: Tensor) -> Tensor:
    """Rows without their entry at the target: (B, M) -> (B, M - 1)."""
    columns = torch.arange(x_BM.shape[1] - 1, device=x_BM.device)
    return x_BM.gather(1, columns + (columns >= target_B[:, None]))
