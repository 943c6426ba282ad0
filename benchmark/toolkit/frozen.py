"""Methods on the untouched backbone, of which no step trains anything."""

from torch import Tensor

from ..protocol.method import ConfigT, Method
from ..protocol.types import Images, ParamGroup, Texts


class FrozenBackbone(Method[ConfigT]):
    """Embeddings of the pretrained model, from the shared cache; abstract, as `Method` is."""

    def trainable(self) -> list[ParamGroup]:
        """Nothing: no step is made."""
        return []

    def encode_image(self, images: Images) -> Tensor:
        """The untouched backbone's image features."""
        return images.frozen()

    def encode_text(self, texts: Texts) -> Tensor:
        """The untouched backbone's text features."""
        return texts.frozen()
