"""Where in an image the network looks: mirrored, shifted, cut out, scaled.

Images are (n, depth, height, width) of bytes or floats, `draws` float64 (n, k) in [0, 1).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

Draws = NDArray[np.float64]
Size = tuple[int, int]
Range = tuple[float, float]

ASPECT = (3 / 4, 4 / 3)  # Szegedy et al. 2014, arXiv:1409.4842, section 6
TRIES = 10  # for a part of an image's area that fits in it


def flipped(images: Tensor, draws: Draws) -> Tensor:
    """Mirror each image left to right with probability 1/2. Takes one draw."""
    return _mirrored(images, draws[:, 0] < 0.5)


def alternated(images: Tensor, draws: Draws, epoch: int) -> Tensor:
    """Mirror a random half of the images in the first epoch, the others in the next, and so on.

    Args:
        draws: one each, the same in every epoch.

    Source:
        Jordan 2024, arXiv:2404.00498, section 3.6: two epochs show both sides of every image.
    """
    return _mirrored(images, (draws[:, 0] < 0.5) ^ (epoch % 2 == 0))


def _mirrored(images: Tensor, which: NDArray[np.bool_]) -> Tensor:
    chosen = torch.from_numpy(which).to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(3), images)


def shifted(images: Tensor, draws: Draws, most: int, padding: str = "zeros") -> Tensor:
    """Move each image by up to `most` whole pixels up or down and sideways. Takes two draws.

    Args:
        padding: what is moved in, `zeros` or the image `reflect`ed in its border; the border's own
            pixels are not repeated.

    Source:
        He et al. 2015, arXiv:1512.03385, section 4.2, in other words: padded by 4, cropped.
    """
    around = pad(images, (most,) * 4, mode="reflect" if padding == "reflect" else "constant")
    height, width = images.shape[2:]
    return cropped(around, draws, (height, width))


def cropped(images: Tensor, draws: Draws, size: Size) -> Tensor:
    """Cut a window out of each image, at whole pixels, all places alike. Takes two draws.

    Args:
        size: height and width of the windows.

    Source:
        Krizhevsky et al. 2012, section 4.1: 224x224 out of 256x256.
    """
    height, width = images.shape[2:]
    places = np.array([height - size[0] + 1, width - size[1] + 1])
    top, left = torch.from_numpy((draws[:, :2] * places).astype(np.int64).T).to(images.device)
    windows = images.unfold(2, size[0], 1).unfold(3, size[1], 1)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def scaled(images: Tensor, draws: Draws, size: Size, scale: Range) -> Tensor:
    """Scale each image so that its shorter side is S, and cut a window out. Takes three draws.

    Args:
        size: height and width of the windows, neither above the scaled image's.
        scale: the least and the largest S, in pixels; S is uniform between them.

    Where S can only be the images' own shorter side this is `cropped`.

    Source:
        Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.1.
    """
    height, width = images.shape[2:]
    low, high = scale
    if low == high == min(height, width):
        return cropped(images, draws, size)
    factor = min(height, width) / (low + (high - low) * draws[:, 2:])
    sides = np.minimum(factor * size, (height, width))
    corners = draws[:, :2] * ((height, width) - sides)
    return resampled(images, np.hstack((corners, sides)), size)


def area_cropped(
    images: Tensor, draws: Draws, size: Size, area: Range, aspect: Range = ASPECT
) -> Tensor:
    """Cut a part of random area and shape out of each image, and scale it to `size`.

    Args:
        draws: AREA_DRAWS each.
        area: the least and the largest part of the image's area, uniform.
        aspect: of width to height, its logarithm uniform.

    A part that does not fit is drawn anew, up to ten times; then it is the largest centred one.

    Source:
        Szegedy et al. 2014, arXiv:1409.4842, section 6: 8% to 100%, 3/4 to 4/3.
    """
    height, width = images.shape[2:]
    tries = draws[:, 2:].reshape(-1, TRIES, 2)
    pixels = height * width * (area[0] + (area[1] - area[0]) * tries[..., 0])
    low, high = np.log(aspect)
    shape = np.exp(low + (high - low) * tries[..., 1])
    sides = np.stack((np.sqrt(pixels / shape), np.sqrt(pixels * shape)), axis=2)
    # Rounding may carry the whole image past its own sides.
    fits: NDArray[np.bool_] = np.all(sides <= np.array((height, width)) * (1 + 1e-9), axis=2)
    fitting = np.any(fits, axis=1)[:, np.newaxis]
    first = sides[np.arange(len(sides)), fits.argmax(axis=1)]
    nearest = min(max(width / height, aspect[0]), aspect[1])
    largest = min(height, width / nearest), min(width, height * nearest)
    sides = np.where(fitting, np.minimum(first, (height, width)), largest)
    corners = np.where(fitting, draws[:, :2], 0.5) * ((height, width) - sides)
    return resampled(images, np.hstack((corners, sides)), size)


AREA_DRAWS = 2 + 2 * TRIES


def resampled(images: Tensor, boxes: NDArray[np.float64], size: Size) -> Tensor:
    """Scale a rectangle of each image to `size`, bilinearly; bytes become float32.

    Args:
        boxes: (n, 4): top, left, height, width in pixels, whose corners are at whole numbers.

    Nothing is averaged beyond the four nearest pixels: a rectangle more than about twice as large
    as `size` shows moiré.
    """
    images = images if images.is_floating_point() else images.float()
    height, width = images.shape[2:]
    top, left, tall, wide = boxes.T
    turn = np.zeros((len(boxes), 2, 3))  # from the window, both sides of which are -1 to 1
    turn[:, 0, 0], turn[:, 0, 2] = wide / width, (2 * left + wide) / width - 1
    turn[:, 1, 1], turn[:, 1, 2] = tall / height, (2 * top + tall) / height - 1
    theta = torch.from_numpy(turn).to(images.dtype).to(images.device)
    grid = affine_grid(theta, [*images.shape[:2], *size], align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def enlarged(images: Tensor, size: Size) -> Tensor:
    """Centre images in zeros where they are smaller than `size`, as a `Preparation` does."""
    rows, columns = (
        max(0, least - have) for have, least in zip(images.shape[2:], size, strict=True)
    )
    if not rows and not columns:
        return images
    return pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
