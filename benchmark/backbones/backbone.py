"""The backbone: two towers with adaptable linear maps, whatever library built them.

The harness and the methods know this interface alone. What reads a library's layout is in its one
subclass for that library: `OpenClip` in backbones/open_clip.py, `Blip` in backbones/blip.py.

Every linear map of a block is a site where a method can add to the output, and so is the place
beside the MLP (see `sites`). That changes no number and no state-dict key.

Texts are cut at the longest caption of the batch before the transformer: no token sees what follows
the end-of-text token, so that it cannot matter.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.weak import WeakTensorKeyDictionary

from ..common.digests import digest
from .blocks.attention import At
from .blocks.compiled import Compiler, text_length
from .content import Content, parameters_of, set_mode
from .known import Precision
from .sites import Adaptable, Place, held, holding
from .tokenizer import Tokenize

STEP = 4  # tokens by which the length of texts grows where no gradients are kept
Tower = Literal["image", "text"]

_TOLD: Any = WeakTensorKeyDictionary()  # tokens -> kind of backbone, their version, the longest


class Backbone(Adaptable, ABC):
    """Two towers, of images and of texts, into one space of unit vectors.

    Attributes:
        library: the distribution whose version numbers may depend on.
        image_parts: names of the modules that make the image tower; texts have all others.
        name: of the model. size: image side in pixels. mean, std: pixel normalisation.
        context: number of token positions. tokenizer: names what tokens derive from.
        fingerprint: sha256 of the pretrained weights; origin: repository, commit and file, where
            they are from the hub.
        chunks: with gradients, a tower takes a batch in so many pieces and keeps the activations
            of one at a time (gradient caching, Gao et al., 2021): the embeddings, and so the
            negatives, are those of the whole batch, at the price of a second forward.
        checkpointing: with gradients, each block keeps its input alone and is computed again in
            backward(): the same numbers to the last bit, from less memory and a third more work.
        compiler: of the blocks, see blocks/compiled.py; None computes them eagerly.
        logit_scale: log of the inverse temperature of the similarity.
    """

    library: ClassVar[str]
    image_parts: ClassVar[tuple[str, ...]]
    logit_scale: nn.Parameter
    _known: frozenset[type]  # of the modules that the blocks were built of

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
        self.checkpointing = False
        self.compiler: Compiler | None = None
        self._content = Content()

    # -- towers, in two halves so that a method can insert prompts between them

    def embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels -> (B, L, W): what the first block of the image tower takes."""
        with self._autocast():
            return self._embed_image(pixels_B3HW)

    def image_tower(self, x_BLW: Tensor) -> Tensor:
        """Token embeddings -> (B, D) image features, not normalised; token 0 is the class token."""
        return self._chunked("image", self._image_tower, x_BLW)

    def embed_text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens, cut behind the longest text -> (M, L, W): what the first block takes."""
        return self._embed_text(tokens_ML[:, : self.text_length(self._longest(tokens_ML))])

    def note_longest(self, tokens_ML: Tensor, longest: int) -> None:
        """Tell what only the host knows without waiting: the tokens of the longest of these texts.

        It holds for this very tensor, until it is written to.
        """
        _TOLD[tokens_ML] = type(self), tokens_ML._version, longest

    def _longest(self, tokens_ML: Tensor) -> int:
        kind, version, longest = _TOLD.get(tokens_ML, (None, 0, 0))
        if (kind, version) == (type(self), tokens_ML._version):
            return int(longest)
        return int(self.end_of_text(tokens_ML).max()) + 1

    def text_length(self, longest: int) -> int:
        """Tokens L at which a batch of texts is cut, by the longest of them.

        Where gradients are kept no token is wasted. Without them a text's length decides in which
        company it is embedded: few lengths make large groups (the last bits of a row depend on
        where a text is cut, and not on its neighbours).
        """
        if torch.is_grad_enabled():
            return longest
        if self.compiler is not None:
            return min(text_length(longest), self.context)
        return min(-(-longest // STEP) * STEP, self.context)

    def text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        """Token embeddings -> (M, D) text features, not normalised; end_M is the last position."""
        return self._chunked("text", self._text_tower, x_MLW, end_M)

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

    def _chunked(self, name: Tower, tower: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        pieces = self.chunks if torch.is_grad_enabled() else 1
        if self.compiler is not None:
            blocks = {block: self._maps(block) for t, _, block in self._blocks() if t == name}
            most = self.context if name == "text" else None
            tower = self.compiler.padded(tower, blocks, self._known, pieces, most)

        def run(*piece: Tensor) -> Tensor:
            with self._autocast():
                return tower(*piece)

        if pieces == 1:
            return run(*inputs)
        # The second pass happens in backward(), when `adapted` may be over: it brings its deltas.
        now = {m: held(m) for m in self.modules() if isinstance(m, Place)}

        def again(*piece: Tensor) -> Tensor:
            with holding(now):
                return run(*piece)

        split = zip(*(x.chunk(pieces) for x in inputs), strict=True)
        return torch.cat([checkpoint(again, *p, use_reentrant=False) for p in split])

    def _step(
        self, run: Callable[..., Tensor], block: nn.Module, x: Tensor, *more: Any, at: At = None
    ) -> Tensor:
        """A block of a tower, `run(block, x, *more, at)`; see `checkpointing` and `compiler`."""
        more = *more, at
        if self.compiler is not None and self.compiler.batch is not None:
            run = partial(self.compiler.step, run, self.compiler.batch, self._maps(block))
        if not self.checkpointing or not torch.is_grad_enabled():
            return run(block, x, *more)
        now = {m: held(m) for m in block.modules() if isinstance(m, Place)}

        def again(x: Tensor) -> Tensor:
            with holding(now), self._autocast():
                return run(block, x, *more)

        out: Tensor = checkpoint(again, x, use_reentrant=False)
        return out

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

    def digest(self, tower: Tower | None = None) -> str:
        """Sha256 of all that an embedding by this tower depends on, by the parameters' values.

        Computed again once a parameter was changed in place, or the mode changed, as it does with
        every stage of a run: a write through `.data` leaves no other trace.

        Args:
            tower: None for both; the similarity's scale belongs to neither.
        """
        if tower is None:
            return digest([self.digest("image"), self.digest("text")])
        named = {n: p for n, p in parameters_of(self) if self._tower_of(n) == tower}
        return self._content.digest(f"{self.library} {self.name} {self.precision} {tower}", named)

    def train(self, mode: bool = True) -> Self:
        """As every module; see `digest` for what else it means."""
        if mode != self.training:
            self._content.forget()
        set_mode(self, mode)
        return self

    def forget(self) -> None:
        """Compute digests anew when they are asked for, whatever versions say."""
        self._content.forget()

    def _tower_of(self, name: str) -> Tower | None:
        if name == "logit_scale":
            return None
        return "image" if name.partition(".")[0] in self.image_parts else "text"

    @abstractmethod
    def _patches(self) -> nn.Module:
        """The convolution that makes tokens of pixels."""


def note_joined(tokens_ML: Tensor, parts: Sequence[Tensor]) -> None:
    """See `Backbone.note_longest`, of texts that were put together of others."""
    told = [_TOLD.get(part) for part in parts]
    if told and all(
        one is not None and one[:2] == (told[0][0], part._version)
        for one, part in zip(told, parts, strict=True)
    ):
        longest = max(one[2] for one in told)
        _TOLD[tokens_ML] = told[0][0], tokens_ML._version, longest


def unit(x: Tensor) -> Tensor:
    """Rows of length 1, in float32 whatever the precision of the forward pass."""
    return F.normalize(x.float(), dim=-1)
