"""Crops of decoded images, scaled to the model's side on the device that they are on."""

import torch
from torch import Tensor

SHARPNESS = -0.5  # of the bicubic kernel, as in Pillow and in torch's antialiased resampling
PIECE = 64  # images at a time: what is between takes four bytes a value


@torch.no_grad()
def resampled(pixels_BTT3: Tensor, box_B4: Tensor, side: int) -> Tensor:
    """Boxes of images, scaled by an antialiased bicubic kernel in float32.

    As `torchvision.transforms.v2.functional.resized_crop` of float images, whose kernel sees
    nothing outside of the box; but a box may begin inside a pixel, which then counts by the share
    that it has of it. Pillow, which rounds to whole values between the two directions and after
    them, is within about one value of it.

    Args:
        pixels_BTT3: uint8.
        box_B4: float, on the host: left, top, width, height in pixels of these images.
        side: of the result.

    Returns:
        (B, 3, side, side) float32 in [0, 255].
    """
    box_B4 = box_B4.to(torch.float32)
    if pixels_BTT3.device.type != "cpu":
        box_B4 = box_B4.pin_memory().to(pixels_BTT3.device, non_blocking=True)
    with torch.autocast(pixels_BTT3.device.type, enabled=False):
        out = [
            _piece(some, boxes, side)
            for some, boxes in zip(pixels_BTT3.split(PIECE), box_B4.split(PIECE), strict=True)
        ]
    return out[0] if len(out) == 1 else torch.cat(out)


def _piece(pixels_BTT3: Tensor, box_B4: Tensor, side: int) -> Tensor:
    many, height, width, _ = pixels_BTT3.shape
    left_B, top_B, w_B, h_B = box_B4.unbind(1)
    rows_BST = _weights(top_B, h_B, height, side)
    columns_BTS = _weights(left_B, w_B, width, side).transpose(1, 2)
    half = torch.bmm(rows_BST, pixels_BTT3.reshape(many, height, width * 3).float())
    half = half.view(many, side, width, 3).permute(0, 3, 1, 2).reshape(many, 3 * side, width)
    return torch.bmm(half, columns_BTS).view(many, 3, side, side).clamp_(0, 255)


def _weights(first_B: Tensor, length_B: Tensor, pixels: int, side: int) -> Tensor:
    """What each pixel counts in each of `side` results, (B, side, pixels); rows sum to one."""
    first_B11, length_B11 = first_B[:, None, None], length_B[:, None, None]
    step_B11 = length_B11 / side
    result_S1 = torch.arange(side, device=first_B.device)[:, None] + 0.5
    pixel_T = torch.arange(pixels, device=first_B.device, dtype=torch.float32)
    away_BST = (pixel_T + 0.5 - first_B11 - result_S1 * step_B11).abs_()
    away_BST /= step_B11.clamp(min=1)
    a = SHARPNESS
    near = ((a + 2) * away_BST - (a + 3)) * away_BST * away_BST + 1
    far = ((a * away_BST - 5 * a) * away_BST + 8 * a) * away_BST - 4 * a
    kernel_BST = torch.where(away_BST < 1, near, torch.where(away_BST < 2, far, 0.0))
    end_B11 = first_B11 + length_B11
    share_B1T = torch.minimum(pixel_T + 1, end_B11) - torch.maximum(pixel_T, first_B11)
    kernel_BST *= share_B1T.clamp_(0, 1)
    return kernel_BST / kernel_BST.sum(dim=2, keepdim=True)
