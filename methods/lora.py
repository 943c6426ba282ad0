"""LoRA (Hu et al., ICLR 2022), the plain baseline of the CoDyRA paper (arXiv 2412.01004, Table 7).

    W <- W + B A after each task, for every linear map of all blocks of both towers

A fresh low-rank update for every task, trained as CoDyRA's but without gates and pruning, and
merged whole: what CoDyRA adds is what differs from this. Not `lora-ft`, which trains one
adapter, on fewer maps and never merged, through all tasks.

Of the baseline, the paper gives the rank, 16; a later version has it on X-TAIL too. Its official
code (Artificer-AI-Lab/CoDyRA) has no driver for it. So loss, optimiser and initialisation are
those of `codyra`, and the scale alpha / R is 1: CoDyRA has none, and the mean square of its
initial gates is 1. No dropout. CLIP-LoRA (MaxZanella/CLIP-LoRA), a method of its own, has rank 2,
fewer maps, dropout 0.25 and weight decay 0.01. Rate, steps, batch, crops and class prompts are the
suite's, as CoDyRA's.

Kept between tasks: nothing but the merged model.
"""

from dataclasses import dataclass

from torch import Tensor

from benchmark.api import (
    MAPS,
    Backbone,
    Batch,
    Config,
    Features,
    LoRA,
    Method,
    ParamGroup,
    Task,
    Tools,
    check_adapter,
    setting,
    symmetric_cross_entropy,
)


@dataclass(frozen=True)
class PlainConfig(Config):
    """Defaults: CoDyRA's, without gates."""

    weight_decay: float | None = setting(
        0.0, why="the paper gives the rank alone; CoDyRA's official code has none"
    )
    rank: int = setting(16, source="CoDyRA, Table 7")  # R
    alpha: float = setting(  # scale = alpha / rank = 1
        16.0, why="CoDyRA has no scale, and the mean square of its first gates is 1"
    )
    dropout: float = setting(  # probability on the adapter's input
        0.0, why="the paper gives the rank alone; CoDyRA has none"
    )
    targets: tuple[str, ...] = setting(  # linear maps
        MAPS, source="CoDyRA, Table 7, whose 4.4 million scalars these are"
    )

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, self.alpha, self.dropout, self.targets)


class PlainLoRA(Method[PlainConfig]):
    """A new adapter for each task, merged after it."""

    label = "LoRA"
    paper = "Hu et al., LoRA: low-rank adaptation of large language models, ICLR 2022"

    def __init__(self, clip: Backbone, config: PlainConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        self.adapter: LoRA | None = None

    def before_task(self, task: Task) -> None:
        """A new adapter."""
        c, seed = self.config, task.generator("adapter")
        self.adapter = LoRA(self.clip, c.targets, c.rank, c.alpha, c.dropout, seed)

    def trainable(self) -> list[ParamGroup]:
        """The adapter alone."""
        assert self.adapter is not None
        return [ParamGroup(list(self.adapter.parameters()), betas=(0.9, 0.9999))]

    def features(self, batch: Batch) -> Features:
        """Embeddings by the backbone with the adapter."""
        assert self.adapter is not None
        with self.clip.adapted(self.adapter.deltas(), self.adapter.targets):
            return super().features(batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Image to text and text to image, as CoDyRA."""
        return symmetric_cross_entropy(self.features(batch))

    def after_task(self, task: Task) -> None:
        """Merge the adapter, and drop it."""
        assert self.adapter is not None
        self.adapter.merge(self.clip)
        self.adapter = None
