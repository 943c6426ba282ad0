"""LoRA-FT: one low-rank adapter, trained on one task after the other (DAR paper, Table 3).

The backbone is frozen; the single adapter is attached before the first task and never reset.
Settings follow the paper's adapters (section 4.1): rank 16, scaling factor 32 read as
alpha / rank = 2, dropout 0.1, on out_proj and both MLP projections of both towers.
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
)


@dataclass(frozen=True)
class LoRAConfig(Config):
    """Defaults: DAR paper, section 4.1."""

    rank: int = 16  # R, section 4.1
    alpha: float = 32.0  # scale = alpha / rank, section 4.1
    dropout: float = 0.1  # probability on the adapter's input, section 4.1
    targets: tuple[str, ...] = PROJECTIONS  # linear maps, section 3.1

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
