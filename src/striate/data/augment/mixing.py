"""What hides a part of an image or mixes it with its neighbour's.

Images are normalised floats (n, height, width, depth); `draws` is float64 (n, k) in [0, 1).

The image at position p of a batch is mixed with the one at p ^ 1 (0 with 1, 2 with 3), which is in
the same part of every batch that is cut at even positions. Each of the two has a share of its own,
from its own draws. An odd last image stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.geometry import Draws
from striate.data.device import moved


def cut_out(images: Tensor, draws: Draws, side: int) -> Tensor:
    """Set a square to 0, the mean; where it hangs over the border it is cut. Takes two draws.

    Args:
        side: in pixels; its centre is any pixel. Of an even side, one more is before the centre.

    Source:
        DeVries and Taylor 2017, arXiv:1708.04552, section 3.
    """
    sides = np.array(images.shape[1:3])
    first = (draws[:, :2] * sides).astype(np.int64) - side // 2
    return images.masked_fill(_inside(images, first, first + side), 0)


def partners(labels: Tensor) -> Tensor:
    """The neighbour's label for each: of position p, that at p ^ 1; an odd last one its own."""
    return labels[_neighbours(labels)]


def mixed_up(images: Tensor, draws: Draws, alpha: float) -> tuple[Tensor, Tensor]:
    """Each image's weighted mean with its neighbour, and its own share, (n,). Takes one draw.

    Args:
        alpha: of the Beta(alpha, alpha) distribution of the share.

    Source:
        Zhang et al. 2018, arXiv:1710.09412, section 2.
    """
    share = moved(_shares(draws[:, 0], alpha), images.device).to(images.dtype)
    return torch.lerp(
        images.index_select(0, _neighbours(images)), images, share[:, None, None, None]
    ), share


def cut_mixed(images: Tensor, draws: Draws, alpha: float) -> tuple[Tensor, Tensor]:
    """Each image with a rectangle of its neighbour, and its own share of the area, (n,).

    Args:
        draws: three each.
        alpha: of the Beta(alpha, alpha) distribution of the share before the rectangle, whose
            centre is any pixel, is cut at the border.

    Source:
        Yun et al. 2019, arXiv:1905.04899, section 3.1.
    """
    sides = np.array(images.shape[1:3])
    half = sides * np.sqrt(1 - _shares(draws[:, 0], alpha))[:, np.newaxis] / 2
    centre = draws[:, 1:3] * sides
    first = np.maximum(np.rint(centre - half), 0).astype(np.int64)
    end = np.minimum(np.rint(centre + half), sides).astype(np.int64)
    share = moved(1 - (end - first).prod(axis=1) / sides.prod(), images.device)
    mixed = torch.where(
        _inside(images, first, end), images.index_select(0, _neighbours(images)), images
    )
    return mixed, share.to(images.dtype)


def _shares(draws: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Beta(alpha, alpha) by the inverse of its distribution function; 1 for an odd last image."""
    from scipy.special import betaincinv  # a fifth of a second to import, for this alone

    shares: NDArray[np.float64] = betaincinv(alpha, alpha, draws)
    if len(shares) % 2:
        shares[-1] = 1
    return shares


def _neighbours(batch: Tensor) -> Tensor:
    count = len(batch)
    return (torch.arange(count, device=batch.device) ^ 1).clamp(max=count - 1)


def _inside(images: Tensor, first: NDArray[np.int64], end: NDArray[np.int64]) -> Tensor:
    """Like images: whether a number's pixel is in its image's rectangle, (n, 2) corners."""
    rows, columns = (
        (torch.arange(side, device=images.device) >= start[:, None])
        & (torch.arange(side, device=images.device) < stop[:, None])
        for side, start, stop in zip(
            images.shape[1:3],
            moved(first.T, images.device),
            moved(end.T, images.device),
            strict=True,
        )
    )
    wide = columns.repeat_interleave(images.shape[3], dim=1)  # one for each number of a row
    both: Tensor = rows[:, :, None] & wide[:, None, :]
    return both.view(images.shape)
