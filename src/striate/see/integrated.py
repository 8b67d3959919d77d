"""Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from striate.see.copies import copied, scored, targets
from striate.see.gradients import of_copy

AT_ONCE = 32  # images


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    baseline: Tensor,
    classes: Tensor | int | None = None,
    *,
    points: int = 64,
) -> Tensor:
    """What each value adds to the score on the straight way from a baseline to the image.

    They add up to score(image) - score(baseline), as far as `points` of Gauss-Legendre go; where
    ReLUs switch on the way, more of them come nearer.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        images: prepared, (N, D, H, W).
        baseline: prepared too, (D, H, W). Zeros are no black image once pixels are normalised: take
            the `preparation` of black pixels.
        classes: of each image, or one for all; by default the one that the image scores highest.
        points: on the way.

    Returns:
        (N, D, H, W).

    Raises:
        SeeError: there is no such class.
    """
    copy = copied(model)
    with torch.no_grad():
        chosen = targets(scored(copy, images), classes)
    at, weights = np.polynomial.legendre.leggauss(points)
    shares, weighed = (torch.from_numpy(each).to(images) for each in ((at + 1) / 2, weights / 2))
    found = torch.empty_like(images)
    for number, image in enumerate(images):
        way = baseline + shares[:, None, None, None] * (image - baseline)
        mean = torch.zeros_like(image)
        for first in range(0, points, AT_ONCE):
            part = slice(first, first + AT_ONCE)
            slopes = of_copy(copy, way[part], int(chosen[number]))
            mean += torch.tensordot(weighed[part], slopes, dims=1)
        found[number] = (image - baseline) * mean
    return found
