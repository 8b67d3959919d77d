"""DeepDream (Mordvintsev, Olah, Tyka 2015): more of what a layer already sees in an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from striate.data import Preparation
from striate.see.copies import copied, reached
from striate.see.optimise import Limits, jittered


def dreamed(
    model: nn.Module,
    image: Tensor,
    preparation: Preparation,
    layer: str,
    *,
    octaves: int = 3,
    scale: float = 1.4,
    steps: int = 10,
    rate: float = 0.0125,
    jitter: int = 4,
    seed: int = 0,
) -> Tensor:
    """The image, changed so that the squares of a layer's values rise.

    From coarse to fine: at each octave the image climbs by steps of `rate` over the mean absolute
    gradient, and what has changed is enlarged with the next. The network computes no farther than
    the layer, so that images may have any size that the layers before it take.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        image: prepared, (D, H, W).
        preparation: what pixels went through.
        layer: its name, as in the table.
        octaves: sizes, the last of which is the image's own.
        scale: from one to the next.
        rate: of a step, of the way from black to white.
        jitter: pixels, at most.
        seed: of the jitter.

    Returns:
        (D, H, W), prepared.

    Raises:
        SeeError: there is no such layer, or it cannot take the smallest octave.
    """
    copy = copied(model)
    limits = Limits.of(preparation, image.device)
    low, high = limits.low.amin((2, 3), True), limits.high.amax((2, 3), True)
    chance = torch.Generator().manual_seed(seed)
    change = torch.zeros_like(image)[None]
    for octave in reversed(range(octaves)):
        size = [max(1, round(side / scale**octave)) for side in image.shape[1:]]
        plain = _sized(image[None], size)
        dream = plain + _sized(change, size)
        for _ in range(steps):
            seen = dream.requires_grad_()
            with torch.enable_grad():
                volume = reached(copy, jittered(seen, jitter, chance), layer)
                (slope,) = torch.autograd.grad(volume.square().mean(), seen)
            step = rate * (high - low) / slope.abs().mean().clamp(min=1e-12)
            dream = (dream.detach() + step * slope).clamp(low, high)
        change = dream - plain
    return dream[0]


def _sized(images: Tensor, size: list[int]) -> Tensor:
    if list(images.shape[2:]) == size:
        return images
    return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
