"""open_clip's CLIP as a backbone: the file that knows the layout of its model.

The model is made by its class, from open_clip's file (plain_open_clip says what that leaves out).
`open_clip.create_model` makes the same one, but knows only the names in a table of its own, and
logs to the root logger that weights are missing.
"""

from collections.abc import Iterator
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from ..errors import BenchError
from .backbone import Backbone
from .blocks.activation import QuickGELU
from .blocks.attention import At, Attention, one_token_suffices, pooled
from .known import Architecture
from .plain_open_clip import part
from .sites import Linear, Place, Site, linear
from .tokenizer import Tokenize


@final
class OpenClip(Backbone):
    """A CLIP with two plain transformers (OpenAI's layout), as open_clip builds it."""

    library = "open_clip_torch"
    image_parts = ("visual",)

    def __init__(self, name: str, model: nn.Module, tokenize: Tokenize) -> None:
        """Take the model's parts, by its own names, and give its blocks their sites.

        Raises:
            BenchError: its towers are not plain.
        """
        _check_layout(name, model)
        source = cast(Any, model)
        super().__init__(
            name,
            size=int(source.visual.image_size[0]),
            mean=part("constants").OPENAI_DATASET_MEAN,
            std=part("constants").OPENAI_DATASET_STD,
            context=int(source.context_length),
            tokenize=tokenize,
        )
        self.visual = source.visual
        self.transformer = source.transformer
        self.token_embedding = cast(nn.Embedding, source.token_embedding)
        self.positional_embedding = cast(nn.Parameter, source.positional_embedding)
        self.ln_final = cast(nn.Module, source.ln_final)
        self.text_projection = cast(nn.Parameter, source.text_projection)
        self.logit_scale = cast(nn.Parameter, source.logit_scale)
        for _, _, block in self._blocks():
            block.attn = Attention(block.attn)
            block.mlp.c_fc, block.mlp.c_proj = Linear(block.mlp.c_fc), Linear(block.mlp.c_proj)
            if type(block.mlp.gelu) is part("transformer").QuickGELU:
                block.mlp.gelu = QuickGELU()
            block.parallel = Place()
        self._known = self.types()

    # -- towers

    def _embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Class token, patches, positions and the first norm."""
        return cast(Tensor, self.visual._embeds(pixels_B3HW))

    def _image_tower(self, x_BLW: Tensor) -> Tensor:
        x_B1W = self._tower(self.visual.transformer.resblocks, x_BLW, 0, causal=False)
        return linear(self.visual.ln_post(x_B1W[:, 0]), self.visual.proj.T)

    def _embed_text(self, tokens_ML: Tensor) -> Tensor:
        """Token and position embeddings."""
        x_MLW = self.token_embedding(tokens_ML)
        return cast(Tensor, x_MLW + self.positional_embedding[: x_MLW.shape[1]])

    def _text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        x_M1W = self._tower(self.transformer.resblocks, x_MLW, end_M, causal=True)
        return linear(self.ln_final(x_M1W[:, 0]), self.text_projection.T)

    def _tower(self, blocks: Any, x_BLW: Tensor, at: Tensor | int, causal: bool) -> Tensor:
        """All blocks, and of the last one's output that token of each item alone: (B, 1, W)."""
        *before, last = blocks
        for block in before:
            x_BLW = self._step(_block, block, x_BLW, causal)
        attn = last.attn
        if one_token_suffices(last, self._known, (attn.q, attn.k, attn.v)):
            return self._step(_block, last, x_BLW, causal, at=at)
        return pooled(self._step(_block, last, x_BLW, causal), at)

    # -- tokens

    def end_of_text(self, tokens_ML: Tensor) -> Tensor:
        """Position (M,) of the end-of-text token: it has the highest id of the vocabulary."""
        return tokens_ML.argmax(dim=-1)

    @property
    def words(self) -> Tensor:
        """Ids (V,) of all tokens that stand for a piece of a text: all but the two highest."""
        return torch.arange(self.token_embedding.num_embeddings - 2)

    @property
    def frame(self) -> tuple[int, int]:
        """Ids of the start and of the end token: the two highest."""
        count = self.token_embedding.num_embeddings
        return count - 2, count - 1

    # -- sizes, weights and sites

    @property
    def dim(self) -> int:
        """D, the length of an embedding."""
        return int(self.text_projection.shape[1])

    @property
    def widths(self) -> tuple[int, int]:
        """W of the image tower and of the text tower."""
        return int(self.visual.proj.shape[0]), int(self.text_projection.shape[0])

    def _patches(self) -> nn.Module:
        return cast(nn.Module, self.visual.conv1)

    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        for tower, stack in (("image", self.visual.transformer), ("text", self.transformer)):
            for i, block in enumerate(stack.resblocks):
                yield tower, i, block

    def _maps(self, block: Any) -> dict[str, Site]:
        attn, mlp = block.attn, block.mlp
        here = {"attn.q": attn.q, "attn.k": attn.k, "attn.v": attn.v}
        here |= {"attn.out_proj": attn.out_proj.site}
        return here | {"mlp.c_fc": mlp.c_fc.site, "mlp.c_proj": mlp.c_proj.site}


def _block(block: Any, x_BLW: Tensor, causal: bool, at: At = None) -> Tensor:
    changed = block.ls_1(block.attn(block.ln_1(x_BLW), causal, at))
    x_BLW = changed + pooled(x_BLW, at)
    y_BLW = x_BLW + block.ls_2(block.mlp(block.ln_2(x_BLW)))
    return cast(Tensor, block.parallel(x_BLW, y_BLW))


def _check_layout(name: str, model: Any) -> None:
    """What was built must be what `known.check_layout` read from the config."""
    visual = getattr(model, "visual", None)
    towers = [getattr(m, "transformer", None) for m in (visual, model)]
    blocks = [b for t in towers for b in getattr(t, "resblocks", [None])]
    plain = (
        all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
        and getattr(visual, "pool_type", "") == "tok"
        and getattr(visual, "attn_pool", None) is None
        # All values are then in the state dict: loading leaves none as memory happened to be.
        and all(not list(t.buffers()) for t in (visual, *towers) if t is not None)
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


def build(model: Architecture, tokenize: Tokenize) -> OpenClip:
    """The towers with random weights, from torch's generator of the CPU.

    Args:
        model: what is to be built.
        tokenize: its tokenizer.

    Raises:
        BenchError: its towers are not plain.
    """
    config = dict(model.about)
    own_text = config.pop("custom_text", False)
    made = getattr(part("model"), "CustomTextCLIP" if own_text else "CLIP")(**config)
    return OpenClip(model.name, made, tokenize)
