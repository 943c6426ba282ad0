"""LwF, Learning without Forgetting (Li and Hoiem, ECCV 2016), for CLIP.

    L = L_match + weight * (D_image + D_text)
    D(t, s) = T^2 * mean over rows of CE(softmax(t / T), softmax(s / T))

t and s are the scaled similarities of the batch's images to the batch's texts, by the teacher,
which is the model before the task (in the first task the pretrained one), and by the current
model. Both compare with the teacher's texts. D_image takes the images' rows, D_text the texts'.
Texts are the prompts of the task's classes or, for image-caption tasks, the batch's captions.

Follows the baseline of ZSCL's official code (Thunderbeee/ZSCL, mtil/scripts/lwf.sh), with both
terms at weight 1, T = 2 and label smoothing 0.2 in the matching loss. Differs from it:
- The reference images are the batch's own. There, a second loader of the same training images,
  without augmentation, feeds the teacher; here nothing is augmented, so that it would be one more
  forward and backward pass over the same images.
- Learning rate, weight decay, steps and warm-up are the suite's. Theirs: 1e-5, and 5e-5 for two
  datasets (Aircraft and MNIST), which a method here cannot know; no decay; 1,000 steps, of which
  100 are warm-up.

Kept between tasks: nothing. During a task, from the second one on, a copy of the model (0.6 GB for
ViT-B/16) and its embeddings of the task's items, each computed once; before it, the features are in
the cache.
"""

from dataclasses import dataclass

from torch import Tensor

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
    snapshot,
    teacher_features,
)


@dataclass(frozen=True)
class LwFConfig(Config):
    """Defaults: ZSCL's official code (mtil/scripts/lwf.sh, mtil/src/args.py)."""

    distill_weight: float = 1.0  # of each of the two terms; finetune.py
    distill_temperature: float = 2.0  # T; args.py
    label_smoothing: float = 0.2  # of the matching loss; lwf.sh

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_distillation(self.distill_weight, self.distill_temperature)
        check_smoothing(self.label_smoothing)


class LwF(Method[LwFConfig]):
    """Fine-tuning that keeps the old model's similarities on the new task's batches."""

    label = "LwF"
    paper = "Li and Hoiem, Learning without forgetting, ECCV 2016"

    def __init__(self, clip: Backbone, config: LwFConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None  # the untouched backbone, whose rows are cached

    def before_task(self, task: Task) -> None:
        """The model as it is now becomes the teacher."""
        self.teacher = snapshot(self.clip) if task.index else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and distillation."""
        c, new = self.config, self.features(batch)
        old = teacher_features(self.teacher, batch, new)
        how = c.distill_temperature, c.distill_weight
        terms = distillation(new.image_BD, old.image_BD, old.text_MD, new.scale, *how)
        return {"match": matching(new, c.label_smoothing)} | terms

    def after_task(self, task: Task) -> None:
        """The teacher is of no more use."""
        self.teacher = None
