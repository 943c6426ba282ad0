"""Boxes against torchvision's own RandomResizedCrop, resampling against its resized_crop."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as F

from benchmark.data.crops.boxes import DRAWS, RATIO, drawn_boxes, reach
from benchmark.data.crops.resample import resampled
from benchmark.data.crops.room import SCALE, room
from benchmark.data.crops.wide import WideImages, fit_wide
from benchmark.data.pixels import PixelRows

SHAPES = [(48, 48), (500, 375), (375, 500), (640, 426), (280, 200), (900, 300), (20, 90), (31, 29)]


def _uniform(n, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.rand(n, DRAWS, dtype=torch.float64, generator=source)


def _ours(shape, n, seed=0):
    return drawn_boxes(_uniform(n, seed), torch.tensor([shape]).expand(n, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_are_distributed_as_torchvisions(shape):
    w, h = shape
    torch.manual_seed(0)
    picture, n = torch.empty(3, h, w), 1500
    want = [RandomResizedCrop.get_params(picture, list(SCALE), list(RATIO)) for _ in range(n)]
    want_N4 = torch.tensor([[left, top, bw, bh] for top, left, bh, bw in want])
    got_N4 = _ours(shape, n)
    # Two samples of one distribution: the largest distance of their empirical distribution
    # functions is above 1.95 sqrt(2 / n) once in a thousand times (Kolmogorov, Smirnov).
    columns = [*range(4)]
    for a, b in [(want_N4[:, c], got_N4[:, c]) for c in columns] + [
        (want_N4[:, 2] * want_N4[:, 3], got_N4[:, 2] * got_N4[:, 3]),
        (want_N4[:, 2] * 1000 // want_N4[:, 3], got_N4[:, 2] * 1000 // got_N4[:, 3]),
    ]:
        at = torch.cat([a, b]).unique()
        steps = [torch.searchsorted(x.sort().values, at, right=True) / n for x in (a, b)]
        assert float((steps[0] - steps[1]).abs().max()) < 1.95 * (2 / n) ** 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_is_formed_by_the_first_try_that_fits(shape):
    """The formula of torchvision's `get_params`, one picture at a time."""
    (w, h), uniform_BU = shape, _uniform(200, 1)
    for u, box in zip(uniform_BU.tolist(), _ours(shape, 200, 1).tolist(), strict=True):
        for t in range(10):
            area = w * h * (0.9 + (1.0 - 0.9) * u[t])
            low, high = np.log(3 / 4), np.log(4 / 3)
            ratio = np.exp(low + (high - low) * u[10 + t])
            bw, bh = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < bw <= w and 0 < bh <= h:
                assert box == [int(u[21] * (w - bw + 1)), int(u[20] * (h - bh + 1)), bw, bh]
                break
        else:
            bw = round(h * 4 / 3) if w / h > 4 / 3 else w
            bh = round(w / (3 / 4)) if w / h < 3 / 4 else h
            assert box == [(w - bw) // 2, (h - bh) // 2, bw, bh]


@pytest.mark.parametrize("shape", [*SHAPES, (12, 9), (16, 10), (9, 16), (3, 40), (1, 1), (74, 50)])
def test_what_is_kept_has_every_box(shape):
    box_N4 = _ours(shape, 4000, 2)
    left, top, w, h = reach(torch.tensor([shape]))[0].tolist()
    assert (box_N4[:, 0] >= left).all()
    assert (box_N4[:, 1] >= top).all()
    assert (box_N4[:, 0] + box_N4[:, 2] <= left + w).all()
    assert (box_N4[:, 1] + box_N4[:, 3] <= top + h).all()
    if min(shape) > 20:  # but for whole pixels, at least nine tenths of both sides
        assert (box_N4[:, 2] >= 0.9 * w - 1).all()
        assert (box_N4[:, 3] >= 0.9 * h - 1).all()


def _noise(n, height, width, seed=0):
    source = np.random.default_rng(seed)
    return torch.from_numpy(source.integers(0, 256, (n, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("side", [8, 24, 48, 60])
def test_resampling_is_torchvisions(side):
    pixels_BTT3 = _noise(70, 40, 40)
    source = np.random.default_rng(1)
    size = source.integers(1, 41, (70, 2))
    first = (source.random((70, 2)) * (41 - size)).astype(np.int64)
    box_B4 = torch.from_numpy(np.concatenate([first, size], axis=1))
    got_B3HW = resampled(pixels_BTT3, box_B4.double(), side)
    for pixels, (left, top, w, h), got in zip(pixels_BTT3, box_B4.tolist(), got_B3HW, strict=True):
        want = F.resized_crop(
            pixels.permute(2, 0, 1).float(), top, left, h, w, [side, side],
            InterpolationMode.BICUBIC, antialias=True,
        )  # fmt: skip
        torch.testing.assert_close(got, want.clamp(0, 255), rtol=0, atol=2e-3)


def test_a_crop_is_that_of_the_piece_it_is_read_in():
    pixels_BTT3, box_B4 = _noise(130, 20, 20), torch.tensor([[1.5, 2.25, 17.0, 15.75]])
    whole = resampled(pixels_BTT3, box_B4.expand(130, 4), 16)
    for i in (0, 63, 64, 129):
        alone = resampled(pixels_BTT3[i : i + 1], box_B4, 16)
        torch.testing.assert_close(alone[0], whole[i], rtol=0, atol=1e-3)


def _wide(image, side):
    kept = fit_wide(image, side)
    return WideImages(PixelRows.of([kept[None]], kept.shape), "", torch.tensor([image.size]))


@pytest.mark.parametrize("shape", [(48, 48), (28, 28), (53, 40), (54, 30)])
def test_a_small_image_is_cropped_without_loss(shape):
    """The same box of the very image, by torchvision; so are digits and rendered pictures."""
    image = Image.fromarray(_noise(1, shape[1], shape[0])[0].numpy())
    wide, uniform = _wide(image, 48), _uniform(20, 3)
    for u in uniform:
        rows = torch.tensor([0])
        left, top, w, h = drawn_boxes(u[None], torch.tensor([shape]))[0].tolist()
        got = resampled(torch.from_numpy(wide.pixels[:]), wide.boxes(rows, u[None]), 48)[0]
        want = F.resized_crop(
            torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float(), top, left, h, w,
            [48, 48], InterpolationMode.BICUBIC, antialias=True,
        )  # fmt: skip
        torch.testing.assert_close(got, want.clamp(0, 255), rtol=0, atol=2e-3)


@pytest.mark.parametrize("shape", [(500, 375), (375, 500), (900, 300), (300, 900), (640, 430)])
def test_a_large_image_is_cropped_as_pillow_crops_it(shape):
    """A smooth picture, twice resampled, is within a few values of Pillow's crop of the whole."""
    y, x = np.mgrid[: shape[1], : shape[0]].astype(np.float64)
    waves = [np.sin(x / a + y / b + c) for a, b, c in ((31, 47, 0), (23, -61, 1), (-37, 19, 2))]
    image = Image.fromarray(((np.stack(waves, axis=2) + 1) * 127).astype(np.uint8))
    wide = _wide(image, 96)
    assert wide.pixels.shape == (1, room(96), room(96), 3)
    for u in _uniform(10, 4):
        left, top, w, h = drawn_boxes(u[None], torch.tensor([shape]))[0].tolist()
        got = resampled(
            torch.from_numpy(wide.pixels[:]), wide.boxes(torch.tensor([0]), u[None]), 96
        )
        box = (left, top, left + w, top + h)
        scaled = image.crop(box).resize((96, 96), Image.Resampling.BICUBIC)
        want = np.asarray(scaled, np.float64)
        off = np.abs(got[0].permute(1, 2, 0).numpy() - want)
        assert off.max() < 3.5
        assert off.mean() < 0.6
