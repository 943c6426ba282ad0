"""BLIP (Li et al., ICML 2022) as a backbone: the file that knows transformers and its layout.

Only what image-text contrast needs is kept: a ViT, a BERT without cross-attention, and a linear
map of the class token of each,

    image: unit(vision_proj(post_layernorm(x)[0])),   text: unit(text_proj(x[0])).

The matching head, the cross-attention and the decoder are dropped, so that numbers of parameters
are those of two towers, as in CLIP. Sites have the names of CLIP's. A block of the text tower has
its norms after each sum, so that what is added beside the MLP goes inside the second norm:
norm(x + MLP(x) + delta(x)). Padding is masked, so that texts can be cut at the batch's longest.

Differs from BLIP's own code (salesforce/BLIP):
- The temperature: transformers' port of the published weights has none. Here it is BLIP's initial
  one, 0.07 (models/blip_retrieval.py), and frozen, as every method's. No zero-shot rank depends on
  it; the losses of trained methods do.
- Images are resized by their shortest side and cropped, as for every backbone here; BLIP squashes
  the whole image to a square.
- The epsilon of the image tower's norms is the one in config.json beside the weights, 1e-5 where
  there is none, which is transformers'; BLIP's code has 1e-6.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval

from ..errors import BenchError
from .backbone import Backbone
from .blocks.attention import At, attend, one_token_suffices, packed, pooled
from .known import Architecture
from .sites import Linear, Place, Site, linear

TEMPERATURE = 0.07
SECTIONS = ("image_text_hidden_size", "vision_config", "text_config")  # of config.json
PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


@final
class Blip(Backbone):
    """A BLIP's two towers, as transformers builds them."""

    library = "transformers"
    image_parts = ("vision_model", "vision_proj")
    tokenize: "WordPieces"

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokenize: "WordPieces",
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Take the model's two towers, by its own names, and give their blocks their sites."""
        source = cast(Any, model)
        size = int(source.config.vision_config.image_size)
        super().__init__(
            name, size=size, mean=mean, std=std, context=tokenize.context, tokenize=tokenize
        )
        self.vision_model, self.text_encoder = source.vision_model, source.text_encoder
        self.vision_proj, self.text_proj = source.vision_proj, source.text_proj
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))
        for block in self.vision_model.encoder.layers:
            block.self_attn = PackedAttention(block.self_attn)
            block.mlp.fc1, block.mlp.fc2 = Linear(block.mlp.fc1), Linear(block.mlp.fc2)
            block.parallel = Place()
        for block in self.text_encoder.encoder.layer:
            own = block.attention.self
            own.query, own.key, own.value = Linear(own.query), Linear(own.key), Linear(own.value)
            for part in (block.attention.output, block.intermediate, block.output):
                part.dense = Linear(part.dense)
            block.parallel = Place()
        self._known = self.types()

    # -- towers

    def _embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Class token, patches and positions; no norm comes before a block."""
        return cast(Tensor, self.vision_model.embeddings(pixels_B3HW))

    def _image_tower(self, x_BLW: Tensor) -> Tensor:
        *before, last = self.vision_model.encoder.layers
        for block in before:
            x_BLW = self._step(_image_block, block, x_BLW)
        own = last.self_attn
        one = 0 if one_token_suffices(last, self._known, (own.q, own.k, own.v)) else None
        x_BW = self.vision_model.post_layernorm(self._step(_image_block, last, x_BLW, at=one)[:, 0])
        return linear(x_BW, self.vision_proj.weight, self.vision_proj.bias)

    def _embed_text(self, tokens_ML: Tensor) -> Tensor:
        """Tokens and positions, after their norm."""
        return cast(Tensor, self.text_encoder.embeddings(input_ids=tokens_ML))

    def _text_tower(self, x_MLW: Tensor, end_M: Tensor) -> Tensor:
        places_L = torch.arange(x_MLW.shape[1], device=x_MLW.device)
        seen_M11L = (places_L <= end_M[:, None])[:, None, None]
        *before, last = self.text_encoder.encoder.layer
        for block in before:
            x_MLW = self._step(_text_block, block, x_MLW, seen_M11L)
        own = last.attention.self
        whole = (own.query.site, own.key.site, own.value.site)
        one = 0 if one_token_suffices(last, self._known, whole) else None
        x_MW = self._step(_text_block, last, x_MLW, seen_M11L, at=one)[:, 0]
        return linear(x_MW, self.text_proj.weight, self.text_proj.bias)

    # -- tokens

    def end_of_text(self, tokens_ML: Tensor) -> Tensor:
        """Position (M,) of the last token that is no padding (id 0)."""
        places_L = torch.arange(tokens_ML.shape[1], device=tokens_ML.device)
        return (places_L * (tokens_ML != 0)).amax(dim=-1)

    @property
    def words(self) -> Tensor:
        """Ids (V,) of all tokens that stand for a piece of a text, so none in square brackets."""
        return self.tokenize.words_V

    @property
    def frame(self) -> tuple[int, int]:
        """Ids of the start and of the end token."""
        return self.tokenize.frame

    # -- sizes, weights and sites

    @property
    def dim(self) -> int:
        """D, the length of an embedding."""
        return int(self.text_proj.out_features)

    @property
    def widths(self) -> tuple[int, int]:
        """W of the image tower and of the text tower."""
        return int(self.vision_proj.in_features), int(self.text_proj.in_features)

    def _patches(self) -> nn.Module:
        return cast(nn.Module, self.vision_model.embeddings.patch_embedding)

    def _maps(self, block: Any) -> dict[str, Site]:
        if hasattr(block, "self_attn"):
            attn, mlp = block.self_attn, block.mlp
            here = {"attn.q": attn.q, "attn.k": attn.k, "attn.v": attn.v}
            maps = (attn.projection, mlp.fc1, mlp.fc2)
        else:
            own, attn = block.attention.self, block.attention.output
            here = {"attn.q": own.query.site, "attn.k": own.key.site, "attn.v": own.value.site}
            maps = (attn.dense, block.intermediate.dense, block.output.dense)
        names = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
        return here | {name: part.site for name, part in zip(names, maps, strict=True)}

    def _blocks(self) -> Iterator[tuple[str, int, Any]]:
        image, text = self.vision_model.encoder.layers, self.text_encoder.encoder.layer
        for tower, blocks in (("image", image), ("text", text)):
            for i, block in enumerate(blocks):
                yield tower, i, block


class PackedAttention(nn.Module):
    """Attention of the image tower with its own state-dict keys, and sites q, k, v, out_proj."""

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.heads, width = int(like.num_heads), int(like.embed_dim)
        self.qkv, self.projection = like.qkv, Linear(like.projection)
        self.q, self.k, self.v = (
            Site(self.qkv, ("weight", "bias"), slice(i * width, (i + 1) * width)) for i in range(3)
        )

    def forward(self, x_BLW: Tensor, at: At = None) -> Tensor:
        """Self-attention over L tokens, of all of them or of the one at that place."""
        qkv = packed(x_BLW, (self.q, self.k, self.v), self.qkv.weight, self.qkv.bias)
        return cast(Tensor, self.projection(pooled(attend(qkv, self.heads), at)))


def _image_block(block: Any, x_BLW: Tensor, at: At = None) -> Tensor:
    changed = block.self_attn(block.layer_norm1(x_BLW), at)
    x_BLW = changed + pooled(x_BLW, at)
    y_BLW = x_BLW + block.mlp(block.layer_norm2(x_BLW))
    return cast(Tensor, block.parallel(x_BLW, y_BLW))


def _text_block(block: Any, x_MLW: Tensor, seen_M11L: Tensor, at: At = None) -> Tensor:
    own, after = block.attention.self, block.attention.output
    qkv = (own.query(x_MLW), own.key(x_MLW), own.value(x_MLW))
    seen_MLW = pooled(attend(qkv, own.num_attention_heads, seen=seen_M11L), at)
    x_MLW = after.LayerNorm(pooled(x_MLW, at) + after.dense(seen_MLW))
    y_MLW = x_MLW + block.output.dense(block.intermediate(x_MLW))
    return cast(Tensor, block.output.LayerNorm(block.parallel(x_MLW, y_MLW)))


class WordPieces:
    """BERT's uncased word pieces, by a vocabulary of one token per line.

    Attributes:
        context: length of all texts. words_V: ids of all tokens that are not in square brackets.
        frame: ids of start and end.
    """

    def __init__(self, vocabulary: str, context: int, most: int) -> None:
        """Read a vocabulary.

        Args:
            vocabulary: the text of vocab.txt.
            context: tokens of a text, start and end among them.
            most: number of tokens that the model knows.

        Raises:
            BenchError: it is no vocabulary of BERT's, or has more tokens.
        """
        lines = vocabulary.removesuffix("\n").split("\n")  # not at the separators of Unicode
        ids = {token.rstrip("\r"): i for i, token in enumerate(lines)}
        known = ids.get(PAD) == 0 and {UNKNOWN, START, END} <= ids.keys()
        if not known or len(lines) > most or len(ids) < len(lines):
            raise BenchError(
                f"vocab.txt, a vocabulary of BERT's: up to {most} lines, {PAD} the first of them",
                f"{len(lines)} lines, {len(ids)} different ones, the first '{lines[0][:20]}'",
                "give the file that was published with the weights",
                code=4,
            )
        self.context, self.frame = context, (ids[START], ids[END])
        self.words_V = torch.tensor([i for t, i in ids.items() if not _marks(t)])
        self._encode: Any = BertTokenizer(vocab=ids, model_max_length=context)

    def __deepcopy__(self, memo: object) -> "WordPieces":
        return self  # immutable, and large: a copied model shares it

    def __call__(self, texts: list[str]) -> Tensor:
        """Texts -> (M, context) int64; long texts are cut and the end token put back."""
        found = self._encode(texts, padding="max_length", truncation=True, max_length=self.context)
        return torch.tensor(found["input_ids"])


def _marks(token: str) -> bool:
    return len(token) > 2 and token.startswith("[") and token.endswith("]")


def build(model: Architecture, tokenize: WordPieces, config: Mapping[str, Any]) -> Blip:
    """The towers with random weights, from torch's generator of the CPU.

    Args:
        model: what is to be built.
        tokenize: its tokenizer.
        config: in transformers' words, the model's own or one that agrees with it.
    """
    made = read_config(config)
    made.text_config.is_decoder = False  # no cross-attention
    # transformers' own default, 1e-10, makes all random image towers the same.
    made.vision_config.initializer_range = made.text_config.initializer_range
    mean, std = tuple(model.about["mean"]), tuple(model.about["std"])
    return Blip(model.name, cast(nn.Module, BlipForImageTextRetrieval(made)), tokenize, mean, std)


def read_config(config: Mapping[str, Any]) -> Any:
    """What transformers makes of a config.json, all defaults filled in.

    Raises:
        BenchError: it makes nothing of it.
    """
    try:
        return BlipConfig(**{k: config[k] for k in SECTIONS if k in config})
    except Exception as e:
        raise BenchError(
            "a config.json of a BLIP", f"{type(e).__name__}", "give the published one", code=4
        ) from e
