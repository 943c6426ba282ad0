"""WiSE-FT (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022), task after task.

A task is fine-tuned from theta_start, where the one before ended, to theta_ft; then

    theta = (1 - alpha) theta_start + alpha theta_ft.

Follows the baseline of ZSCL's official code (Thunderbeee/ZSCL, mtil/scripts/WiSE_finetune.sh):
alpha 0.8, theta_start the model at the start of this task, label smoothing 0.2. In the paper there
is one task, and theta_start is the pretrained model: `wise-ft.pretrained` mixes with that one after
every task, while fine-tuning still starts where the last task ended. Differs from the code:
- Learning rate, weight decay, steps, warm-up, batch, crops, class prompts and precision are the
  suite's, one budget for all methods. Theirs: 1e-5, and 5e-5 for two datasets (Aircraft and MNIST),
  which a method here cannot know; no decay; 1,000 steps of 64 images, of which 100 are warm-up;
  random crops of 0.9 to 1 of an image; float32.
- The similarity scale is not trained, here and there.

Kept between tasks: nothing. During a task, a copy of the weights (0.6 GB for ViT-B/16), and with
`start=pretrained` between them too, though that copy is the one that every run starts from and is
not stored. No pass more than fine-tuning.
"""

from dataclasses import dataclass
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
    check_smoothing,
    flat,
    matching,
    parts,
    require,
    setting,
)


@dataclass(frozen=True)
class WiSEFTConfig(Config):
    """Defaults: ZSCL's official code (mtil/scripts/WiSE_finetune.sh)."""

    lr: float | None = setting(
        None, paper="1e-5, and 5e-5 for Aircraft and MNIST (ZSCL's official code)",
        why="one budget for all methods of a suite, and a method cannot know the dataset",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0 (ZSCL's official code)", why="one budget for all methods of a suite"
    )
    # Share of the fine-tuned weights
    alpha: float = setting(0.8, source="ZSCL's official code, WiSE_finetune.sh")
    # What they are mixed with: the model before the task, or the pretrained one
    start: Literal["task", "pretrained"] = setting(
        "task", source="ZSCL's official code, WiSE_finetune.sh"
    )
    label_smoothing: float = setting(0.2, source="ZSCL's official code, WiSE_finetune.sh")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(0 <= self.alpha <= 1, "alpha in [0, 1]", self.alpha)
        check_smoothing(self.label_smoothing)


class WiSEFT(Method[WiSEFTConfig]):
    """Fine-tuning, and a step back on the straight line to where it began.

    N is the number of trained weights, in the order of `Backbone.weights`.
    """

    label = "WiSE-FT"
    paper = "Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022"
    training_only = ("start_N",)
    variants = {"pretrained": {"start": "pretrained"}}

    def __init__(self, clip: Backbone, config: WiSEFTConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.start_N: Tensor = nn.Buffer(torch.zeros(0))
        if config.start == "pretrained":  # a run always starts from it, so it is not stored
            self.start_N = nn.Buffer(flat(clip.weights()).detach(), persistent=False)

    def before_task(self, task: Task) -> None:
        """Where the task starts."""
        if self.config.start == "task":
            self.start_N = flat(self.clip.weights()).detach()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching, with smoothed targets."""
        return {"match": matching(self.features(batch), self.config.label_smoothing)}

    def after_task(self, task: Task) -> None:
        """Mix the fine-tuned weights with those at the start."""
        for weight, start in parts(self.clip.weights(), self.start_N):
            weight.copy_(start.lerp(weight, self.config.alpha))
        if self.config.start == "task":
            self.start_N = self.start_N.new_zeros(0)
