"""Zero-shot: the pretrained model, never trained.

Every stage repeats step 0; its features come from the shared cache, so it costs nothing.
"""

from dataclasses import dataclass

from torch import Tensor

from benchmark.api import Config, Images, Method, ParamGroup, Texts, require_no_step


@dataclass(frozen=True)
class ZeroShotConfig(Config):
    """Nothing can be set."""

    def __post_init__(self) -> None:
        """There is no optimiser."""
        super().__post_init__()
        require_no_step(self)


class ZeroShot(Method[ZeroShotConfig]):
    """CLIP as it was pretrained (Radford et al., 2021)."""

    label = "ZS"
    paper = "Radford et al., Learning transferable visual models, ICML 2021"
    invariants = {"zero-shot at every step": {}}

    def trainable(self) -> list[ParamGroup]:
        """Nothing: no step is made."""
        return []

    def encode_image(self, images: Images) -> Tensor:
        """The untouched backbone's image features."""
        return images.frozen()

    def encode_text(self, texts: Texts) -> Tensor:
        """The untouched backbone's text features."""
        return texts.frozen()
