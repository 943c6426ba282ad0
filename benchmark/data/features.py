"""Features of the frozen backbone, computed once per (weights, preprocessing, split, precision).

Routing, prototypes, queries and the zero-shot row all read them here, whatever the method, the
stage or the order. The key names everything that the numbers derive from; the fingerprint of the
weights is computed from the tensors, so a changed file can never hit an old entry.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..clip import Clip
from ..files import atomic
from .cache import transform_id
from .pixels import PixelRows, Pixels
from .split import digest

VERSION = "1"  # of the encoding below
BATCH = 256


class FrozenFeatures:
    """Unit rows of the untouched backbone, from memory, disk, or one pass of the model.

    Args:
        make_clip: gives a pristine backbone on its device; called on the first miss only.
        about: name, precision, device and weights fingerprint of that backbone.
        size: image side in pixels.
        root: cache folder.
    """

    def __init__(
        self, make_clip: Callable[[], Clip], about: tuple[str, ...], size: int, root: Path
    ) -> None:
        self._make, self._about, self._root = make_clip, about, root
        self._transform = transform_id(size)
        self._clip: Clip | None = None
        self._rows: dict[str, Tensor] = {}

    def images(self, pixels: PixelRows, key: str) -> Tensor:
        """Pixels (N, S, S, 3) uint8 with their sha256 -> (N, D) float32 on the CPU."""
        return self._get(
            digest(["image", self._transform, key]),
            len(pixels),
            lambda clip, rows: clip.image(normalise(pixels[rows], clip)),
        )

    def texts(self, tokens_ML: Tensor, key: str) -> Tensor:
        """Tokens with their sha256 -> (M, D) float32 on the CPU."""
        return self._get(
            digest(["text", key]),
            len(tokens_ML),
            lambda clip, rows: clip.text(tokens_ML[rows].to(clip.logit_scale.device)),
        )

    def _get(self, key: str, n: int, encode: Callable[[Clip, slice], Tensor]) -> Tensor:
        key = digest([VERSION, torch.__version__, *self._about, key])[:32]
        if key not in self._rows:
            path = self._root / "features" / f"{key}.npy"
            rows = _read(path, n)
            if rows is None:
                rows = self._compute(n, encode)
                _write(path, rows)
            self._rows[key] = rows
        return self._rows[key]

    @torch.no_grad()
    def _compute(self, n: int, encode: Callable[[Clip, slice], Tensor]) -> Tensor:
        if self._clip is None:
            with torch.random.fork_rng():  # building a model draws; a training step must not see it
                self._clip = self._make()
        clip = self._clip
        return torch.cat([encode(clip, slice(i, i + BATCH)).cpu() for i in range(0, n, BATCH)])


def normalise(pixels_BHW3: Pixels, clip: Clip) -> Tensor:
    """uint8 (B, S, S, 3) -> float32 (B, 3, S, S) on the backbone's device, mean and std applied."""
    device = clip.logit_scale.device
    x = torch.from_numpy(pixels_BHW3).to(device).permute(0, 3, 1, 2)
    mean = torch.tensor(clip.mean, device=device)[:, None, None]
    std = torch.tensor(clip.std, device=device)[:, None, None]
    return (x.float() / 255 - mean) / std


def _read(path: Path, n: int) -> Tensor | None:
    """The rows if they are whole: the note beside them is written last and has their sha256."""
    try:
        rows = np.load(path)
        about = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError, EOFError):
        return None
    if len(rows) != n or about.get("sha256") != digest([rows.tobytes()]):
        return None
    return torch.from_numpy(rows)


def _write(path: Path, rows: Tensor) -> None:
    array = rows.numpy()
    with atomic(path) as temporary:
        np.save(temporary.with_suffix(".npy"), array)
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"sha256": digest([array.tobytes()])}))
