"""TA, Task Arithmetic (Ilharco et al., Editing models with task arithmetic, ICLR 2023).

Every task is fine-tuned alone from the pretrained weights theta_0, to theta_t. Its task vector is
tau_t = theta_t - theta_0 (section 2), and after T tasks the model is

    theta = theta_0 + scaling * (tau_1 + ... + tau_T)
          = (1 - scaling * T) * theta_0 + scaling * (theta_1 + ... + theta_T).

The second form is computed: what is kept is the sum of the fine-tuned weights, in float64. A sum
of some float32 values is exact there (unless a weight of one task is a 2^25th of another's), so
that the model does not depend on the order of tasks, and with scaling 1 and one task it is
plain fine-tuning, bit for bit.

Differs from the paper:
- Merged after every task, with one scaling throughout; the paper adds once and chooses the scaling
  on held-out validation data. The default 0.3 is its usual value for sums of eight vectors. The
  DAR paper's TA is such a sum: the same in both orders of tasks (its Tables 1 and 8), and after
  one task weaker than fine-tuning, so that its scaling is below 1.
- Learning rate, weight decay, epochs and batch are the suite's, one budget for all methods. The
  paper's, from memory: 1e-5, 0.1, 2,000 steps of 128 images with 200 of warm-up.
- The similarity scale is never trained, so that it is in no task vector.

`init=sequential` starts each task where the one before ended, and tau_t is still taken from
theta_0 (the sequential vectors of MagMax, Marczak et al., 2024).

State: beside the merged weights, their sum (8 bytes a weight), and with `sequential` the last
fine-tuned weights. theta_0 is the pretrained model that every run starts from, and is not stored.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.api import Backbone, Config, Method, Task, Tools, flat, parts, require, setting


@dataclass(frozen=True)
class TAConfig(Config):
    """Defaults: the independent vectors of Ilharco et al., see above."""

    lr: float | None = setting(
        None, paper="1e-5 (recalled, not checked; MagMax's code has it)",
        why="one budget for all methods of a suite",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0.1 (recalled, not checked)", why="one budget for all methods of a suite"
    )
    scaling: float | None = setting(  # lambda; None: 1 / T, the mean of the fine-tuned weights
        0.3, paper="chosen on held-out validation data",
        why="later tasks have none; 0.3 is the paper's usual value for sums of eight (recalled)",
    )  # fmt: skip
    # Where the fine-tuning of a task starts
    init: Literal["pretrained", "sequential"] = setting("pretrained", source="section 2")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        fine = self.scaling is None or 0 < self.scaling < inf
        require(fine, "a finite scaling above 0, or none for the mean", self.scaling)


class TaskArithmetic(Method[TAConfig]):
    """The sum of the tasks' changes to the weights."""

    label = "TA"
    paper = "Ilharco et al., Editing models with task arithmetic, ICLR 2023"
    invariants = {"same end in every order": {"init": ("pretrained",)}}
    training_only = ("sum_N", "last_N")
    variants = {
        "mean": {"scaling": None},  # a plain average of the fine-tuned models
        "sequential": {"init": "sequential"},
    }

    def __init__(self, clip: Backbone, config: TAConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        # One vector of all N trained weights each; a run always starts from the pretrained ones.
        start_N = flat(clip.weights()).detach()
        self.start_N: Tensor = nn.Buffer(start_N, persistent=False)
        self.sum_N: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.float64))
        self.last_N: Tensor = nn.Buffer(torch.zeros(0))

    def training_key(self) -> dict[str, object] | None:
        """What a task's training depends on beside the task and lr and weight_decay; None: more.

        From the pretrained weights, nothing: the scaling comes afterwards.
        """
        return {} if self.config.init == "pretrained" else None

    @torch.no_grad()
    def before_task(self, task: Task) -> None:
        """The weights that fine-tuning starts from. In a replay they are there already."""
        from_N = self.last_N if len(self.last_N) else self.start_N
        for weight, part in parts(self.clip.weights(), from_N):
            weight.copy_(part)

    def after_task(self, task: Task) -> None:
        """Add the fine-tuned weights to the sum, and put the merged ones in their place."""
        count = task.index + 1
        scaling = 1 / count if self.config.scaling is None else self.config.scaling
        if not len(self.sum_N):
            self.sum_N = torch.zeros_like(self.start_N, dtype=torch.float64)
        if self.config.init == "sequential":
            self.last_N = flat(self.clip.weights())
        for weight, sum_, start in parts(self.clip.weights(), self.sum_N, self.start_N):
            sum_ += weight
            weight.copy_((1 - scaling * count) * start.double() + scaling * sum_)
