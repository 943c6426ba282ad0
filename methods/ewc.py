"""EWC, elastic weight consolidation (Kirkpatrick et al., PNAS 2017), for contrastive training.

    L = L_match + strength / 2 * sum_t sum_i F_t,i (theta_i - theta*_t,i)^2        (their eq. 3)

theta*_t are the weights after task t and F_t is the diagonal of the Fisher information there. Mode
"online" (Schwarz et al., Progress & compress, ICML 2018) keeps the newest theta* alone and
F <- gamma F + F_t; "separate" is the sum over all tasks. That sum of quadratics is again one
quadratic, with F = sum_t F_t around the F-weighted mean of the theta*_t, plus a constant, so both
modes keep two vectors (Huszar, Note on the quadratic penalties in elastic weight consolidation,
PNAS 2018, compares them). They are equal while one task is remembered, and beyond that where
gamma is 1 and all theta*_t are equal; else they pull to different points.

Differs from the paper:
- The contrastive loss couples a batch, so there is no Fisher information per example. F_t is the
  mean over batches of the squared gradient of the batch's matching loss with the true pairs (the
  empirical Fisher), as in the public code for vision-language models (KevinLight831/CTP,
  yangbang18/CLFM, ContinualAI/avalanche).
- fisher_norm=root: F_t is divided by the root of its mean over all weights, sqrt(mean_i F_t,i).
  As it stands, as in CTP and CLFM (fisher_norm=none), the Fisher information falls with the batch
  and with the size of the model, and a strength found for one is nothing for another: CLFM's 1000
  moves the loss of the tiny model by 3 percent at most, and is fine-tuning. Divided so, strength is
  1 / distance: a weight of mean Fisher information that is 1 / strength away from where it was is
  pulled back as hard as the earlier task's loss pulled at it.
- F_t is taken after training, in eval mode, on the batches of the first epoch, from gradients that
  are zeroed for every batch. Some public code takes it on the next task's validation data, or
  adds up gradients over batches.
- The similarity scale is not trained, so it is not in the penalty.
The DAR paper has EWC as a baseline (section 4) and gives none of its settings.

Kept between tasks: theta* and F, two numbers per weight (1.2 GB for ViT-B/16). One more forward
and backward pass over each task's data; a step has no more passes than fine-tuning.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.api import (
    Backbone,
    Batch,
    Config,
    Method,
    Task,
    Tools,
    flat,
    matching,
    require,
    setting,
)


@dataclass(frozen=True)
class EWCConfig(Config):
    """Defaults: public code for CLIP-like models, as said beside each."""

    strength: float = setting(  # lambda
        1000.0, why="no paper gives one; CLFM has 1000 and CTP 5000 without a norm"
    )
    mode: Literal["online", "separate"] = setting(
        "online", paper="separate", why="as public code for CLIP-like models (CLFM) has it"
    )
    gamma: float = setting(1.0, source="CLFM")  # decay of older F in mode online
    # At most so many batches for F; None: all
    fisher_batches: int | None = setting(None, source="CTP and CLFM")
    fisher_norm: Literal["none", "root", "max", "mean"] = setting(  # what each F_t is divided by
        "root", paper="none (CTP, CLFM)", why="one strength for every batch and model size"
    )
    # Count the pretrained model as a task before the first
    anchor_pretrained: bool = setting(False, source="eq. 3, which has earlier tasks alone")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        batches = self.fisher_batches
        require(self.strength >= 0, "strength >= 0", self.strength)
        require(0 <= self.gamma <= 1, "gamma in [0, 1]", self.gamma)
        require(batches is None or batches >= 1, "fisher_batches >= 1 or none", batches)
        require(
            self.mode == "online" or self.gamma == 1,
            "gamma = 1 with mode=separate, which forgets no task",
            self.gamma,
            "leave gamma, or choose mode=online",
        )


class EWC(Method[EWCConfig]):
    """Fine-tuning with a quadratic penalty on leaving what earlier tasks need.

    N is the number of trained weights, in the order of `Backbone.weights`.
    """

    label = "EWC"
    paper = "Kirkpatrick et al., Overcoming catastrophic forgetting, PNAS 2017"
    training_only = ("anchor_N", "fisher_N", "offset")

    def __init__(self, clip: Backbone, config: EWCConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.anchor_N: Tensor = nn.Buffer(torch.zeros(0))
        self.fisher_N: Tensor = nn.Buffer(torch.zeros(0))
        self.offset: Tensor = nn.Buffer(torch.zeros(()))  # the constant of the sum of quadratics

    def before_task(self, task: Task) -> None:
        """With anchor_pretrained, the first task is preceded by one that is only remembered.

        A resumed run repeats that pass, and then takes the saved result.
        """
        if self.config.anchor_pretrained and task.index == 0:
            self.eval()
            self._remember(self._fisher(task))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and, once something is remembered, the penalty."""
        if not len(self.fisher_N):
            return super().loss(batch)
        # Before the towers: what it needs in passing does not come on top of their activations.
        penalty = self._penalty()
        return super().loss(batch) | {"ewc": penalty}

    def after_task(self, task: Task) -> None:
        """Remember where the task ended and how much each weight matters there."""
        self._remember(self._fisher(task))

    def _penalty(self) -> Tensor:
        change_N = flat(self.clip.weights()) - self.anchor_N
        distance = (self.fisher_N * change_N.square()).sum() + self.offset
        half: float = self.config.strength / 2
        return half * distance

    @torch.enable_grad()
    def _fisher(self, task: Task) -> Tensor:
        """Mean over training batches of the squared gradient of the matching loss, (N,)."""
        weights = self.clip.weights()
        total_N, count = torch.zeros((), device=weights[0].device), 0
        for batch in islice(task.loader.epoch(0), self.config.fisher_batches):
            loss = matching(self.features(batch))
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            total_N, count = total_N + flat(gradients).square(), count + 1
        fisher_N = total_N / count
        if self.config.fisher_norm == "none":
            return fisher_N
        mean = fisher_N.mean()
        norm = {"root": mean.sqrt(), "max": fisher_N.max(), "mean": mean}[self.config.fisher_norm]
        return fisher_N / norm if norm > 0 else fisher_N

    @torch.no_grad()
    def _remember(self, fisher_N: Tensor) -> None:
        """Add the quadratic of weights fisher_N around the present weights."""
        here_N = flat(self.clip.weights())
        if not len(self.fisher_N):
            self.anchor_N, self.fisher_N = here_N, fisher_N
        elif self.config.mode == "online":
            self.anchor_N = here_N
            self.fisher_N = self.config.gamma * self.fisher_N + fisher_N
        else:
            sum_N = self.fisher_N + fisher_N
            share_N = torch.where(sum_N > 0, fisher_N / sum_N, 1.0)
            self.offset += (self.fisher_N * share_N * (self.anchor_N - here_N).square()).sum()
            self.anchor_N = self.anchor_N.lerp(here_N, share_N)
            self.fisher_N = sum_N
