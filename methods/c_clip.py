"""C-CLIP (Liu et al., Multimodal continual learning for vision-language model, ICLR 2025).

    L = L_match + L_CKC,  L_CKC = (CE(s P Z^T) + CE(s Z P^T)) / 2
    after a task: theta <- theta_old + alpha (theta_new - theta_old)

"Contrastive knowledge consolidation": Z are the features of the batch's images and texts by the
model before the task, P those by the current model after a projector (Linear, BatchNorm, ReLU,
Linear; one for both modalities), rows of length 1, s the similarity scale. A row's positive is
its own item, its negatives are all other images and texts of the batch. After the task, only the
share alpha of the change is kept, low-rank adapters are merged into the weights, and adapters,
projector and old model are dropped.

Trained are adapters on out_proj and both MLP projections of every block, and all that lies
outside the blocks but the patch convolution: without the projector 29.1 million scalars for
ViT-B/16, which is the number that the paper is said to give.

The paper has no official code; its first author's development code is public (SmallPigPeppa/
clip-lightning, clip_openai/model_distill_zeroshot_lora_best_v2.py), and what is said above of loss,
projector and trained weights is as there, as are a new projector for every task and the pretrained
model as the first task's old one. Integration and learning rates of the paper are known from
re-implementations (KoyoImai/C-CLIP, ryder2003/C-CLIP_DynamicRank). Differs:
- The similarity scale is frozen, as in every method here; theirs is trained.
- An adapter on attn.out_proj acts here; PEFT's, inside torch's attention, is never called.
- The budget is the suite's, one for all methods, and AdamW's moments are torch's. Theirs, by what
  re-implementations say of the paper: 40 epochs with 5 of warm-up, batches of 1,024, a cosine down
  to 0.01 of the peak, betas (0.9, 0.99), and rates that differ by dataset and tower (COCO 5e-7 for
  images and 4e-5 for texts). An earlier state of the development code augments images strongly;
  whether the paper's runs do is unknown.
- Whether alpha holds for the weights outside the blocks too is open: the development code merges
  adapters whole and then averages whole checkpoints, with shares of 1/2 in the second task and 1/3
  after it, so the default is yes.
- ckc_concat=feature is another reading (KoyoImai/C-CLIP): image and text features are joined to
  one row of 2 D per pair, before the length is set to 1.

Kept between tasks: nothing. During a task, a copy of the model (0.6 GB for ViT-B/16), the projector
and the copy's embeddings of the task's items, each computed once (with ckc_concat=batch in the
first task not even that, as the shared cache has them).
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.api import (
    PROJECTIONS,
    Backbone,
    Batch,
    BenchError,
    Config,
    Features,
    Images,
    LoRA,
    Method,
    ParamGroup,
    Task,
    Texts,
    Tools,
    check_adapter,
    matching,
    require,
    setting,
    snapshot,
    teacher_images,
    teacher_texts,
    unit,
)


@dataclass(frozen=True)
class CCLIPConfig(Config):
    """Defaults: the first author's development code, unless said otherwise."""

    lr: float | None = setting(
        None, paper="images 3e-5 and texts 3e-4 in most sets (re-implementations)",
        why="one budget for all methods of a suite",
    )  # fmt: skip
    weight_decay: float | None = setting(
        None, paper="0.2 (re-implementations; 0.1 in the development code)",
        why="one budget for all methods of a suite",
    )  # fmt: skip
    rank: int = setting(16, source="development code")
    alpha: float = setting(32.0, source="development code")  # scale of an adapter = alpha / rank
    dropout: float = setting(0.1, source="development code")  # probability on an adapter's input
    targets: tuple[str, ...] = setting(
        PROJECTIONS, source="development code, every nn.Linear in the blocks"
    )
    projector_width: int = setting(2048, source="development code")  # hidden units
    # Images and texts as rows of their own, or joined to one row
    ckc_concat: Literal["batch", "feature"] = setting("batch", source="development code")
    integration_alpha: float = setting(  # share of a task's change that is kept
        0.5, source="the paper, as re-implementations have it"
    )
    integrate_non_lora: bool = setting(  # whether it holds outside the blocks too
        True, source="development code, which averages whole checkpoints"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, self.alpha, self.dropout, self.targets)
        require(self.projector_width >= 1, "projector_width >= 1", self.projector_width)
        alpha = self.integration_alpha
        require(0 <= alpha <= 1, "integration_alpha in [0, 1]", alpha)
        require(
            alpha < 1 or self.integrate_non_lora,
            "integrate_non_lora=false with an integration_alpha below 1",
            "1, which keeps all changes of both kinds of weights",
            "leave one of the two",
        )


class CCLIP(Method[CCLIPConfig]):
    """Adapters trained to match and to find the old features, then merged in part."""

    label = "C-CLIP"
    paper = "Liu et al., Multimodal continual learning for vision-language model, ICLR 2025"

    def __init__(self, clip: Backbone, config: CCLIPConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.teacher: Backbone | None = None
        self.adapter: LoRA | None = None
        self.projector: nn.Module | None = None
        self.first = True

    def before_task(self, task: Task) -> None:
        """The model as it is now, and new adapters and projector."""
        c = self.config
        self.first = task.index == 0
        self.teacher = snapshot(self.clip)
        seed = task.generator("adapter")
        self.adapter = LoRA(self.clip, c.targets, c.rank, c.alpha, c.dropout, seed)
        self.projector = _projector(self.clip.dim, c.projector_width, task.generator("projector"))

    def trainable(self) -> list[ParamGroup]:
        """Adapters, projector, and the weights outside the blocks."""
        assert self.adapter is not None
        assert self.projector is not None
        added = [*self.adapter.parameters(), *self.projector.parameters()]
        return [ParamGroup(self.clip.weights_outside_blocks() + added)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Matching and consolidation."""
        assert self.adapter is not None
        with self.clip.adapted(self.adapter.deltas(), self.adapter.targets):
            image_BD = _raw_images(self.clip, batch.images)
            text_MD = _raw_texts(self.clip, batch.texts)
        scale, target_B = self.clip.scale, batch.target_B
        features = Features(unit(image_BD), unit(text_MD), scale, target_B, batch.paired)
        ckc = self._consolidation(batch, image_BD, text_MD)
        return {"match": matching(features), "ckc": ckc}

    def after_task(self, task: Task) -> None:
        """Keep a share of the change in the plain model, and nothing else."""
        c = self.config
        assert self.adapter is not None
        assert self.teacher is not None
        self.adapter.merge(self.clip, c.integration_alpha)
        share = c.integration_alpha if c.integrate_non_lora else 1.0
        teacher = self.teacher.weights_outside_blocks()
        for new, old in zip(self.clip.weights_outside_blocks(), teacher, strict=True):
            new.copy_(old.lerp(new, share))
        self.teacher = self.adapter = self.projector = None

    def _consolidation(self, batch: Batch, image_BD: Tensor, text_MD: Tensor) -> Tensor:
        """Cross-entropy of finding each item's old features by its new ones, and vice versa."""
        assert self.projector is not None
        if min(len(image_BD), len(text_MD)) < 2:
            raise BenchError(
                "at least two images and two texts in every batch, as the projector normalises "
                "over the batch",
                f"{len(image_BD)} and {len(text_MD)}",
                "give a larger --batch-size",
            )
        new = [self.projector(image_BD), self.projector(text_MD)]
        old = self._old(batch)
        if self.config.ckc_concat == "batch":
            new_RD, old_RD = torch.cat(new), torch.cat(old)
        else:
            new_RD = torch.cat([new[0], new[1][batch.target_B]], dim=1)
            old_RD = torch.cat([old[0], old[1][batch.target_B]], dim=1)
        logits_RR = self.clip.scale * unit(new_RD) @ unit(old_RD).T
        own_R = torch.arange(len(logits_RR), device=logits_RR.device)
        return (F.cross_entropy(logits_RR, own_R) + F.cross_entropy(logits_RR.T, own_R)) / 2

    @torch.no_grad()
    def _old(self, batch: Batch) -> list[Tensor]:
        """Image (B, D) and text (M, D) features by the model before the task."""
        assert self.teacher is not None
        if self.config.ckc_concat == "feature":
            image, text = partial(_raw_images, self.teacher), partial(_raw_texts, self.teacher)
            teacher = self.teacher
            return [batch.images.cached(teacher, image), batch.texts.cached(teacher, text)]
        known = None if self.first else self.teacher  # unit rows: lengths do not matter
        return [teacher_images(known, batch.images), teacher_texts(known, batch.texts)]


def _raw_images(clip: Backbone, images: Images) -> Tensor:
    """Features (B, D) before their length is set to 1, float32."""
    return clip.image_tower(clip.embed_image(images.pixels_B3HW)).float()


def _raw_texts(clip: Backbone, texts: Texts) -> Tensor:
    """The same of texts, (M, D)."""
    end_M = clip.end_of_text(texts.tokens_ML)
    return clip.text_tower(clip.embed_text(texts.tokens_ML), end_M).float()


def _projector(dim: int, width: int, generator: torch.Generator) -> nn.Module:
    """D -> D by `width` hidden units, initialised as torch does, from the generator.

    Its norm keeps no running statistics, as it is never used outside training.
    """
    first, second = nn.Linear(dim, width), nn.Linear(width, dim)
    for layer in (first, second):
        bound = layer.in_features**-0.5
        for p in layer.parameters():
            p.data.uniform_(-bound, bound, generator=generator)
    norm = nn.BatchNorm1d(width, track_running_stats=False)
    return nn.Sequential(first, norm, nn.ReLU(), second)
