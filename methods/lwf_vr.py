"""LwF-VR: LwF for CLIP with random texts (Ding et al., Don't stop learning, 2022).

    L = L_match + weight * (D_image + D_text), with D as in LwF (toolkit.distillation)

The teacher is the model before the task (in the first task the pretrained one), the reference
images are the batch's own, and the reference texts are sequences of random tokens: "virtual"
sentences, so that similarities are kept beyond the task's vocabulary and no data are needed.

Follows the baseline of ZSCL's official code (Thunderbeee/ZSCL, mtil/scripts/lwf_vr.sh and
helpers.py): 1,000 sequences of 10 tokens between start and end of text, padded with zeros. Differs
from it:
- Start and end of text are not among the random tokens. There they may be, and a sequence with an
  end token in its middle is read off there.
- The sequences are drawn once per task from the run's seed and the task's data, not from a seed
  that is the same for all tasks.
- As in LwF: no second loader of the same images.
- Learning rate, weight decay, steps, warm-up, batch, crops, class prompts and precision are the
  suite's, one budget for all methods. Theirs: 1e-5, and 5e-5 for two datasets (Aircraft and MNIST),
  which a method here cannot know; no decay; 1,000 steps of 64 images, of which 100 are warm-up;
  random crops of 0.9 to 1 of an image; float32.

Kept between tasks: nothing. During a task, the texts' rows and, from the second task on, a copy of
the model (0.6 GB for ViT-B/16). One pass of the text tower over the sequences per task, and from
the second task on one of the image tower over the task's images. A resumed run encodes the
sequences of the finished tasks again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.api import (
    Backbone,
    Batch,
    Config,
    Method,
    Task,
    Tools,
    check_distillation,
    check_smoothing,
    distillation,
    matching,
    require,
    setting,
    snapshot,
    teacher_images,
)


@dataclass(frozen=True)
class LwFVRConfig(Config):
    """Defaults: ZSCL's official code (mtil/scripts/lwf_vr.sh, mtil/src/models/helpers.py)."""

    lr: float | None = setting(
        None, paper="1e-5, and 5e-5 for Aircraft and MNIST (ZSCL's official code)",
        why="one budget for all methods of a suite, and a method cannot know the dataset",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0 (ZSCL's official code)", why="one budget for all methods of a suite"
    )
    # Of each of the two terms
    distill_weight: float = setting(1.0, source="ZSCL's official code, finetune.py")
    distill_temperature: float = setting(2.0, source="ZSCL's official code, args.py")  # T
    label_smoothing: float = setting(0.2, source="ZSCL's official code, lwf_vr.sh")
    # Reference texts, and random tokens in each
    sequences: int = setting(1000, source="ZSCL's official code, helpers.py")
    length: int = setting(10, source="ZSCL's official code, helpers.py")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_distillation(self.distill_weight, self.distill_temperature)
        check_smoothing(self.label_smoothing)
        require(
            min(self.sequences, self.length) >= 1,
            "sequences and length of at least 1",
            f"{self.sequences} and {self.length}",
        )


class LwFVR(Method[LwFVRConfig]):
    """Fine-tuning that keeps the old model's similarities to random texts."""

    label = "LwF-VR"
    paper = "Ding et al., Don't stop learning: towards continual learning for CLIP, 2022"
    training_only = ("text_MD",)

    def __init__(self, clip: Backbone, config: LwFVRConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None  # the untouched backbone, whose rows are cached
        require(
            config.length + 2 <= clip.context,
            f"a length of at most {clip.context - 2} tokens beside start and end of text",
            config.length,
        )
        # Reference texts by the teacher, during a task.
        self.text_MD: Tensor = nn.Buffer(torch.zeros(0))

    @torch.no_grad()
    def before_task(self, task: Task) -> None:
        """The model as it is now, and random texts as it sees them."""
        self.teacher = snapshot(self.clip) if task.index else None
        c = self.config
        tokens_ML = virtual_texts(self.clip, c.sequences, c.length, task.generator("texts"))
        self.text_MD = self.clip.text(tokens_ML.to(self.clip.logit_scale.device))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and distillation."""
        c, new = self.config, self.features(batch)
        old_BD = teacher_images(self.teacher, batch.images)
        how = c.distill_temperature, c.distill_weight
        terms = distillation(new.image_BD, old_BD, self.text_MD, new.scale, *how)
        return {"match": matching(new, c.label_smoothing)} | terms

    def after_task(self, task: Task) -> None:
        """Teacher and texts are of no more use."""
        self.teacher = None
        self.text_MD = self.text_MD.new_zeros(0)


def virtual_texts(clip: Backbone, count: int, length: int, generator: torch.Generator) -> Tensor:
    """Tokens (count, context) of random texts: start, `length` random words, end, zeros."""
    words = clip.words
    return clip.framed(words[torch.randint(len(words), (count, length), generator=generator)])
