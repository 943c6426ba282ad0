"""The backbone: an open_clip model with adaptable linear maps. The only file that knows its layout.

Another library's model is a subclass that overrides what reads the layout (backbones/blip.py); the
rest of the harness and the methods know `Backbone` alone.

Every linear map of a block is a site where a method can add to the output, and so is the place
beside the MLP (see `sites`). That changes no number and no state-dict key.

Texts are cut at the longest caption of the batch before the transformer: attention is causal and
the feature is read at the end-of-text token, so what follows it cannot matter.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import BenchError, nearest
from .known import Precision
from .sites import (
    Attention,
    Delta,  # methods and toolkit know it as a part of the backbone
    Linear,
    Place,
    Site,
    holding,
)

PARALLEL = "mlp.parallel"


class Backbone(nn.Module):
    """A CLIP model: two towers into one space of unit vectors.

    Attributes:
        name: of the model. size: image side in pixels. mean, std: pixel normalisation.
        context: number of token positions. tokenizer: names what tokens derive from.
        fingerprint: sha256 of the pretrained weights; origin: repository, commit and file, where
            they are from the hub.
        chunks: with gradients, a tower takes a batch in so many pieces and keeps the activations
            of one at a time (gradient caching, Gao et al., 2021): the embeddings, and so the
            negatives, are those of the whole batch, at the price of a second forward pass.
    """

    library = "open_clip_torch"  # whose version numbers may depend on

    def __init__(
        self, name: str, model: nn.Module, tokenize: Callable[[list[str]], Tensor]
    ) -> None:
        super().__init__()
        self.name = name
        self.size: int
        self.mean: tuple[float, ...]
        self.std: tuple[float, ...]
        self.context: int
        self._take(model)
        self.tokenize = tokenize
        self.fingerprint, self.origin, self.tokenizer = "", "", ""
        self.precision: Precision = "fp32"
        self.chunks = 1

    def _take(self, model: nn.Module) -> None:
        """Take the model's parts, by its own names, and give its blocks their sites."""
        self._check_layout(self.name, model)
        self.visual = cast(Any, model.visual)
        self.transformer = cast(Any, model.transformer)
        self.token_embedding = cast(nn.Embedding, model.token_embedding)
        self.positional_embedding = cast(nn.Parameter, model.positional_embedding)
        self.ln_final = cast(nn.Module, model.ln_final)
        self.text_projection = cast(nn.Parameter, model.text_projection)
        self.logit_scale = cast(nn.Parameter, model.logit_scale)
        config = self.visual.preprocess_cfg
        self.size = int(config["size"][0])
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        self.context = int(cast(Any, model).context_length)
        for _, _, block in self._blocks():
            block.attn = Attention(block.attn)
            block.mlp.c_fc, block.mlp.c_proj = Linear(block.mlp.c_fc), Linear(block.mlp.c_proj)
            block.parallel = Place()

    @staticmethod
    def _check_layout(name: str, model: Any) -> None:
        """What was built must be what `models.check_layout` read from the config."""
        visual = getattr(model, "visual", None)
        towers = [getattr(m, "transformer", None) for m in (visual, model)]
        blocks = [b for t in towers for b in getattr(t, "resblocks", [None])]
        plain = (
            all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
            and getattr(visual, "pool_type", "") == "tok"
            and getattr(visual, "attn_pool", None) is None
            and getattr(model, "text_pool_type", "") == "argmax"
            and getattr(model, "attn_mask", None) is not None
            and isinstance(getattr(model, "text_projection", None), nn.Parameter)
            and len(model.positional_embedding) == model.context_length
            and model.logit_bias is None
            and model.logit_scale.ndim == 0
        )
        if not plain:
            plain_clip = "a CLIP with two plain transformers (OpenAI's layout)"
            fix = "choose a ViT-* model such as ViT-B-16-quickgelu"
            raise BenchError(plain_clip, f"'{name}', whose towers differ", fix)

    def _autocast(self) -> torch.autocast:
        """The towers, adapters included, may run in bf16; similarities and losses stay fp32."""
        on, device = self.precision == "bf16", self.logit_scale.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=on)

    # -- towers, in two halves so that a method can insert prompts between them

    def embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels -> (B, L, W): class token, patches, positions and the first norm."""
        with self._autocast():
            return cast(Tensor, self.visual._embeds(pixels_B3HW))

    def image_tower(self, x_BLW: Tensor) -> Tensor:
        """Token embeddings -> (B, D) image features, not normalised; token 0 is the class token."""
        return self._chunked(self._image_tower, x_BLW)

    def _image_tower(self, x_BLW: Tensor) -> Tensor:
        with self._autocast():
            for block in self.visual.transformer.resblocks:
                x_BLW = _block(block, x_BLW, causal=False)
            return cast(Tensor, self.visual.ln_post(x_BLW[:, 0]) @ self.visual.proj)

    def embed_text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens, cut at the longest text -> (M, L, W): token and position embeddings."""
        tokens_ML = tokens_ML[:, : int(self.end_of_text(tokens_ML).max()) + 1]
        x_MLW = self.token_embedding(tokens_ML)
        return cast(Tensor, x_MLW + self.positional_embedding[: x_MLW.shape[1]])

    def text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        """Token embeddings -> (M, D) text features, not normalised; end_M is the last position."""
        return self._chunked(self._text_tower, x_MLW, end_M)

    def _text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        with self._autocast():
            for block in self.transformer.resblocks:
                x_MLW = _block(block, x_MLW, causal=True)
            rows_M = torch.arange(len(x_MLW), device=end_M.device)
            return cast(Tensor, self.ln_final(x_MLW[rows_M, end_M]) @ self.text_projection)

    def _chunked(self, tower: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if self.chunks == 1 or not torch.is_grad_enabled():
            return tower(*inputs)
        # The second pass happens in backward(), when `adapted` may be over: it brings its deltas.
        deltas = {m: m.delta for m in self.modules() if isinstance(m, Place)}

        def again(*piece: Tensor) -> Tensor:
            with holding(deltas):
                return tower(*piece)

        pieces = zip(*(x.chunk(self.chunks) for x in inputs), strict=True)
        return torch.cat([checkpoint(again, *p, use_reentrant=False) for p in pieces])

    def image(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels -> unit rows (B, D), float32."""
        return unit(self.image_tower(self.embed_image(pixels_B3HW)))

    def text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens -> unit rows (M, D), float32."""
        return unit(self.text_tower(self.embed_text(tokens_ML), self.end_of_text(tokens_ML)))

    # -- tokens

    def end_of_text(self, tokens_ML: Tensor) -> Tensor:
        """Position (M,) of the end-of-text token: it has the highest id of the vocabulary."""
        return tokens_ML.argmax(dim=-1)

    @property
    def words(self) -> Tensor:
        """Ids (V,) of all tokens that stand for a piece of a text, so neither start nor end."""
        return torch.arange(self.token_embedding.num_embeddings - 2)

    @property
    def frame(self) -> tuple[int, int]:
        """Ids of the start and of the end token: the two highest."""
        count = self.token_embedding.num_embeddings
        return count - 2, count - 1

    def framed(self, words_ML: Tensor) -> Tensor:
        """Ids of words, L each -> texts (M, context): start, the words, end, zeros."""
        count, length = words_ML.shape
        tokens_ML = words_ML.new_zeros(count, self.context)
        tokens_ML[:, 0], tokens_ML[:, length + 1] = self.frame
        tokens_ML[:, 1 : length + 1] = words_ML
        return tokens_ML

    # -- sizes and weights

    @property
    def dim(self) -> int:
        """D, the length of an embedding."""
        return int(self.text_projection.shape[1])

    @property
    def widths(self) -> tuple[int, int]:
        """W of the image tower and of the text tower."""
        return int(self.visual.proj.shape[0]), int(self.text_projection.shape[0])

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

    def around(self) -> list[nn.Parameter]:
        """Those of `weights` that lie outside the blocks, without the patch convolution."""
        inside = [p for _, _, block in self._blocks() for p in block.parameters()]
        inside += self._patches().parameters()
        known = {id(p) for p in inside}
        return [p for p in self.weights() if id(p) not in known]

    def _patches(self) -> nn.Module:
        return cast(nn.Module, self.visual.conv1)

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

    def _maps(self, block: Any) -> dict[str, Site]:
        """All sites of a block, by target, in model order."""
        attn, mlp = block.attn, block.mlp
        here = {"attn.q": attn.q, "attn.k": attn.k, "attn.v": attn.v}
        here |= {"attn.out_proj": attn.out_proj.site}
        return here | {"mlp.c_fc": mlp.c_fc.site, "mlp.c_proj": mlp.c_proj.site}

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

    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        for tower, stack in (("image", self.visual.transformer), ("text", self.transformer)):
            for i, block in enumerate(stack.resblocks):
                yield tower, i, block

    @contextmanager
    def adapted(self, deltas: Mapping[str, Delta], targets: tuple[str, ...]) -> Iterator[None]:
        """Inside, every place (see `places`) gives y + delta(x); afterwards all is as before."""
        places = self.places(targets)
        with holding({places[name]: delta for name, delta in deltas.items()}):
            yield


def _block(block: Any, x_BLW: Tensor, causal: bool) -> Tensor:
    x_BLW = x_BLW + block.ls_1(block.attn(block.ln_1(x_BLW), causal))
    y_BLW = x_BLW + block.ls_2(block.mlp(block.ln_2(x_BLW)))
    return cast(Tensor, block.parallel(x_BLW, y_BLW))


def unit(x: Tensor) -> Tensor:
    """Rows of length 1, in float32 whatever the precision of the forward pass."""
    return F.normalize(x.float(), dim=-1)
