"""DKR, dynamic knowledge rectification (Cui et al., AAAI 2024). A reconstruction.

    L = L_match + strength * mean over directions and rows of KL(target || A)

A is a row of the softmax over a batch's scaled similarities, A_old the same of the model before
the task. The old row is rectified before it is distilled:

- old model right: target = A_old;
- old model wrong, new one right: target = A itself, without gradient ("knowledge of the new");
- both wrong: target = 1 at the right candidate.

No code of the paper is public. Its abstract gives the three cases; its weight, 1.0, is known
from a summary alone. Ours, for lack of a source: the similarity scale as the temperature, so that
the third case is on the scale of the other two (it is then the cross-entropy of the matching
loss); the mean over rows; the old model from the first task on, as the pretrained one. The paper
strengthens the second case by an equation that could not be found: rnk_mix blends in the right
candidate, and is 0. With rpk=none and no rnk_mix this is Mod-X with another temperature and a
mean. Where the texts are class prompts, images alone choose among candidates. Epochs, batch,
learning rate and weight decay of the paper are unknown; they are the suite's.

Kept between tasks: nothing. During a task, a copy of the model (0.6 GB for ViT-B/16) and, from the
second task on, its embeddings of the task's items, each computed once; in the first the shared
cache has them.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

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
class DKRConfig(Config):
    """Defaults: the paper as far as it is known, else the choices above."""

    strength: float = setting(1.0, source="best in the paper, as a summary says")  # lambda
    distill_temperature: float | None = setting(  # divides the cosines; None: the model's own
        None, why="no source; targets of 1 are then on the scale of the others"
    )
    rnk_mix: float = setting(  # share of the right candidate where only the new model is right
        0.0, why="the paper strengthens this case by an equation that could not be found"
    )
    # Target where both are wrong; "none": no distillation
    rpk: Literal["onehot", "none"] = setting("onehot", source="the paper's abstract")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(self.strength >= 0, "strength >= 0", self.strength)
        require(0 <= self.rnk_mix <= 1, "rnk_mix in [0, 1]", self.rnk_mix)
        t = self.distill_temperature
        require(t is None or t > 0, "distill_temperature > 0 or none", t)


class DKR(Method[DKRConfig]):
    """Fine-tuning that distils the old model's similarities, corrected where it was wrong."""

    label = "DKR"
    paper = "Cui et al., Continual vision-language retrieval, AAAI 2024 (reconstruction)"

    def __init__(self, clip: Backbone, config: DKRConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None  # the untouched backbone, whose rows are cached

    def before_task(self, task: Task) -> None:
        """The model as it is now becomes the teacher."""
        self.teacher = snapshot(self.clip) if task.index else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and distillation of the rectified rows."""
        new = self.features(batch)
        old = teacher_features(self.teacher, batch, new)
        t = self.config.distill_temperature
        scale = new.scale if t is None else 1 / t

        def rectified(new_BM: Tensor, old_BM: Tensor, target_B: Tensor) -> Tensor:
            return self._rectified(scale * new_BM, scale * old_BM, target_B)

        distill = self.config.strength * over_directions(new, old, rectified)
        return {"match": matching(new), "distill": distill}

    def after_task(self, task: Task) -> None:
        """The teacher is of no more use."""
        self.teacher = None

    def _rectified(self, new_BM: Tensor, old_BM: Tensor, target_B: Tensor) -> Tensor:
        """Mean over rows of the divergence of scaled new rows from the rectified old ones."""
        own_BM = new_BM.detach().softmax(dim=1)
        hot_BM = F.one_hot(target_B, new_BM.shape[1]).to(own_BM.dtype)
        learned_BM = own_BM.lerp(hot_BM, self.config.rnk_mix)
        missed_BM = hot_BM if self.config.rpk == "onehot" else own_BM
        new_right_B1 = is_right(new_BM, target_B)[:, None]
        old_right_B1 = is_right(old_BM, target_B)[:, None]
        rectified_BM = torch.where(
            old_right_B1, old_BM.softmax(dim=1), torch.where(new_right_B1, learned_BM, missed_BM)
        )
        return divergence(new_BM, rectified_BM).mean()
