"""ZSCL (Zheng et al., Preventing zero-shot transfer degradation in continual learning, ICCV 2023).

    L = L_match + weight * (D_image + D_text) + l2 * ||theta - theta_start||^2
    after the task: theta <- mean of the weights at the start and at every tenth of the steps

D is that of LwF (toolkit.distillation), but the teacher is always the pretrained model, and the
images and texts that it is asked about come from no task: reference images, drawn anew at every
step, and the captions of a corpus, all of them at every step. theta_start are the weights before
the task, and the sum runs over all trained weights. The mean is what is evaluated, and where the
next task starts.

Follows the official code (Thunderbeee/ZSCL, mtil/scripts/ZSCL.sh, finetune.py, helpers.py). The
mean has the start, the weights after step 1, then after every `we_every` more, and the last ones,
all alike: for 1,000 steps every 100th, which gives 12 snapshots, as in the code, which makes one
more step at a learning rate of 0.

Differs from it:
- The code counts 100 steps whatever their number, all its runs having 1,000. Here it is a tenth of
  a task's steps: of a task of 100, the mean would else be of start, first step and end.
- The reference images are those of the suite's reference data, and so are the texts. There, they
  are ImageNet's training set and the captions (alone) of the validation set of Conceptual Captions.
  A suite without reference data is refused. Of a larger set of texts, `texts` are taken, evenly
  spaced.
- The teacher's rows come from the shared cache. There, it encodes 15,840 captions at every step.
- Learning rate, weight decay, steps, warm-up, batch, crops, class prompts and precision are the
  suite's, one budget for all methods. Theirs: 1e-5, and 5e-5 for two datasets (Aircraft and MNIST),
  which a method here cannot know; no decay; 1,000 steps of 64 images, of which 100 are warm-up;
  random crops of 0.9 to 1 of an image; float32.
`zscl.no-l2` is the ZSCL* of the code; its ZSCL- has neither l2 nor ensemble.

Kept between tasks: nothing. During a task, two copies of the weights (1.2 GB for ViT-B/16), and one
more forward and backward pass of 64 images per step. Before the first step, one pass of the
pretrained model over all reference images and over the texts, once per cache.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    flat,
    matching,
    parts,
    require,
    setting,
)


@dataclass(frozen=True)
class ZSCLConfig(Config):
    """Defaults: the official code (mtil/scripts/ZSCL.sh, mtil/src/args.py)."""

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
    label_smoothing: float = setting(0.2, source="ZSCL's official code, ZSCL.sh")
    # Reference images per step
    images: int = setting(64, source="ZSCL's official code, args.py, the batch size")
    texts: int = setting(  # at most so many reference texts
        15840, source="captions of Conceptual Captions' validation set"
    )
    # Weight of the squared distance to the start of the task
    l2: float = setting(1.0, source="ZSCL's official code, ZSCL.sh")
    we_every: int | None = setting(  # steps between weights of the mean; 0: no mean
        None, paper="100 of 1,000 steps", why="a tenth of a task's steps, however many they are"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_distillation(self.distill_weight, self.distill_temperature)
        check_smoothing(self.label_smoothing)
        require(
            min(self.images, self.texts) >= 1,
            "images and texts of at least 1",
            f"{self.images} and {self.texts}",
        )
        every = self.we_every
        require(every is None or every >= 0, "we_every of at least 0 or none", every)
        require(0 <= self.l2 < inf, "a finite l2 of at least 0", self.l2)


class ZSCL(Method[ZSCLConfig]):
    """Fine-tuning held near the pretrained model's similarities and near its own start.

    N is the number of trained weights, in the order of `Backbone.weights`.
    """

    label = "ZSCL"
    paper = "Zheng et al., Preventing zero-shot transfer degradation, ICCV 2023"
    training_only = ("start_N", "mean_N")
    uses = frozenset({"reference data"})
    variants = {"no-l2": {"l2": 0.0}, "no-we": {"we_every": 0}}

    def __init__(self, clip: Backbone, config: ZSCLConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.texts = tools.reference_texts(config.texts)  # refuses a suite that has none
        self.text_MD: Tensor = nn.Buffer(torch.zeros(0), persistent=False)
        self.start_N: Tensor = nn.Buffer(torch.zeros(0))  # both during a task alone
        self.mean_N: Tensor = nn.Buffer(torch.zeros(0))

    @torch.no_grad()
    def before_task(self, task: Task) -> None:
        """Where the task starts, and the pretrained model's rows of the reference texts."""
        if not len(self.text_MD):
            self.text_MD = self.texts.frozen()
        start_N = flat(self.clip.weights())
        if self.config.l2:
            self.start_N = start_N
        if self.config.we_every != 0:
            self.mean_N = start_N.clone()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching, distillation, and the distance to the start."""
        c, new = self.config, self.features(batch)
        images = self.tools.reference(c.images).images
        how = new.scale, c.distill_temperature, c.distill_weight
        terms = distillation(self.encode_image(images), images.frozen(), self.text_MD, *how)
        terms = {"match": matching(new, c.label_smoothing)} | terms
        if c.l2:
            pairs = parts(self.clip.weights(), self.start_N)
            squares = [F.mse_loss(weight, start, reduction="sum") for weight, start in pairs]
            terms["l2"] = c.l2 * torch.stack(squares).sum()
        return terms

    def after_step(self, step: int, total: int) -> None:
        """Every so many steps, and at the last one, the weights join the mean."""
        every = self.config.we_every
        every = max(1, total // 10) if every is None else every
        if every and (count := snapshots(step, total, every)) > snapshots(step - 1, total, every):
            for weight, mean in parts(self.clip.weights(), self.mean_N):
                mean.lerp_(weight, 1 / count)

    def after_task(self, task: Task) -> None:
        """The mean takes the place of the weights."""
        if self.config.we_every != 0:
            for weight, mean in parts(self.clip.weights(), self.mean_N):
                weight.copy_(mean)
        self.start_N = self.mean_N = self.mean_N.new_zeros(0)


def snapshots(step: int, total: int, every: int) -> int:
    """Number of weights in the mean after 1-based `step` of `total`; before the first, the start.

    Those after the steps 1, 1 + every, 1 + 2 every, ..., and after the last.
    """
    extra = step == total and (total - 1) % every != 0
    return 1 + -(-step // every) + extra
