"""From loaded splits to what a method sees: images, texts and classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..backbones.backbone import Backbone
from ..protocol.types import Classes, Images, Keyed, Log, Partner, Texts, _no_log
from .cache.frozen import FrozenFeatures, contents, normalise
from .tensors import LabelTensors, PairTensors, Tensors


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
        self,
        data: Tensors,
        rows: Tensor,
        note: Log = _no_log,
        task: int | None = None,
        known: bool = False,
        partner: Partner | None = None,
    ) -> Images:
        """The images at `rows` of a loaded split.

        Args:
            data: the split.
            rows: int64, on the CPU.
            note: see `types.Images`.
            task: likewise.
            known: whether `Images.known` may be asked.
            partner: see `types.Images`.
        """

        def frozen() -> Tensor:
            return self.frozen.images(data.pixels, data.pixel_key)[rows].to(self.device)

        def lookup(part: Keyed, encode: Callable[[Any], Tensor]) -> Tensor:
            def piece(some: Tensor) -> Tensor:
                return encode(self.images(data, some))

            table_ND = self.frozen.known(
                "image", data.pixel_key, self._name(part), len(data), piece
            )
            return table_ND[rows].to(self.device)

        pixels = normalise(data.pixels[rows.numpy()], self.clip)
        return Images(pixels, frozen, note, task, lookup if known else None, partner)

    def texts(
        self,
        tokens_ML: Tensor,
        key: str,
        rows: Tensor,
        note: Log = _no_log,
        task: int | None = None,
        known: bool = False,
        partner: Partner | None = None,
    ) -> Texts:
        """The texts at `rows` of a token table whose sha256 is `key`; the rest as in `images`."""

        def frozen() -> Tensor:
            return self.frozen.texts(tokens_ML, key)[rows].to(self.device)

        def lookup(part: Keyed, encode: Callable[[Any], Tensor]) -> Tensor:
            def piece(some: Tensor) -> Tensor:
                return encode(self.texts(tokens_ML, key, some))

            table_MD = self.frozen.known("text", key, self._name(part), len(tokens_ML), piece)
            return table_MD[rows].to(self.device)

        tokens = tokens_ML[rows].to(self.device)
        return Texts(tokens, frozen, note, task, lookup if known else None, partner)

    def _name(self, part: Keyed) -> str:
        """Tells the backbone as it is now, with that part, from all others."""
        return f"{contents(self.clip)} {part.digest()}"

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
        note: Log = _no_log,
        task: int | None = None,
        learned: Sequence[int] | None = None,
        known: bool = False,
        partner: Partner | None = None,
    ) -> Classes:
        """The classes of one dataset or of several, in one list.

        Args:
            parts: the datasets.
            first_prompt_only: as in training.
            note: see `images`.
            task: likewise.
            learned: the learned task that each part is, -1 for none; None for -1 everywhere.
            known: see `images`.
            partner: likewise.
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
        texts = self.texts(tokens_ML, key, rows, note, task, known, partner)
        sizes = torch.tensor([len(part.names) for part in parts])
        task_C = torch.tensor(learned or [-1] * len(parts)).repeat_interleave(sizes)
        device = self.device
        return Classes(tuple(names), texts, torch.cat(owners).to(device), task_C.to(device))
