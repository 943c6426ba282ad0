"""From loaded splits to what a method sees: images, texts and classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..backbones.backbone import Backbone
from ..protocol.lookup import Lookup
from ..protocol.types import Classes, Context, Images, Keyed, Texts
from .cache.frozen import FrozenFeatures, contents, normalise
from .tensors import LabelTensors, PairTensors, Tensors

NOTHING = Context()  # what is known of training items beside them


@dataclass(frozen=True)
class Items:
    """Makes Images and Texts: pixels and tokens on the device, frozen features on request."""

    clip: Backbone
    frozen: FrozenFeatures

    @property
    def device(self) -> torch.device:
        """Where batches live."""
        return self.clip.logit_scale.device

    def images(
        self, data: Tensors, rows: Tensor, context: Context = NOTHING, cached: bool = False
    ) -> Images:
        """The images at `rows` of a loaded split.

        Args:
            data: the split.
            rows: int64, on the CPU.
            context: what the harness knows of test items beside them.
            cached: whether `Images.cached` is offered; it is for test items.
        """

        def frozen(rows: Tensor) -> Tensor:
            return self.frozen.images(data.pixels, data.pixel_key)[rows].to(self.device)

        def encoded(rows: Tensor, part: Keyed, encode: Callable[[Any], Tensor]) -> Tensor:
            def piece(some: Tensor) -> Tensor:
                return encode(self.images(data, some))

            table_ND = self._encoded("image", data.pixel_key, part, len(data), piece)
            return table_ND[rows].to(self.device)

        pixels = normalise(data.pixels[rows.numpy()], self.clip)
        context = replace(context, cached=Lookup(encoded, rows) if cached else None)
        return Images(pixels, Lookup(frozen, rows), context)

    def texts(
        self,
        tokens_ML: Tensor,
        key: str,
        rows: Tensor,
        context: Context = NOTHING,
        cached: bool = False,
    ) -> Texts:
        """The texts at `rows` of a token table whose sha256 is `key`; the rest as in `images`."""

        def frozen(rows: Tensor) -> Tensor:
            return self.frozen.texts(tokens_ML, key)[rows].to(self.device)

        def encoded(rows: Tensor, part: Keyed, encode: Callable[[Any], Tensor]) -> Tensor:
            def piece(some: Tensor) -> Tensor:
                return encode(self.texts(tokens_ML, key, some))

            table_MD = self._encoded("text", key, part, len(tokens_ML), piece)
            return table_MD[rows].to(self.device)

        tokens = tokens_ML[rows].to(self.device)
        context = replace(context, cached=Lookup(encoded, rows) if cached else None)
        return Texts(tokens, Lookup(frozen, rows), context)

    def _encoded(
        self, kind: str, key: str, part: Keyed, n: int, encode: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Unit rows (N, D) of a split by the backbone as it is now, with that part."""
        name = f"{contents(self.clip)} {part.digest()}"
        return self.frozen.encoded(kind, key, name, n, encode)

    def captions_of(self, data: PairTensors, rows: Tensor) -> Tensor:
        """For images, the mean (B, D) of the frozen unit rows of their captions."""
        first_B, end_B = data.first_N[rows].tolist(), data.first_N[rows + 1].tolist()
        captions = torch.cat([torch.arange(a, b) for a, b in zip(first_B, end_B, strict=True)])
        text_MD = self.frozen.texts(data.tokens_ML, data.text_key)[captions]
        counts_B = data.first_N[rows + 1] - data.first_N[rows]
        owner_M = torch.arange(len(rows)).repeat_interleave(counts_B)
        sum_BD = torch.zeros(len(rows), text_MD.shape[1]).index_add(0, owner_M, text_MD)
        return (sum_BD / counts_B[:, None]).to(self.device)

    def image_of(self, data: PairTensors, rows: Tensor) -> Tensor:
        """For captions, the frozen unit rows (B, D) of their images."""
        table_ND = self.frozen.images(data.pixels, data.pixel_key)
        return table_ND[data.owner_M[rows]].to(self.device)

    def classes(
        self,
        parts: Sequence[LabelTensors],
        first_prompt_only: bool = False,
        learned: Sequence[int] | None = None,
        context: Context = NOTHING,
        cached: bool = False,
    ) -> Classes:
        """The classes of one dataset or of several, in one list.

        Args:
            parts: the datasets.
            first_prompt_only: whether each class has one prompt alone, as in training.
            learned: the index of the learned task for each dataset, -1 where it is none; None
                for -1 everywhere.
            context: of the prompts, see `images`.
            cached: see `images`.
        """
        names: list[str] = []
        owners, prompts = [], []
        for part in parts:
            table_CPL = part.prompts_CPL[:, :1] if first_prompt_only else part.prompts_CPL
            c = torch.arange(len(part.names)) + len(names)
            owners.append(c.repeat_interleave(table_CPL.shape[1]))
            prompts.append(table_CPL.flatten(0, 1))
            names += part.names
        tokens_ML = torch.cat(prompts)
        key = "+".join([str(first_prompt_only), *(p.text_key for p in parts)])
        rows = torch.arange(len(tokens_ML))
        texts = self.texts(tokens_ML, key, rows, context, cached)
        sizes = torch.tensor([len(part.names) for part in parts])
        task_C = torch.tensor(learned or [-1] * len(parts)).repeat_interleave(sizes)
        device = self.device
        return Classes(tuple(names), texts, torch.cat(owners).to(device), task_C.to(device))
