"""The backbone: two towers with adaptable linear maps, whatever library built them.

The harness and the methods know this interface alone. What reads a library's layout is in its one
subclass for that library: `OpenClip` in backbones/open_clip.py, `Blip` in backbones/blip.py.

Every linear map of a block is a site where a method can add to the output, and so is the place
beside the MLP (see `sites`). That changes no number and no state-dict key.

Texts are cut at the longest caption of the batch before the transformer: no token sees what follows
the end-of-text token, so that it cannot matter.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import BenchError, nearest
from .contents import Digests, State, Tower, digest_of
from .known import Precision
from .sites import (
    Delta,  # methods and toolkit know it as a part of the backbone
    Place,
    Site,
    holding,
)
from .tokenizer import Tokenize

PARALLEL = "mlp.parallel"


class Backbone(nn.Module, ABC):
    """Two towers, of images and of texts, into one space of unit vectors.

    Attributes:
        library: the distribution whose version numbers may depend on.
        name: of the model. size: image side in pixels. mean, std: pixel normalisation.
        context: number of token positions. tokenizer: names what tokens derive from.
        fingerprint: sha256 of the pretrained weights; origin: repository, commit and file, where
            they are from the hub.
        chunks: with gradients, a tower takes a batch in so many pieces and keeps the activations
            of one at a time (gradient caching, Gao et al., 2021): the embeddings, and so the
            negatives, are those of the whole batch, at the price of a second forward pass.
        logit_scale: log of the inverse temperature of the similarity.
    """

    library: ClassVar[str]
    image_parts: ClassVar[tuple[str, ...]]  # how the names of the image tower's parameters begin
    logit_scale: nn.Parameter

    def __init__(
        self,
        name: str,
        *,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        context: int,
        tokenize: Tokenize,
    ) -> None:
        super().__init__()
        self.name, self.size, self.mean, self.std = name, size, mean, std
        self.context, self.tokenize = context, tokenize
        self.fingerprint, self.origin, self.tokenizer = "", "", ""
        self.precision: Precision = "fp32"
        self.chunks = 1
        self._digests = Digests()

    # -- towers, in two halves so that a method can insert prompts between them

    def embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels -> (B, L, W): what the first block of the image tower takes."""
        with self._autocast():
            return self._embed_image(pixels_B3HW)

    def image_tower(self, x_BLW: Tensor) -> Tensor:
        """Token embeddings -> (B, D) image features, not normalised; token 0 is the class token."""
        return self._chunked(self._image_tower, x_BLW)

    def embed_text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens, cut at the longest text -> (M, L, W): what the first block takes."""
        return self._embed_text(tokens_ML[:, : int(self.end_of_text(tokens_ML).max()) + 1])

    def text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        """Token embeddings -> (M, D) text features, not normalised; end_M is the last position."""
        return self._chunked(self._text_tower, x_MLW, end_M)

    def image(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels -> unit rows (B, D), float32."""
        return unit(self.image_tower(self.embed_image(pixels_B3HW)))

    def text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens -> unit rows (M, D), float32."""
        return unit(self.text_tower(self.embed_text(tokens_ML), self.end_of_text(tokens_ML)))

    def _autocast(self) -> torch.autocast:
        """The towers, adapters included, may run in bf16; similarities and losses stay fp32."""
        on, device = self.precision == "bf16", self.logit_scale.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=on)

    def _chunked(self, tower: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        def run(*piece: Tensor) -> Tensor:
            with self._autocast():
                return tower(*piece)

        if self.chunks == 1 or not torch.is_grad_enabled():
            return run(*inputs)
        # The second pass happens in backward(), when `adapted` may be over: it brings its deltas.
        deltas = {m: m.delta for m in self.modules() if isinstance(m, Place)}

        def again(*piece: Tensor) -> Tensor:
            with holding(deltas):
                return run(*piece)

        pieces = zip(*(x.chunk(self.chunks) for x in inputs), strict=True)
        return torch.cat([checkpoint(again, *p, use_reentrant=False) for p in pieces])

    @abstractmethod
    def _embed_image(self, pixels_B3HW: Tensor) -> Tensor: ...

    @abstractmethod
    def _image_tower(self, x_BLW: Tensor) -> Tensor: ...

    @abstractmethod
    def _embed_text(self, tokens_ML: Tensor) -> Tensor: ...

    @abstractmethod
    def _text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor: ...

    # -- tokens

    @abstractmethod
    def end_of_text(self, tokens_ML: Tensor) -> Tensor:
        """Position (M,) of the end-of-text token."""

    @property
    @abstractmethod
    def words(self) -> Tensor:
        """Ids (V,) of all tokens that stand for a piece of a text, so neither start nor end."""

    @property
    @abstractmethod
    def frame(self) -> tuple[int, int]:
        """Ids of the start and of the end token."""

    def framed(self, words_ML: Tensor) -> Tensor:
        """Ids of words, L each -> texts (M, context): start, the words, end, zeros."""
        count, length = words_ML.shape
        tokens_ML = words_ML.new_zeros(count, self.context)
        tokens_ML[:, 0], tokens_ML[:, length + 1] = self.frame
        tokens_ML[:, 1 : length + 1] = words_ML
        return tokens_ML

    # -- sizes and weights

    def train(self, mode: bool = True) -> Self:
        """As every module; what digests were taken of may change from now on."""
        self._digests.forget()
        return super().train(mode)

    def digest(self, tower: Tower | None = None) -> str:
        """Sha256 of all that the embeddings of a tower depend on, or of both towers.

        Taken again after a parameter or a module has changed. The temperature is no part of it.
        """
        key, state = (tower, self.precision), State.of(self)
        known = self._digests.known(key, state)
        if known is None:
            every = {**dict(self.named_parameters()), **dict(self.named_buffers())}
            own = {
                name: tensor
                for name, tensor in every.items()
                if name != "logit_scale"
                and (tower is None or (tower == "image") == name.startswith(self.image_parts))
            }
            kinds = " ".join(kind.__qualname__ for kind in state.modules)
            known = digest_of(own, f"{self.precision} {kinds}")
            self._digests.keep(key, known)
        return known

    def plain(self) -> bool:
        """Whether its embeddings depend on what `digest` tells alone.

        They do not where a delta is on it, a hook, a module of another's making or a function in
        the place of a method.
        """
        return State.of(self).plain

    @property
    @abstractmethod
    def dim(self) -> int:
        """D, the length of an embedding."""

    @property
    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """W of the image tower and of the text tower."""

    @property
    def scale(self) -> Tensor:
        """exp(logit_scale): the inverse temperature of the similarity."""
        return self.logit_scale.exp()

    def weights(self) -> list[nn.Parameter]:
        """All parameters that training may change: everything but logit_scale.

        The scale stays at its pretrained value in every method (the DAR preprint, App. A; ZSCL's
        official code excludes it too), so that no method differs by its temperature.
        """
        return [p for n, p in self.named_parameters() if n != "logit_scale"]

    def weights_outside_blocks(self) -> list[nn.Parameter]:
        """Those of `weights` that lie outside the blocks, without the patch convolution."""
        inside = [p for _, _, block in self._blocks() for p in block.parameters()]
        inside += self._patches().parameters()
        known = {id(p) for p in inside}
        return [p for p in self.weights() if id(p) not in known]

    @abstractmethod
    def _patches(self) -> nn.Module:
        """The convolution that makes tokens of pixels."""

    # -- adapters

    def sites(self, targets: tuple[str, ...]) -> dict[str, Site]:
        """Linear maps of both towers whose name ends in one of the targets, in model order.

        Args:
            targets: of "attn.q", "attn.k", "attn.v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj".

        Raises:
            BenchError: a target that no block has, or that has no weight.
        """
        found: dict[str, Site] = {}
        for tower, i, block in self._blocks():
            here = self._maps(block)
            if unknown := [t for t in targets if t not in here]:
                raise BenchError(
                    f"adapter targets of {', '.join(here)}",
                    f"'{unknown[0]}'",
                    nearest(unknown[0], here),
                )
            found |= {f"{tower}.{i}.{t}": here[t] for t in targets}
        return found

    def places(self, targets: tuple[str, ...]) -> dict[str, Place]:
        """Sites of both towers as in `sites`, and for "mlp.parallel" the place beside each MLP.

        What is added to the residual stream there goes in parallel to the MLP: a block's output
        is x + MLP(norm(x)) + delta(x), with x the stream after the attention. There is no weight
        that the delta could be merged into, so `sites`, which merging asks, does not know it.
        """
        found: dict[str, Place] = dict(self.sites(tuple(t for t in targets if t != PARALLEL)))
        if PARALLEL in targets:
            found |= {f"{tower}.{i}.{PARALLEL}": b.parallel for tower, i, b in self._blocks()}
        return found

    @contextmanager
    def adapted(self, deltas: Mapping[str, Delta], targets: tuple[str, ...]) -> Iterator[None]:
        """Inside, every place (see `places`) gives y + delta(x); afterwards all is as before."""
        places = self.places(targets)
        with holding({places[name]: delta for name, delta in deltas.items()}):
            yield

    @abstractmethod
    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        """Tower ("image", then "text"), number and module of every block, in model order."""

    @abstractmethod
    def _maps(self, block: Any) -> dict[str, Site]:
        """All sites of a block, by target, in model order."""


def unit(x: Tensor) -> Tensor:
    """Rows of length 1, in float32 whatever the precision of the forward pass."""
    return F.normalize(x.float(), dim=-1)
