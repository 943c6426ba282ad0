"""DAR, Dynamic Adapter Routing (Dobrzeniecka et al., ICML 2026, section 3).

One LoRA adapter per task, each trained on the pretrained backbone (section 3.1). The means of the
task's normalised frozen image and text features are its prototypes p_v, p_c (3.2). At test time an
item z (image or text) scores every task, S_t = (cos(z, p_v_t) + cos(z, p_c_t)) / 2; the best
adapter is used, and where the best two are closer than the margin, the top k adapters are merged
with weights softmax(S / temperature) (3.3).

Differs from the paper:
- Routing is per item. The paper's equal weighting of image and text similarities, read over a
  test *pair*, tells the router which caption belongs to which image: `route-pair`, with a badge.
  So `route-image` scores a text by its own cos(z, p_v_t), not by that of the image it is paired
  with, and `route-text` an image by its own cos(z, p_c_t).
- Merging is linear. In core space a weighted sum of adapters equals the weighted sum of their
  outputs, so nothing is projected. Rules that are not linear (Table 5) are applied per set of
  adapters, with their weights rounded to 1 / weight_bins.
- The softmax temperature is not in the paper; 0.05 (the margin) makes a real mixture: the better
  adapter weighs 0.73 at the threshold. Nor are Table 5's density and coefficient.
- An adapter on attn.out_proj acts here; wrapped inside torch's attention it would be ignored.
- Where routing needs what an item does not have (the task of a held-out item, the partner of a
  class prompt), an item is routed by `sample`, and under `pair` by its own modality.
- Adapter reuse is the preprint's (arXiv 2605.31229, section 5) and off: its threshold is unknown.
- The budget is the suite's; that of `retrieval` is the paper's (20 epochs, batches of 256).
Without reuse the final state does not depend on the order of tasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.api import (
    MERGES,
    PROJECTIONS,
    Backbone,
    Badge,
    Bank,
    Batch,
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
    check_merge,
    require,
    setting,
    unit,
)

Routing = Literal["sample", "image", "text", "max", "modality", "pair", "oracle", "random"]
BADGES: Mapping[Routing, Badge] = {"oracle": "task id", "pair": "test pairing"}


@dataclass(frozen=True)
class DARConfig(Config):
    """Defaults: section 4.1, unless said otherwise."""

    lr: float | None = setting(None, paper="1e-4", why="the suite's; retrieval has 1e-4")
    weight_decay: float | None = setting(None, paper="0.2 (preprint)", why="the suite's, as lr")
    rank: int = setting(16, source="section 4.1")  # R
    alpha: float = setting(32.0, source="section 4.1")  # scale = alpha / rank
    dropout: float = setting(0.1, source="section 4.1")  # probability on an adapter's input
    targets: tuple[str, ...] = setting(PROJECTIONS, source="section 3.1")  # linear maps
    routing: Routing = setting(  # what scores a task
        "sample", paper="pair (section 3.3)", why="a pair tells which caption is which image's"
    )
    merge: str = setting("linear", source="section 3.3")  # of the top k, see above
    top_k: int = setting(2, source="section 4.1")  # adapters that a merge may use
    margin: float = setting(0.05, source="section 4.1")  # cosine; merging starts below it
    temperature: float = setting(0.05, why="not in the paper; the margin")  # of the merge weights
    merge_scale: float = setting(1.0, why="not in the paper")  # of the plain sum that "ta" takes
    density: float = setting(0.5, why="not in the paper")  # share of entries that DARE keeps
    weight_bins: int = setting(16, why="so few merges are computed")  # steps of a non-linear weight
    # Cosine above which an old adapter is trained on
    reuse_threshold: float | None = setting(None, source="section 3, without reuse")
    prototype_momentum: float = setting(0.0, source="preprint, Table 10")  # old one's share then

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, self.alpha, self.dropout, self.targets)
        check_merge(self.merge, self.merge_scale, self.density)
        threshold = 0.0 if self.reuse_threshold is None else self.reuse_threshold
        least, momentum = max(self.top_k / 2, 1), self.prototype_momentum
        require(self.top_k >= 1, "top_k of at least 1", self.top_k)
        require(self.margin >= 0, "margin of at least 0", self.margin)
        require(self.temperature > 0, "temperature above 0", self.temperature)
        require(self.weight_bins > least, "weight_bins above top_k / 2 and 1", self.weight_bins)
        require(-1 <= threshold <= 1, "reuse_threshold in [-1, 1]", threshold)
        require(0 <= momentum < 1, "prototype_momentum in [0, 1)", momentum)
        self._refuse_idle()

    def _refuse_idle(self) -> None:
        """A setting that would change nothing is a mistake."""
        chosen = self.routing != "random"
        many = chosen and self.merge != "none" and self.top_k > 1
        merges = many and self.margin > 0  # no two scores are closer than 0
        acts = {
            "top_k": chosen and self.merge != "none" and self.margin > 0,
            "merge": chosen and self.top_k > 1 and self.margin > 0,
            "margin": many,
            "temperature": merges and self.merge not in ("uniform", "ta"),
            "merge_scale": merges,
            "density": merges,
            "weight_bins": merges and not MERGES[self.merge].linear,
            "prototype_momentum": self.reuse_threshold is not None,
        }
        for name, does in acts.items():
            require(
                does or getattr(self, name) == getattr(DARConfig, name),
                f"settings that act with routing '{self.routing}', merge '{self.merge}', "
                f"top_k {self.top_k} and margin {self.margin}",
                f"{name}={getattr(self, name)}",
                "leave it out",
            )


class DAR(Method[DARConfig]):
    """A bank of adapters with prototype routing."""

    label = "DAR"
    paper = "Dobrzeniecka et al., Beyond classification, ICML 2026"
    at_once = 4096  # items that share a route share a pass
    invariants = {
        "same end in every order": {
            "reuse_threshold": (None,),
            "routing": ("sample", "image", "text", "max", "modality", "pair", "oracle"),
        }
    }
    aliases = {"margin-0.00": "dar.merge-none"}  # no two scores are closer than 0
    variants = {
        "rank4": {"rank": 4, "alpha": 8.0},  # Table 3, at the same scale
        "rank8": {"rank": 8, "alpha": 16.0},  # Table 3
        "rank32": {"rank": 32, "alpha": 64.0},  # Table 3
        "r8": {"rank": 8, "alpha": 16.0, "dropout": 0.0},  # the row that Tables 2 to 7 call DAR
        # Table 4
        "route-image": {"routing": "image"}, "route-text": {"routing": "text"},
        "route-max": {"routing": "max"}, "route-oracle": {"routing": "oracle"},
        "route-random": {"routing": "random"},
        "route-modality": {"routing": "modality"},  # images by p_v, texts by p_c
        "route-pair": {"routing": "pair"},  # both of a test pair by the mean of its two
        "merge-none": {"merge": "none"},  # Tables 5 and 6 (k = 1)
        "merge-uniform": {"merge": "uniform"},  # Table 5
        "merge-ta": {"merge": "ta"},  # Table 5, as the next two
        "merge-dare-ties": {"merge": "dare-ties"}, "merge-iso-c": {"merge": "iso-c"},
        "merge-core-dare-ties": {"merge": "core-dare-ties"},
        "merge-core-iso-c": {"merge": "core-iso-c"},
        "merge-core-tsv": {"merge": "core-tsv"}, "merge-core-tsv-iso": {"merge": "core-tsv-iso"},
        # Table 6
        "margin-0.00": {"margin": 0.0}, "margin-0.01": {"margin": 0.01},
        "margin-0.10": {"margin": 0.1}, "k3": {"top_k": 3}, "k4": {"top_k": 4},
    }  # fmt: skip

    def __init__(self, clip: Backbone, config: DARConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        c = config
        self.adapters = Bank(c.merge, c.merge_scale, c.density, c.weight_bins)
        self.newest = 0
        self.image_TD: Tensor = nn.Buffer(torch.zeros(0, clip.dim))  # one row an adapter
        self.text_TD: Tensor = nn.Buffer(torch.zeros(0, clip.dim))
        self.owner_T: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))  # a task's adapter

    @classmethod
    def badges(cls, config: DARConfig) -> frozenset[Badge]:
        """Oracle routing reads the task, pair routing the partner of a test item."""
        return frozenset({BADGES[config.routing]} if config.routing in BADGES else ())

    # -- training: LoRA fine-tuning of a new adapter

    def before_task(self, task: Task) -> None:
        """A new adapter on the pretrained backbone, or the one of a task that looks like it."""
        image_1D, text_1D = _prototypes(task)
        close_T = (self.image_TD @ image_1D[0] + self.text_TD @ text_1D[0]) / 2
        threshold = self.config.reuse_threshold
        if threshold is not None and len(close_T) and float(close_T.max()) > threshold:
            self.newest, m = int(close_T.argmax()), self.config.prototype_momentum
            for table_TD, new_1D in ((self.image_TD, image_1D), (self.text_TD, text_1D)):
                table_TD[self.newest] = unit(m * table_TD[self.newest] + (1 - m) * new_1D[0])
        else:
            c, self.newest = self.config, len(self.adapters)
            seed = task.generator("adapter")
            adapter = LoRA(self.clip, c.targets, c.rank, c.alpha, c.dropout, seed)
            self.adapters.add(adapter, task.generator("masks"))
            self.image_TD = torch.cat([self.image_TD, image_1D])
            self.text_TD = torch.cat([self.text_TD, text_1D])
        owner_1 = torch.tensor([self.newest], device=self.owner_T.device)
        self.owner_T = torch.cat([self.owner_T, owner_1])

    def training_key(self) -> Mapping[str, Any] | None:
        """Every adapter starts from the pretrained backbone, unless it is taken up again."""
        c = self.config
        if c.reuse_threshold is not None:
            return None
        return {"rank": c.rank, "alpha": c.alpha, "dropout": c.dropout, "targets": c.targets}

    def trainable(self) -> list[ParamGroup]:
        """The task's adapter alone."""
        return [ParamGroup(list(self.adapters[self.newest].parameters()))]

    def features(self, batch: Batch) -> Features:
        """Embeddings with the task's adapter; nothing is routed in training."""
        adapter: Any = self.adapters[self.newest]
        with self.clip.adapted(adapter.deltas(), adapter.targets):
            image_BD = self.clip.image(batch.images.pixels_B3HW)
            text_MD = self.clip.text(batch.texts.tokens_ML)
        return Features(image_BD, text_MD, self.clip.scale, batch.target_B, batch.paired)

    # -- inference

    def encode_image(self, images: Images) -> Tensor:
        """Each image through its own adapters."""
        return self._routed(images, "image")

    def encode_text(self, texts: Texts) -> Tensor:
        """Each text through its own adapters."""
        return self._routed(texts, "text")

    def _routed(self, items: Images | Texts, modality: str) -> Tensor:
        index_BK, weight_BK = self.route(items, modality)
        items.log("route", index_BK[:, 0])
        return self.adapters.encode(self.clip, items, index_BK, weight_BK)

    def route(self, items: Images | Texts, modality: str) -> tuple[Tensor, Tensor]:
        """Indices and weights (B, K) of each item's adapters, best first; weights sum to 1.

        Args:
            items: B of them.
            modality: "image" or "text".
        """
        z_BD, c = items.frozen(), self.config
        if c.routing == "oracle" and items.task >= 0:
            return self._only(self.owner_T[items.task].expand(len(z_BD)))
        if c.routing == "random":
            return self._only(self._drawn(z_BD))
        score_BT = self._scores(items, z_BD, modality).float()
        top_BK, index_BK = score_BT.topk(min(c.top_k, score_BT.shape[1]), dim=1)
        if c.merge == "none" or top_BK.shape[1] == 1:
            return self._only(index_BK[:, 0])
        weight_BK = (top_BK / c.temperature).softmax(dim=1)
        best_BK = torch.zeros_like(weight_BK)
        best_BK[:, 0] = 1
        ambiguous_B1 = (top_BK[:, :1] - top_BK[:, 1:2]) < c.margin
        return index_BK, torch.where(ambiguous_B1, weight_BK, best_BK)

    def _scores(self, items: Images | Texts, z_BD: Tensor, modality: str) -> Tensor:
        """Similarity (B, T) of each item to each adapter's prototypes.

        Products in float64: in float32 their last bits depend on the size of the batch.
        """
        z_BD, image_DT, text_DT = z_BD.double(), self.image_TD.double().T, self.text_TD.double().T
        by_image_BT, by_text_BT = z_BD @ image_DT, z_BD @ text_DT
        own_BT = by_image_BT if modality == "image" else by_text_BT
        match self.config.routing:
            case "image":
                return by_image_BT
            case "text":
                return by_text_BT
            case "max":
                return torch.maximum(by_image_BT, by_text_BT)
            case "modality":
                return own_BT
            case "pair":
                if (other_BD := items.partner) is None:
                    return own_BT
                other_DT = text_DT if modality == "image" else image_DT
                return (own_BT + other_BD.double() @ other_DT) / 2
        return (by_image_BT + by_text_BT) / 2

    def _drawn(self, z_BD: Tensor) -> Tensor:
        """A random adapter per item: a hash of its frozen features, so that it stays its own."""
        odd_D = torch.randint(2**62, (z_BD.shape[1],), generator=self.tools.generator("route"))
        bits_BD = z_BD.contiguous().view(torch.int32).to(torch.int64)
        hash_B = (bits_BD * (2 * odd_D + 1).to(z_BD.device)).sum(dim=1)
        return (((hash_B >> 33) & (2**31 - 1)) * len(self.adapters)) >> 31

    @staticmethod
    def _only(index_B: Tensor) -> tuple[Tensor, Tensor]:
        return index_B[:, None], torch.ones(len(index_B), 1, device=index_B.device)


def _prototypes(task: Task) -> tuple[Tensor, Tensor]:
    """The directions (1, D) of the means of the frozen unit image and text features."""
    sums: list[Tensor] = []
    for batch in task.loader.sweep():
        new = [batch.images.frozen().sum(dim=0), batch.texts.frozen().sum(dim=0)]
        sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
    image_D, text_D = sums
    return unit(image_D)[None], unit(text_D)[None]
