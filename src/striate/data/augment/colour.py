"""Light and colour: what changes the levels of an image and moves nothing.

Images are floats (n, height, width, depth), levels of brightness from 0 to 255; a result may leave
that range. `draws` is float64 (n, k) in [0, 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.geometry import Draws
from striate.data.device import moved


def lit(images: Tensor, draws: Draws, deviation: float, components: NDArray[np.float64]) -> Tensor:
    """AlexNet's colour noise: along each principal component, all pixels of an image alike.

    Args:
        draws: one for each component.
        deviation: of the normal number that multiplies a component, of its own deviation; 0.1 in
            the paper.
        components: (depth, depth), in columns as long as the deviations along them:
            `striate.data.measure.components`.

    Source:
        Krizhevsky et al. 2012, section 4.1, prints eigenvalues as the components' lengths, which no
        unit of brightness makes sense of; as its code, cuda-convnet2, this takes their roots.
    """
    from scipy.special import ndtri  # a fifth of a second to import, for this alone

    normal = ndtri(np.clip(draws, 2.0**-53, 1 - 2.0**-53))  # finite
    return images + _column(deviation * normal @ components.T, images)


def brightened(images: Tensor, draws: Draws, most: float) -> Tensor:
    """Add up to `most` of the whole range, up or down, to all of an image. Takes one draw."""
    return images + _column(255 * most * (2 * draws[:, :1] - 1), images)


def contrasted(images: Tensor, draws: Draws, most: float) -> Tensor:
    """Multiply an image's differences from its own mean by 1 - `most` to 1 + `most`.

    Takes one draw. The mean is over all pixels and channels.
    """
    factor = _column(1 + most * (2 * draws[:, :1] - 1), images)
    return images * factor + images.mean(dim=(1, 2, 3), keepdim=True) * (1 - factor)


def _column(values: NDArray[np.float64], images: Tensor) -> Tensor:
    """(n, depth or 1) numbers as a tensor that spreads over the pixels of images."""
    column = moved(values, images.device).to(images.dtype)[:, None, None]
    if values.shape[1] == 1:
        return column
    # A row of pixels: three numbers by themselves would be applied three at a time.
    return column.expand(-1, 1, images.shape[2], -1).contiguous()
