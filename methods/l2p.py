"""L2P, Learning to Prompt (Wang et al., CVPR 2022, sections 4.1 to 4.3), for both towers of CLIP.

A pool of P prompts, each of L vectors, and P keys. The query q of an item is its embedding by the
frozen backbone; the K prompts whose keys are nearest, by cosine, are put among the item's tokens
before the first block. The backbone is frozen, pools and keys are trained. With gamma the cosine
of a query and a key that it chose,

    loss = InfoNCE + key_coeff * sum over towers of (1 - mean of gamma over items and choices).

(P, K are the paper's M, N.) Official code: google-research/l2p, JH-LEE-KR/l2p-pytorch.

The paper prompts a supervised image transformer; here differs:
- One pool per tower. The query is the projected embedding, which the cache has; the feature of
  the class token before the projection is not there, and is not offered.
- Prompts stand after the class token and, in texts, after the start token (in CLIP under the causal
  mask). They have no positional embedding, as in the authors' code. They come after the norm that
  a tower has before its blocks (CLIP's for images, BLIP's for texts), and the embedding is read
  where it ever is; the official code classifies the mean of the prompts' outputs.
- `text_room=extend`: every token keeps the position of its place in the caption, as every patch
  keeps its own, and nothing is cut: a caption of 77 tokens and 25 prompt vectors are 102 places.
  `truncate` is the other convention (CoOp's): tokens take the position of the place where they
  stand, so a caption is cut to what the prompts leave of the context, its end token put back.
- Keys are chosen for each item, at training and at test. The official default, one vote per
  batch, tells at test which task the batch is from; it is not offered. At test all P prompts can
  be chosen, with `use_prompt_mask` also those that no task has trained yet (as in official code).
- The pull on the keys is a mean over the K choices. Official code sums: its coefficient 0.1 with
  K = 5 is 0.5 here. Keys have no other gradient, so that AdamW all but cancels the coefficient.
- AdamW with the suite's warm-up and cosine and a peak lr of 1e-3, instead of Adam at a constant
  lr (0.03 * batch / 256 in l2p-pytorch, which is 1.9e-3 at its batch of 16).

Cost: one pass of the towers over K * L more tokens, forward and backward; queries are cached.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.api import (
    Backbone,
    Batch,
    Config,
    Content,
    Images,
    Method,
    ParamGroup,
    Part,
    Task,
    Texts,
    Tools,
    matching,
    require,
    setting,
    told_by_values,
    unit,
)

_Items = TypeVar("_Items", Images, Texts)


@dataclass(frozen=True)
class L2PConfig(Config):
    """Defaults: the paper's, as l2p-pytorch has them for CIFAR-100, unless said otherwise."""

    lr: float | None = setting(
        1e-3, paper="0.03 * batch / 256, constant (l2p-pytorch)",
        why="that is 1.9e-3 at its batch of 16; here is a warm-up and a cosine",
    )  # fmt: skip
    weight_decay: float | None = setting(0.0, source="both official codes")
    pool_size: int = setting(10, source="l2p-pytorch, CIFAR-100")  # P
    top_k: int = setting(5, source="l2p-pytorch, CIFAR-100")  # K
    prompt_length: int = setting(5, source="l2p-pytorch, CIFAR-100")  # L
    key_coeff: float = setting(  # lambda
        0.5, source="l2p-pytorch, CIFAR-100: 0.1 for each of 5 choices"
    )
    towers: Literal["both", "vision"] = setting(  # "vision": texts are the frozen backbone's
        "both", paper="vision", why="the paper has no texts; here captions are to be learned too"
    )
    text_room: Literal["extend", "truncate"] = setting(  # where a text's prompts go
        "extend", why="the paper has no texts; so none is cut"
    )
    # Task t trains prompts t K to (t + 1) K, while there are some
    use_prompt_mask: bool = setting(False, source="l2p-pytorch, CIFAR-100")

    def __post_init__(self) -> None:
        """Values that would run and mean nothing are refused."""
        super().__post_init__()
        require(
            self.towers == "both" or self.text_room == "extend",
            "no text_room where texts have no prompts",
            f"text_room={self.text_room}",
            "leave it out",
        )
        fits = 1 <= self.top_k <= self.pool_size
        require(self.prompt_length >= 1, "prompt_length >= 1", self.prompt_length)
        require(fits, "1 <= top_k <= pool_size", f"{self.top_k} and {self.pool_size}")
        require(self.key_coeff >= 0, "key_coeff >= 0", self.key_coeff)


class Pool(nn.Module):
    """Prompts (P, L, W) and their keys (P, D).

    Both start uniform: prompts in [0, 0.01) as in the authors' code, which disturb a trained tower
    least, keys in +-1 as in l2p-pytorch (of a key only the direction counts).
    """

    def __init__(self, shape_PLW: tuple[int, int, int], dim: int, seed: torch.Generator) -> None:
        super().__init__()
        prompt_PLW = torch.empty(shape_PLW).uniform_(0, 0.01, generator=seed)
        key_PD = torch.empty(shape_PLW[0], dim).uniform_(-1, 1, generator=seed)
        self.prompt_PLW, self.key_PD = nn.Parameter(prompt_PLW), nn.Parameter(key_PD)

    def cosines(self, query_BD: Tensor) -> Tensor:
        """Unit queries -> cosine with every key (B, P), float32.

        Computed in float64 and rounded once, so that no item's choice turns on the size of the
        batch that it is in.
        """
        return (query_BD.double() @ unit(self.key_PD).double().T).float()

    def gather(self, index_BK: Tensor) -> Tensor:
        """The chosen prompts, best first -> (B, K L, W)."""
        rows_BKX = F.embedding(index_BK, self.prompt_PLW.flatten(1))  # its backward is repeatable
        return rows_BKX.view(len(index_BK), -1, self.prompt_PLW.shape[2])


class L2P(Method[L2PConfig]):
    """A pool of prompts per tower, chosen by the frozen embedding of the item."""

    label = "L2P"
    paper = "Wang et al., Learning to prompt for continual learning, CVPR 2022"
    at_once = 4096  # items to choose for together; their rows are from the store
    variants = {
        "vision": {"towers": "vision"},  # prompts for images alone, as in the paper
        "truncate": {"text_room": "truncate"},
        "mask": {"use_prompt_mask": True, "pool_size": 35},  # prompts of their own for 7 tasks
    }

    def __init__(self, clip: Backbone, config: L2PConfig, tools: Tools) -> None:
        super().__init__(clip, config, tools)
        c, both = config, config.towers == "both"
        added = c.top_k * c.prompt_length
        room = clip.context - 3  # beside start, end and a token of the caption
        require(
            not both or c.text_room == "extend" or added <= room,
            f"top_k * prompt_length of at most {room}, so that of the {clip.context} places "
            "start, end and a token of the caption are left",
            added,
            "lower one of them, or give --hp text_room=extend",
        )
        towers = dict(zip(("image", "text"), clip.widths, strict=True))
        self.pools = nn.ModuleDict(
            {
                name: Pool((c.pool_size, c.prompt_length, width), clip.dim, tools.generator(name))
                for name, width in towers.items()
                if both or name == "image"
            }
        )
        self.content = Content()
        self.slots: range | None = None  # prompts of the current task's own

    # -- training

    def before_task(self, task: Task) -> None:
        """With the mask, the task's own prompts; once they are used up, all are open again."""
        k = self.config.top_k
        fits = self.config.use_prompt_mask and (task.index + 1) * k <= self.config.pool_size
        self.slots = range(task.index * k, (task.index + 1) * k) if fits else None

    def trainable(self) -> list[ParamGroup]:
        """Pools and keys; the backbone is frozen."""
        return [ParamGroup(list(self.pools.parameters()))]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE, and the pull of the chosen keys towards the queries."""
        pulls = []
        for name, items in (("image", batch.images), ("text", batch.texts)):
            if name in self.pools:
                cosine_BP, index_BK = self._choose(name, items)
                pulls.append(1 - cosine_BP.gather(1, index_BK).mean())
        keys = self.config.key_coeff * torch.stack(pulls).sum()
        return {"match": matching(self.features(batch)), "keys": keys}

    def _choose(self, name: str, items: Images | Texts) -> tuple[Tensor, Tensor]:
        """Cosines with all keys (B, P), and the K prompts of each item, best first (B, K)."""
        pool: Any = self.pools[name]
        cosine_BP = pool.cosines(items.frozen())
        if self.training and self.slots is not None:
            own_K = torch.tensor(self.slots, device=cosine_BP.device)
            return cosine_BP, own_K.expand(len(items), -1)
        # Stable: of equal cosines the first comes first, on every device.
        order_BP = cosine_BP.detach().argsort(dim=1, descending=True, stable=True)
        return cosine_BP, order_BP[:, : self.config.top_k]

    # -- both towers, in training and at test

    def encode_image(self, images: Images) -> Tensor:
        """Each image with the prompts of its own choice after the class token."""
        return self._kept("image", images, self._image)

    def encode_text(self, texts: Texts) -> Tensor:
        """Each text with the prompts of its own choice after the start token."""
        return self._kept("text", texts, self._text) if "text" in self.pools else texts.frozen()

    def _kept(self, name: str, items: _Items, encode: Callable[[_Items], Tensor]) -> Tensor:
        """At test from the store, by the values of the prompts that each item has chosen."""
        if self.training:
            return encode(items)
        pool: Any = self.pools[name]
        index_BK = self._choose(name, items)[1].cpu()
        given_BK = told_by_values(pool.prompt_PLW)[index_BK].flatten(1)
        about = f"{name} {self.config.text_room} {self.config.prompt_length}"
        part = Part(about, {}, self.content)
        # The pieces choose again, and alike: what is given tells the values of their choice.
        return items.cached(part, lambda some, _: encode(some), given_BK)

    def _image(self, images: Images) -> Tensor:
        x_BLW = self.clip.embed_image(images.pixels_B3HW)
        prompt_BLW = self._prompts("image", images)
        x_BLW = torch.cat([x_BLW[:, :1], prompt_BLW, x_BLW[:, 1:]], dim=1)
        return unit(self.clip.image_tower(x_BLW))

    def _text(self, texts: Texts) -> Tensor:
        prompt_MLW = self._prompts("text", texts)
        added, tokens_ML = prompt_MLW.shape[1], texts.tokens_ML
        end_M = self.clip.end_of_text(tokens_ML)
        if self.config.text_room == "truncate":
            tokens_ML = make_room(tokens_ML, end_M, added)
            end_M, rest = self.clip.end_of_text(tokens_ML), added + 1
        else:
            end_M, rest = end_M + added, 1
        x_MLW = self.clip.embed_text(tokens_ML)
        x_MLW = torch.cat([x_MLW[:, :1], prompt_MLW, x_MLW[:, rest:]], dim=1)
        return unit(self.clip.text_tower(x_MLW, end_M))

    def _prompts(self, name: str, items: Images | Texts) -> Tensor:
        pool: Any = self.pools[name]
        rows: Tensor = pool.gather(self._choose(name, items)[1])
        return rows


def make_room(tokens_ML: Tensor, end_M: Tensor, added: int) -> Tensor:
    """Tokens with `added` empty places after the start token, as long as before.

    What no longer fits is cut, and the end token takes the last place. Every token's position is
    that of its new place.

    Args:
        tokens_ML: texts with start and end token, 0-padded; L is the tower's context.
        end_M: position of each end token.
        added: at most L - 2.
    """
    length = tokens_ML.shape[1]
    kept = tokens_ML[:, : length - added].clone()
    end_token_M = tokens_ML.gather(1, end_M[:, None])[:, 0]
    kept[:, -1] = torch.where(end_M >= kept.shape[1], end_token_M, kept[:, -1])
    empty = kept.new_zeros(len(kept), added)
    return torch.cat([kept[:, :1], empty, kept[:, 1:]], dim=1)
