"""LwF, Learning without Forgetting (Li and Hoiem, ECCV 2016), for CLIP.

    L = L_match + weight * (D_image + D_text)
    D(t, s) = T^2 * mean over rows of CE(softmax(t / T), softmax(s / T))

t and s are the scaled similarities of the batch's images to the batch's texts, by the teacher,
which is the model before the task (in the first task the pretrained one), and by the current
model. Both compare with the teacher's texts. D_image takes the images' rows, D_text the texts'.
Texts are the prompts of the task's classes or, for image-caption tasks, the batch's captions.

Follows the baseline of ZSCL's official code (Thunderbeee/ZSCL, mtil/scripts/lwf.sh), with both
terms at weight 1, T = 2 and label smoothing 0.2 in the matching loss. Differs from it:
- The reference images are the batch's own, with its crops where the suite has any. There, a second
  loader of the same training images, without augmentation, feeds both models; here that would be
  one more forward and backward pass over nearly the same images.
- Learning rate, weight decay, steps, warm-up, batch, crops, class prompts and precision are the
  suite's, one budget for all methods. Theirs: 1e-5, and 5e-5 for two datasets (Aircraft and MNIST),
  which a method here cannot know; no decay; 1,000 steps of 64 images, of which 100 are warm-up;
  random crops of 0.9 to 1 of an image; float32.

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
    setting,
    snapshot,
    teacher_features,
)


@dataclass(frozen=True)
class LwFConfig(Config):
    """Defaults: ZSCL's official code (mtil/scripts/lwf.sh, mtil/src/args.py)."""

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
    label_smoothing: float = setting(0.2, source="ZSCL's official code, lwf.sh")

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
