"""Numbers as pixels: zero is always the same grey, and black and white are said in the title."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from striate.data import Preparation
from striate.see.fields import Box

ZERO = 128  # the grey of zero, wherever values have a sign
SQUARE = 36  # pixels that a written number takes
WRITTEN = 7  # squares in a row, at most, that have their number written in
DIMMED = 0.15  # how much of an image is left where nothing lights it
FRAME = (230, 120, 0)
ENLARGED = 192  # pixels of a small image with a frame in it
Bytes = NDArray[np.uint8]


def bound(values: Tensor) -> float:
    """The largest absolute value."""
    return float(values.abs().max())


def signed(values: Tensor, largest: float | None = None) -> Bytes:
    """Values as levels around the grey of zero, uint8 of the same shape.

    Args:
        largest: the absolute value that is black below zero and white above; by default the
            largest there is. Beyond it all is black or white.
    """
    return _levels(values, largest, ZERO, 127)


def strength(values: Tensor, largest: float | None = None) -> Bytes:
    """Values from 0 on as levels, 0 black; uint8 of the same shape."""
    return _levels(values, largest, 0, 255)


def _levels(values: Tensor, largest: float | None, zero: int, most: int) -> Bytes:
    values = values.detach().float().cpu()
    whole = bound(values) if largest is None else largest
    levels = zero + most * (values / whole if whole > 0 else torch.zeros_like(values))
    return levels.clamp(zero - most if zero else 0, zero + most).round().byte().numpy()


def photograph(image: Tensor, preparation: Preparation) -> Bytes:
    """A prepared image, (D, H, W), as pixels, (H, W, D), as far as they lie from black to white."""
    black = torch.zeros(1, *preparation.input, dtype=torch.uint8)
    low, high = preparation(black)[0], preparation(black + 255)[0]
    pixels = 255 * (image.detach().cpu() - low) / (high - low)
    return pixels.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()


def grey(levels: Bytes) -> Bytes:
    """(H, W) as a picture, (H, W, 1)."""
    return np.ascontiguousarray(levels[..., None])


def numbered(values: Tensor, largest: float) -> Bytes:
    """(H, W) as a picture with each number written in its square, where there is room."""
    levels = signed(values, largest)
    height, width = levels.shape
    if max(height, width) > WRITTEN:
        return grey(levels)
    made = Image.fromarray(np.repeat(np.repeat(levels, SQUARE, 0), SQUARE, 1))
    pen = ImageDraw.Draw(made)
    font = ImageFont.load_default(11)
    for row in range(height):
        for column in range(width):
            ink = 0 if levels[row, column] >= ZERO else 255
            middle = SQUARE * column + SQUARE // 2, SQUARE * row + SQUARE // 2
            pen.text(middle, f"{values[row, column]:z.2f}", ink, font, anchor="mm")
    return grey(np.asarray(made))


def lit(photo: Bytes, light: Tensor) -> Bytes:
    """An image, (H, W, 1 or 3), bright where (h, w) values from 0 on are large."""
    height, width = photo.shape[:2]
    share = light.detach().float().cpu().clamp(min=0)
    share = share / share.max().clamp(min=1e-12)
    size = {"size": (height, width), "mode": "bilinear", "align_corners": False}
    whole = interpolate(share[None, None], **size)[0, 0].numpy()  # type: ignore[arg-type]
    made = photo * (DIMMED + (1 - DIMMED) * whole[..., None])
    return np.asarray(made.round().clip(0, 255).astype(np.uint8))


def framed(photo: Bytes, box: Box) -> Bytes:
    """An image in colour, enlarged, with a line around some pixels, as far as it lies within."""
    times = max(1, ENLARGED // max(photo.shape[:2]))
    large = np.broadcast_to(photo, (*photo.shape[:2], 3)).repeat(times, 0).repeat(times, 1)
    made = Image.fromarray(large)
    corners = (box.left, box.top), (box.right, box.bottom)
    (left, top), (right, bottom) = ((x * times, y * times) for x, y in corners)
    ImageDraw.Draw(made).rectangle((left, top, right - 1, bottom - 1), outline=FRAME, width=2)
    return np.asarray(made)
