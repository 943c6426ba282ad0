"""Zero-shot: the pretrained model, never trained.

Every stage repeats step 0; its features come from the shared cache, so it costs nothing.
"""

from dataclasses import dataclass

from benchmark.api import Config, FrozenBackbone, require_no_step


@dataclass(frozen=True)
class ZeroShotConfig(Config):
    """Nothing can be set."""

    def __post_init__(self) -> None:
        """There is no optimiser."""
        super().__post_init__()
        require_no_step(self)


class ZeroShot(FrozenBackbone[ZeroShotConfig]):
    """CLIP as it was pretrained (Radford et al., 2021)."""

    label = "ZS"
    paper = "Radford et al., Learning transferable visual models, ICML 2021"
