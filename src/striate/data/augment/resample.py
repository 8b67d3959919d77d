"""Rectangles of images, scaled with the triangle filter, by what is fastest where they lie."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from striate.data.device import moved

Size = tuple[int, int]
Boxes = NDArray[np.int64]  # (n, 4): top, left, height, width in whole pixels of an image


def cut(images: Tensor, corners: NDArray[np.int64], size: Size) -> Tensor:
    """A window of each image, (n, *size, depth); `corners` are their tops and lefts, (n, 2)."""
    count, height, width, depth = images.shape
    top, left = corners.T
    first = (np.arange(count) * height + top) * width + left  # pixel of each window
    # The windows that begin at every pixel of the batch, each some rows of numbers that lie
    # together; those that reach beyond an image's side are never asked for.
    pixels = max(0, count * height * width - (size[0] - 1) * width - size[1] + 1)
    rows = (pixels, size[0], size[1] * depth)
    windows = images.contiguous().as_strided(rows, (depth, width * depth, 1))
    return windows.index_select(0, moved(first, images.device)).view(count, *size, depth)


def resampled(images: Tensor, boxes: Boxes, size: Size) -> Tensor:
    """Scale a rectangle of each image to `size`: bilinear, antialiased.

    Args:
        images: (n, height, width, depth), bytes or floats.
        boxes: one for each; no pixel outside is used.

    Returns:
        (n, *size, depth): of bytes on a CPU bytes, rounded; otherwise floats. Of boxes that all
            have this size, what the images are of.
    """
    if (boxes[:, 2:] == size).all():
        return cut(images, boxes[:, :2], size)
    if images.device.type != "cpu" or images.dtype != torch.uint8 or images.shape[3] > 4:
        return by_products(images, boxes, size)
    made = images.new_empty((len(images), *size, images.shape[3]))
    for image, new, (top, left, height, width) in zip(images, made, boxes.tolist(), strict=True):
        part = image[top : top + height, left : left + width].permute(2, 0, 1)[None]
        # A kernel for bytes alone, ten times as fast as products. (The one for floats is wrong in
        # PyTorch 2.13 where the result is a single pixel wide.)
        scaled = interpolate(part, size, mode="bilinear", antialias=True)
        new.copy_(scaled[0].permute(1, 2, 0))
    return made


def by_products(images: Tensor, boxes: Boxes, size: Size) -> Tensor:
    """The same for a whole batch, by a matrix product for the rows and one for the columns."""
    images = images if images.is_floating_point() else images.float()
    count, height, width, depth = images.shape
    top, left, tall, wide = moved(boxes.T, images.device).to(images.dtype)[:, :, None, None]
    down = _triangles(top, tall, height, size[0])
    across = _triangles(left, wide, width, size[1])
    rows = (down @ images.reshape(count, height, -1)).view(count, size[0], width, depth)
    return torch.einsum("nxw,nywd->nyxd", across, rows)


def _triangles(first: Tensor, side: Tensor, length: int, size: int) -> Tensor:
    """(n, size, length): what each pixel of a line adds to each of a rectangle's, scaled."""
    step = side / size  # (n, 1, 1)
    places = torch.arange(length, dtype=first.dtype, device=first.device) + 0.5
    centres = torch.arange(size, dtype=first.dtype, device=first.device)[:, None] + 0.5
    away = (places - first - centres * step).abs() / step.clamp(min=1)
    inside = (places > first) & (places < first + side)
    weights = (1 - away).clamp(min=0) * inside
    return weights / weights.sum(dim=2, keepdim=True)
