"""LoRA-FT: one low-rank adapter, trained on one task after the other (DAR paper, Table 3).

The backbone is frozen; the single adapter is attached before the first task and never reset.
Settings follow the paper's adapters (section 4.1): rank 16, scaling factor 32 read as
alpha / rank = 2, dropout 0.1, on out_proj and both MLP projections of both towers. The budget is
the suite's; that of `retrieval` is the paper's (20 epochs, batches of 256).
"""

from dataclasses import dataclass

from torch import Tensor

from benchmark.api import (
    PROJECTIONS,
    Config,
    Images,
    LoRA,
    Method,
    ParamGroup,
    Task,
    Texts,
    check_adapter,
    encode_with,
    setting,
)


@dataclass(frozen=True)
class LoRAConfig(Config):
    """Defaults: DAR paper, section 4.1."""

    lr: float | None = setting(
        None, paper="1e-4 (section 4.1)", why="the suite's; retrieval has 1e-4"
    )
    weight_decay: float | None = setting(
        None, paper="0.2 (preprint, Table 10)", why="the suite's; retrieval has 0.2"
    )
    rank: int = setting(16, source="section 4.1")  # R
    alpha: float = setting(32.0, source="section 4.1")  # scale = alpha / rank
    dropout: float = setting(0.1, source="section 4.1")  # probability on the adapter's input
    targets: tuple[str, ...] = setting(PROJECTIONS, source="section 3.1")  # linear maps

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        check_adapter(self.rank, self.alpha, self.dropout, self.targets)


class LoRAFineTuning(Method[LoRAConfig]):
    """A single global adapter."""

    label = "LoRA-FT"
    paper = "Dobrzeniecka et al., Beyond classification, ICML 2026 (Table 3)"

    def before_task(self, task: Task) -> None:
        """Attach the adapter once."""
        if task.index == 0:
            c = self.config
            seed = task.generator("adapter")
            self.adapter = LoRA(self.clip, c.targets, c.rank, c.alpha, c.dropout, seed)

    def trainable(self) -> list[ParamGroup]:
        """The adapter alone."""
        return [ParamGroup(list(self.adapter.parameters()))]

    def encode_image(self, images: Images) -> Tensor:
        """The backbone with the adapter."""
        return images.cached(self.adapter, self._encode)

    def encode_text(self, texts: Texts) -> Tensor:
        """The backbone with the adapter."""
        return texts.cached(self.adapter, self._encode)

    def _encode(self, items: Images | Texts) -> Tensor:
        return encode_with(self.clip, items, self.adapter.deltas(), self.adapter.targets)
