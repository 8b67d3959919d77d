"""Grad-CAM (Selvaraju et al. 2016) and HiResCAM (Draelos and Carin 2020, arXiv:2011.08891)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.see.copies import copied, of_targets, spatial, volumes


def grad_cam(
    model: nn.Module,
    images: Tensor,
    layer: str,
    classes: Tensor | int | None = None,
    *,
    positions: bool = False,
    rectified: bool = True,
) -> Tensor:
    """Where a layer's maps speak for a class (Selvaraju et al. 2016, arXiv:1610.02391).

    Each map is weighed by the mean of its gradient, and the maps are summed (equations 1 and 2).

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        images: prepared, (N, D, H, W).
        layer: its name, as in the table; the last one with positions tells most.
        classes: of each image, or one for all; by default the one that scores highest.
        positions: weigh each value by its own gradient in place of its map's mean: HiResCAM, whose
            sum over positions is what the layer adds to the score where all behind it is linear.
        rectified: leave out what speaks against the class.

    Returns:
        (N, h, w), the layer's positions.

    Raises:
        SeeError: there is no such layer or class.
    """
    copy = copied(model)
    seen = images.detach().clone().requires_grad_()
    with torch.enable_grad(), volumes(copy, [layer]) as found:
        score = of_targets(copy, seen, classes)
        (slope,) = torch.autograd.grad(score, found[layer])
    maps, slope = spatial(found[layer].detach()), spatial(slope)
    weights = slope if positions else slope.mean(dim=(2, 3), keepdim=True)
    summed = (weights * maps).sum(dim=1)
    return summed.clamp(min=0) if rectified else summed
