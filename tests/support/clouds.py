"""Pictures with detail at every scale, as photographs have it."""

import numpy as np
from PIL import Image

SIDE = 96


def picture(seed: int) -> Image.Image:
    """Clouds, coarse and fine: no two seeds look alike."""
    rng, total = np.random.default_rng(seed), np.full((SIDE, SIDE, 3), 128.0)
    for cells in (3, 6, 12, 24, 48):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layer = np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
        total += (layer - 128) * 2 / cells**0.5
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))
