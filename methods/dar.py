"""DAR, Dynamic Adapter Routing (Dobrzeniecka et al., ICML 2026, section 3).

One LoRA adapter per task, each trained on the pretrained backbone (section 3.1). After a task, the
means of its normalised frozen image and text features become its prototypes p_v, p_c (3.2). At
test time an item z (image or text) scores every task, S_t = (cos(z, p_v_t) + cos(z, p_c_t)) / 2;
the best adapter is used, and where the best two are closer than the margin, the top k adapters
are merged with weights softmax(S / temperature) (3.3).

Differs from the paper:
- Routing is per item. The paper's equal weighting of image and text similarities, read over a
  test *pair*, would tell the router which caption belongs to which image.
- Merging is linear. In core space a weighted sum of adapters equals the weighted sum of their
  outputs, so nothing is projected and no merged weight is built.
- The softmax temperature is not in the paper; 0.05 (the margin) makes a real mixture: the better
  adapter weighs 0.73 at the threshold.
- An adapter on attn.out_proj acts here; wrapped inside torch's attention it would be ignored.
The final state does not depend on the order of tasks.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.api import (
    PROJECTIONS,
    Batch,
    BenchError,
    Clip,
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
    unit,
    weighted_deltas,
)

ROUTINGS = ("sample", "image", "text", "max", "modality")


@dataclass(frozen=True)
class DARConfig(Config):
    """Defaults: section 4.1, unless said otherwise."""

    rank: int = 16  # R, section 4.1
    alpha: float = 32.0  # scale = alpha / rank, section 4.1
    dropout: float = 0.1  # probability on an adapter's input, section 4.1
    targets: tuple[str, ...] = PROJECTIONS  # linear maps, section 3.1
    top_k: int = 2  # adapters that a merge may use, section 4.1
    margin: float = 0.05  # cosine; merging starts below it, section 4.1
    temperature: float = 0.05  # of the merge weights; our choice, see above
    routing: str = "sample"  # which similarities score a task; our choice, see above

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        if self.routing not in ROUTINGS:
            raise BenchError(f"routing in {', '.join(ROUTINGS)}", f"'{self.routing}'", "choose one")
        check_adapter(self.rank, self.alpha, self.dropout, self.targets)
        if not (self.top_k >= 1 and self.temperature > 0 and self.margin >= 0):
            raise BenchError(
                "top_k >= 1, temperature > 0 and margin >= 0",
                f"{self.top_k}, {self.temperature} and {self.margin}",
                "correct --hp",
            )


class DAR(Method):
    """A bank of adapters with prototype routing."""

    Config = DARConfig
    label = "DAR"
    paper = "Dobrzeniecka et al., Beyond classification, ICML 2026"
    variants = {
        "r8": {"rank": 8, "alpha": 16.0, "dropout": 0.0},  # the row that Tables 2 to 6 call DAR
        "route-image": {"routing": "image"},  # Table 4
        "route-text": {"routing": "text"},  # Table 4
        "route-max": {"routing": "max"},  # Table 4
        "route-modality": {"routing": "modality"},  # images by p_v, texts by p_c
        "merge-none": {"top_k": 1},  # Table 5
    }

    def __init__(self, clip: Clip, config: Any, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.adapters = nn.ModuleList()
        self.image_TD: Tensor
        self.text_TD: Tensor
        self.register_buffer("image_TD", torch.zeros(0, 0))
        self.register_buffer("text_TD", torch.zeros(0, 0))

    # -- training: LoRA fine-tuning of a new adapter

    def before_task(self, task: Task) -> None:
        """A new adapter on the pretrained backbone."""
        c = self.config
        seed = task.generator("adapter")
        self.adapters.append(LoRA(self.clip, c.targets, c.rank, c.alpha, c.dropout, seed))

    def trainable(self) -> list[ParamGroup]:
        """The newest adapter alone."""
        return [ParamGroup(list(self.adapters[-1].parameters()))]

    def features(self, batch: Batch) -> Features:
        """Embeddings with the newest adapter; nothing is routed in training."""
        newest: Any = self.adapters[-1]
        with self.clip.adapted(newest.deltas(), newest.targets):
            image_BD = self.clip.image(batch.images.pixels_B3HW)
            text_MD = self.clip.text(batch.texts.tokens_ML)
        return Features(image_BD, text_MD, self.clip.scale, batch.target_B, batch.paired)

    def after_task(self, task: Task) -> None:
        """Prototypes: the means of the frozen backbone's unit image and text features."""
        sums = [torch.zeros(0), torch.zeros(0)]
        for i, batch in enumerate(task.loader.sweep()):
            means = [batch.images.frozen().sum(dim=0), batch.texts.frozen().sum(dim=0)]
            sums = means if i == 0 else [a + b for a, b in zip(sums, means, strict=True)]
        image_1D, text_1D = (unit(s)[None] for s in sums)
        self.image_TD = torch.cat([self.image_TD.reshape(-1, image_1D.shape[1]), image_1D])
        self.text_TD = torch.cat([self.text_TD.reshape(-1, text_1D.shape[1]), text_1D])

    # -- inference

    def encode_image(self, images: Images) -> Tensor:
        """Each image through its own adapters."""
        with self._routed(images, "image"):
            return self.clip.image(images.pixels_B3HW)

    def encode_text(self, texts: Texts) -> Tensor:
        """Each text through its own adapters."""
        with self._routed(texts, "text"):
            return self.clip.text(texts.tokens_ML)

    def _routed(self, items: Images | Texts, modality: str) -> AbstractContextManager[None]:
        """Inside, every item of the batch meets its own adapters."""
        index_BK, weight_BK = self._route(items.frozen(), modality)
        items.note("route", index_BK[:, 0])
        bank: Any = self.adapters
        return self.clip.adapted(weighted_deltas(bank, index_BK, weight_BK), self.config.targets)

    def _route(self, z_BD: Tensor, modality: str) -> tuple[Tensor, Tensor]:
        """Frozen unit features -> indices and weights (B, K) of the adapters, best first."""
        by_image_BT, by_text_BT = z_BD @ self.image_TD.T, z_BD @ self.text_TD.T
        score_BT = {
            "sample": (by_image_BT + by_text_BT) / 2,
            "image": by_image_BT,
            "text": by_text_BT,
            "max": torch.maximum(by_image_BT, by_text_BT),
            "modality": by_image_BT if modality == "image" else by_text_BT,
        }[self.config.routing]
        top_BK, index_BK = score_BT.topk(min(self.config.top_k, score_BT.shape[1]), dim=1)
        weight_BK = (top_BK / self.config.temperature).softmax(dim=1)
        best_BK = torch.zeros_like(weight_BK)
        best_BK[:, 0] = 1
        if top_BK.shape[1] == 1:
            return index_BK, best_BK
        ambiguous_B1 = (top_BK[:, :1] - top_BK[:, 1:2]) < self.config.margin
        return index_BK, torch.where(ambiguous_B1, weight_BK, best_BK)
