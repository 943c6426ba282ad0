"""iCaRL (Rebuffi et al., Incremental classifier and representation learning, CVPR 2017), for CLIP.

    L = L_match + weight * (D_image + D_text) + rehearsal_weight * L_match(memory)

D is that of LwF (toolkit.distillation), over images of a memory and the prompts of all classes seen
so far, the task's own among them; the teacher is the model before the task. At every step one batch
of the memory is drawn, mixed over all earlier tasks. The first task has none, and is fine-tuning.

The memory has room for K images in all. After t tasks each dataset has K // t: its images are put
in one order, and the first ones are kept, now and when the share shrinks (the paper's algorithm
5). The order takes the classes in turn, and in each class herding (algorithm 4): the k-th image is
the one that brings the mean of the first k features closest to the mean of the class, among
features of length 1 by the model at the end of the task. K = 10,000 is the only official number.
With few shots it is most of everything: of 16-shot X-TAIL 7,664 of 17,600 images stay at the end
(44 %), of 5-shot MTIL 4,858 of 6,005 (81 %).

Follows the baseline of ZSCL's official code (Thunderbeee/ZSCL, mtil/src/models/icarl.py and
dynamic_dataset.py): images alone are kept, and CLIP's text classifier predicts, not the nearest
mean of the paper. Its released form differs from here, by what look like slips:
- The teacher is the pretrained model unless a file is named; the texts are the current dataset's.
- Its script passes neither --image_loss nor --text_loss, so that nothing is distilled.
- Herding runs over the whole dataset, and takes rows out of the features but not out of the images,
  so that wrong images are kept after the first one.
- The newest dataset keeps K - K // t images, so that the memory is over its budget; the first task
  keeps its first K.
- The memory is walked through in its order; here batches are drawn.
Learning rate, weight decay, steps, warm-up, batch, crops, class prompts and precision are the
suite's, one budget for all methods. Theirs: 1e-5, and 5e-5 for two datasets (Aircraft and MNIST),
which a method here cannot know; no decay; 1,000 steps of 64 images, of which 100 are warm-up (its
script of iCaRL has 5 steps); random crops of 0.9 to 1 of an image; float32.

Kept between tasks: the numbers of the kept images, and those images, which the harness lends and
counts. During a task, a copy of the model (0.6 GB for ViT-B/16). Per step one more forward and
backward pass over a batch of the memory; per task one pass over its images, and of the teacher one
over the prompts and over those images of the memory that are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from benchmark.api import (
    Backbone,
    Batch,
    Config,
    Features,
    Loader,
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
    teacher_texts,
)


@dataclass(frozen=True)
class ICaRLConfig(Config):
    """Defaults: ZSCL's official code (mtil/src/args.py), unless said otherwise."""

    lr: float | None = setting(
        None, paper="1e-5, and 5e-5 for Aircraft and MNIST (ZSCL's official code)",
        why="one budget for all methods of a suite, and a method cannot know the dataset",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0 (ZSCL's official code)", why="one budget for all methods of a suite"
    )
    memory: int = setting(10_000, source="official code, args.py")  # K, images in all
    distill_weight: float = setting(1.0, source="official code, icarl.py")  # of each of two terms
    distill_temperature: float = setting(2.0, source="official code, args.py")  # T
    rehearsal_weight: float = setting(  # of the matching loss on the memory
        0.0, source="official code, which has no such term"
    )
    label_smoothing: float = setting(  # of the matching losses
        0.2, source="official code, the scripts of its other baselines"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_distillation(self.distill_weight, self.distill_temperature)
        check_smoothing(self.label_smoothing)
        require(self.memory >= 1, "a memory of at least 1 image", self.memory)
        weight = self.rehearsal_weight
        require(0 <= weight < inf, "a finite rehearsal_weight of at least 0", weight)


class ICaRL(Method[ICaRLConfig]):
    """Fine-tuning that keeps the old model's similarities on some images of every earlier task."""

    label = "iCaRL"
    paper = "Rebuffi et al., iCaRL, CVPR 2017"
    training_only = ("row_K", "count_T", "text_MD")
    uses = frozenset({"samples"})
    refuses = {"pairs": "its memory is kept class by class"}

    def __init__(self, clip: Backbone, config: ICaRLConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None  # the untouched backbone, whose rows are cached
        self.tasks: list[Task] = []
        self.memory: Loader | None = None
        # Kept images of all finished tasks, best first, task after task, and how many are of each.
        self.row_K: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self.count_T: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        # Prompts of all seen classes by the teacher, during a task.
        self.text_MD: Tensor = nn.Buffer(torch.zeros(0))

    @torch.no_grad()
    def before_task(self, task: Task) -> None:
        """The model as it is now, and the seen classes as it sees them."""
        self.teacher = snapshot(self.clip) if task.index else None
        self.tasks.append(task)
        self.memory = None
        if task.index:
            prompts = [t.classes.prompts for t in self.tasks if t.classes]
            self.text_MD = torch.cat([teacher_texts(self.teacher, texts) for texts in prompts])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and, from the second task on, distillation on the memory."""
        c, new = self.config, self.features(batch)
        terms = {"match": matching(new, c.label_smoothing)}
        if self.teacher is None or not len(self.row_K):
            return terms
        old = self._remembered()
        image_BD, old_BD = self.encode_image(old.images), teacher_images(self.teacher, old.images)
        how = c.distill_temperature, c.distill_weight
        terms |= distillation(image_BD, old_BD, self.text_MD, new.scale, *how)
        if c.rehearsal_weight:
            text_MD = self.encode_text(old.texts)
            seen = Features(image_BD, text_MD, new.scale, old.target_B, old.paired)
            terms["rehearsal"] = c.rehearsal_weight * matching(seen, c.label_smoothing)
        return terms

    def after_task(self, task: Task) -> None:
        """Choose images of the task, and give up those that its share costs the others."""
        share = self.config.memory // (task.index + 1)
        kept = [row_K[:share] for _, row_K in self._kept()] + [self._chosen(task, share)]
        self.row_K = torch.cat(kept)
        self.count_T = torch.tensor([len(row_K) for row_K in kept], device=self.row_K.device)
        self._give_up()
        self.memory, self.text_MD = None, self.text_MD.new_zeros(0)
        self.teacher = None

    def _kept(self) -> Iterator[tuple[Task, Tensor]]:
        """The finished tasks with their kept rows, best first."""
        return zip(self.tasks, self.row_K.split(self.count_T.tolist()), strict=False)

    def _give_up(self) -> None:
        for task, row_K in self._kept():
            task.loader.keep(row_K)

    def _remembered(self) -> Batch:
        """A random batch of the memory, with the prompts of all earlier classes."""
        if self.memory is None:
            self._give_up()  # a resumed run is lent everything again
            self.memory = self.tools.join([t.loader for t, row_K in self._kept() if len(row_K)])
        return next(self.memory.epoch(int(torch.randint(2**62, ()))))

    def _chosen(self, task: Task, share: int) -> Tensor:
        """At most `share` rows of the task's images, best first."""
        teacher = snapshot(self.clip)  # as it will be in the next task, so that it keeps these rows
        images = [(teacher_images(teacher, b.images), b.target_B) for b in task.loader.sweep()]
        feature_ND, label_N = (torch.cat(part).cpu() for part in zip(*images, strict=True))
        places = [(label_N == c).nonzero()[:, 0] for c in label_N.unique().tolist()]
        deep, share = 0, min(share, len(label_N))
        while sum(min(deep, len(rows)) for rows in places) < share:
            deep += 1
        ranked = [rows[herding(feature_ND[rows], min(deep, len(rows)))] for rows in places]
        order = [int(rows[k]) for k in range(deep) for rows in ranked if k < len(rows)]
        return torch.tensor(order[:share], dtype=torch.int64, device=self.row_K.device)


def herding(feature_ND: Tensor, count: int) -> Tensor:
    """Rows of `count` items whose mean is, at every length, close to the mean of all.

    Item k is the one for which the mean of the first k is closest to the mean of all N (Rebuffi et
    al., 2017, algorithm 4); of equal distances, the first row. No row is taken twice.

    Args:
        feature_ND: features of one class.
        count: in [0, N].

    Returns:
        Rows (count,), best first.
    """
    feature_ND = feature_ND.double()
    mean_D, sum_D = feature_ND.mean(dim=0), torch.zeros_like(feature_ND[0])
    chosen: list[int] = []
    for k in range(1, count + 1):
        distance_N = (mean_D - (sum_D + feature_ND) / k).norm(dim=1)
        distance_N[chosen] = torch.inf
        chosen.append(int(distance_N.argmin()))
        sum_D += feature_ND[chosen[-1]]
    return torch.tensor(chosen, dtype=torch.int64)
