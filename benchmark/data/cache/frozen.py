"""Features of the frozen backbone, computed once per (weights, preprocessing, item, precision).

Routing, prototypes, queries and the zero-shot scores all read them here, for every method, stage
and order. The key names everything that the numbers derive from; the fingerprint of the weights is
computed from the tensors, so that a changed file never finds an old entry.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...backbones.backbone import Backbone, Tower
from ...common.report import SILENT, Report
from ..device.moved import constant, moved
from ..pixels import PixelRows, Pixels
from .decoded import transform_id
from .embeddings import PRISTINE, Embeddings
from .pieces import in_pieces
from .plain import contents

TOWERS: tuple[Tower, ...] = ("image", "text")


class FrozenFeatures:
    """Unit rows of the untouched backbone, from memory, disk, or a pass of the model.

    Args:
        make_clip: gives a pristine backbone on its device; called when it is needed first.
        about: name, precision, device and weights fingerprint of that backbone.
        size: image side in pixels.
        root: cache folder.
        code: names the code that other encoders are made by.
        report: is told how far a table is, and of a damaged file that is made again.
        digests: what `plain.contents` says of that backbone's towers, where it is known; else it
            is made to ask.

    Attributes:
        store: where rows are kept, these and those of other encoders.
    """

    def __init__(
        self,
        make_clip: Callable[[], Backbone],
        about: tuple[str, ...],
        size: int,
        root: Path,
        code: str = "",
        report: Report = SILENT,
        digests: Mapping[Tower, str | None] | None = None,
    ) -> None:
        self._make, self._report = make_clip, report
        self._clip: Backbone | None = None
        self._digests = digests
        self.store = Embeddings(about, transform_id(size), code, root, report)

    def is_pristine(self, tower: Tower, digest: str | None) -> bool:
        """Whether a tower of these contents (see `plain.contents`) is the untouched backbone's."""
        if self._digests is None:
            self._digests = {name: contents(self._pristine(), name) for name in TOWERS}
        return digest is not None and digest == self._digests[tower]

    def images(self, pixels: PixelRows, key: str) -> Tensor:
        """Pixels (N, S, S, 3) uint8 with their sha256 -> (N, D) float32 on the CPU."""
        return self._whole(len(pixels), lambda rows: self.some_images(pixels, key, rows))

    def texts(self, tokens_ML: Tensor, key: str) -> Tensor:
        """Tokens with their sha256 -> (M, D) float32 on the CPU."""
        return self._whole(len(tokens_ML), lambda rows: self.some_texts(tokens_ML, key, rows))

    def some_images(self, pixels: PixelRows, key: str, rows: Tensor) -> Tensor:
        """As `images`, of some rows alone, (B, D)."""

        def encode(places: Tensor) -> Tensor:
            clip = self._pristine()
            return clip.image(normalise(pixels[rows[places].numpy()], clip))

        return self._rows(self.store.images(pixels, key, rows), encode)

    def some_texts(self, tokens_ML: Tensor, key: str, rows: Tensor) -> Tensor:
        """As `texts`, of some rows alone, (B, D)."""

        def encode(places: Tensor) -> Tensor:
            clip = self._pristine()
            return clip.text(on_device(tokens_ML[rows[places]], clip))

        def lengths(places: Tensor) -> Tensor:
            return text_lengths(self._pristine(), tokens_ML[rows[places]])

        return self._rows(self.store.texts(tokens_ML, key, rows), encode, lengths)

    @torch.no_grad()
    def of_pixels(self, places: Tensor, pixels: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows (B, D) of images that are in no set, which are computed and not kept.

        Args:
            places: int64 (B,), on the CPU.
            pixels: some of the places -> their pixels, normalised and on the device.
        """
        if not len(places):
            return torch.empty(0, self._pristine().dim)
        return in_pieces(places, lambda some: self._pristine().image(pixels(some)), None)

    @torch.no_grad()
    def _rows(
        self,
        item_B: Tensor,
        encode: Callable[[Tensor], Tensor],
        lengths: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        if not len(item_B):
            return torch.empty(0, self._pristine().dim)
        return self.store.rows(PRISTINE, item_B, None, encode, lengths)

    def _whole(self, n: int, some: Callable[[Tensor], Tensor]) -> Tensor:
        rows = some(torch.arange(n))
        self.store.flush()
        return rows

    def _pristine(self) -> Backbone:
        if self._clip is None:
            with torch.random.fork_rng():  # building a model draws; a training step must not see it
                self._clip = self._make().eval()
        return self._clip


def normalise(pixels_BHW3: Pixels, clip: Backbone) -> Tensor:
    """uint8 (B, S, S, 3) -> float32 (B, 3, S, S) on the backbone's device, mean and std applied."""
    return normalised(moved(torch.from_numpy(pixels_BHW3), clip.logit_scale.device), clip)


def normalised(pixels_BHW3: Tensor, clip: Backbone) -> Tensor:
    """As `normalise`, of pixels that are on the device."""
    return standardised(pixels_BHW3.permute(0, 3, 1, 2).float(), clip)


def standardised(pixels_B3HW: Tensor, clip: Backbone) -> Tensor:
    """Float32 in [0, 255] -> the same tensor with mean and std applied."""
    mean, std = (constant(v, pixels_B3HW.device)[:, None, None] for v in (clip.mean, clip.std))
    return pixels_B3HW.div_(255).sub_(mean).div_(std)


def on_device(tokens_ML: Tensor, clip: Backbone) -> Tensor:
    """Tokens of the host on the backbone's device, of which it knows the longest text."""
    there_ML = moved(tokens_ML, clip.logit_scale.device)
    if len(tokens_ML):
        clip.note_longest(there_ML, int(clip.end_of_text(tokens_ML).max()) + 1)
    return there_ML


def text_lengths(clip: Backbone, tokens_ML: Tensor) -> Tensor:
    """The number of tokens (M,) that a tower takes of each text, on the CPU."""
    own_M = clip.end_of_text(tokens_ML).cpu() + 1
    return torch.tensor([clip.text_length(n) for n in range(clip.context + 1)])[own_M]
