"""Features of the frozen backbone, computed once per (weights, preprocessing, split, precision).

Routing, prototypes, queries and the zero-shot scores all read them here, for every method, stage
and order. The key names everything that the numbers derive from; the fingerprint of the weights is
computed from the tensors, so that a changed file never finds an old entry.

Other encoders that never change (the backbone with one frozen adapter) have tables of the same
kind. Every table is computed for its whole split in fixed batches, so that a row has the same bits
whichever batch asked for it first.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...backbones.backbone import Backbone
from ...common.digests import digest
from ...common.report import SILENT, Report
from ..pixels import PixelRows, Pixels
from .arrays import FEATURES
from .decoded import transform_id

VERSION = "1"  # of the encoding below
BATCH = 256
HELD = 2**30  # bytes of tables of other encoders that stay in memory


class FrozenFeatures:
    """Unit rows of the untouched backbone, from memory, disk, or one pass of the model.

    Args:
        make_clip: gives a pristine backbone on its device; called on the first miss only.
        about: name, precision, device and weights fingerprint of that backbone.
        size: image side in pixels.
        root: cache folder.
        code: names the code that other encoders are made by.
        report: is told how far a table is.
    """

    def __init__(
        self,
        make_clip: Callable[[], Backbone],
        about: tuple[str, ...],
        size: int,
        root: Path,
        code: str = "",
        report: Report = SILENT,
    ) -> None:
        self._make, self._about, self._root, self._code = make_clip, about, root, code
        self._report = report
        self._transform = transform_id(size)
        self._clip: Backbone | None = None
        self._rows: dict[str, Tensor] = {}
        self._encoded: OrderedDict[str, Tensor] = OrderedDict()

    def images(self, pixels: PixelRows, key: str) -> Tensor:
        """Pixels (N, S, S, 3) uint8 with their sha256 -> (N, D) float32 on the CPU."""
        return self._get(
            digest(["image", self._transform, key]),
            len(pixels),
            lambda clip, rows: clip.image(normalise(pixels[rows.numpy()], clip)),
        )

    def texts(self, tokens_ML: Tensor, key: str) -> Tensor:
        """Tokens with their sha256 -> (M, D) float32 on the CPU."""
        return self._get(
            digest(["text", key]),
            len(tokens_ML),
            lambda clip, rows: clip.text(tokens_ML[rows].to(clip.logit_scale.device)),
        )

    def encoded(
        self, kind: str, key: str, name: str, n: int, encode: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Unit rows (N, D) of a split by another encoder that never changes.

        Args:
            kind: "image" or "text".
            key: sha256 of the split's pixels or tokens.
            name: tells the encoder from all others of the same code and pretrained weights.
            n: N.
            encode: rows, int64, at most 256 -> their embeddings.
        """
        whole = digest(["encoded", self._code, kind, self._transform, key, name])
        if whole not in self._encoded:
            self._encoded[whole] = self._kept(whole, n, encode)
            while len(self._encoded) > 1 and sum(t.nbytes for t in self._encoded.values()) > HELD:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(whole)
        return self._encoded[whole]

    def _get(self, key: str, n: int, encode: Callable[[Backbone, Tensor], Tensor]) -> Tensor:
        if key not in self._rows:
            self._rows[key] = self._kept(key, n, lambda rows: encode(self._pristine(), rows))
        return self._rows[key]

    def _kept(self, key: str, n: int, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """The table of that key, from the disk or computed now."""
        key = digest([VERSION, torch.__version__, *self._about, key])[:32]
        path = FEATURES.path(self._root, key)
        found = FEATURES.load(path)
        if found is not None and len(found[0]) == n:
            # Copied to where torch would have put them: a product's last bits may depend on that.
            return torch.from_numpy(found[0]).clone()
        pieces = []
        with torch.no_grad(), self._report.phase("frozen features", n, "items") as advance:
            for some in torch.arange(n).split(BATCH):
                pieces.append(encode(some).cpu())
                advance(len(some))
        rows = torch.cat(pieces)
        FEATURES.save(path, rows.numpy())
        return rows

    def _pristine(self) -> Backbone:
        if self._clip is None:
            with torch.random.fork_rng():  # building a model draws; a training step must not see it
                self._clip = self._make()
        return self._clip


def normalise(pixels_BHW3: Pixels, clip: Backbone) -> Tensor:
    """uint8 (B, S, S, 3) -> float32 (B, 3, S, S) on the backbone's device, mean and std applied."""
    device = clip.logit_scale.device
    x = torch.from_numpy(pixels_BHW3).to(device).permute(0, 3, 1, 2)
    mean = torch.tensor(clip.mean, device=device)[:, None, None]
    std = torch.tensor(clip.std, device=device)[:, None, None]
    return (x.float() / 255 - mean) / std


def contents(clip: Backbone) -> str:
    """Tells values of a backbone's parameters from earlier ones, cheaply enough for every batch.

    Sums of their bits, taken on the device: a step of an optimiser changes them, though it need
    not count a version. No `common.digests` of tensors, which copies every byte to the CPU: this
    one tells a model from itself some steps ago, and is the identity of nothing on the hub.
    """
    sums = [_bits(p).sum(dtype=torch.int64) for p in clip.parameters()]
    return digest([repr(torch.stack(sums).tolist())])


def _bits(p: Tensor) -> Tensor:
    return p.detach().contiguous().view(torch.int32 if p.element_size() == 4 else torch.int16)
