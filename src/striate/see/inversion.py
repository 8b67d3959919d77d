"""An image made from a layer's values alone (Mahendran and Vedaldi 2014, arXiv:1412.0035)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.data import Preparation
from striate.see.copies import copied, volumes
from striate.see.optimise import Limits, total_variation


def inverted(
    model: nn.Module,
    image: Tensor,
    preparation: Preparation,
    layer: str | None,
    *,
    steps: int = 300,
    rate: float = 0.0125,
    smooth: float = 0.016,
    seed: int = 0,
) -> Tensor:
    """An image that gives a layer the values that this one gives it: what the layer still knows.

    From grey with a little noise Adam lessens ||f(x) - f(image)||^2 / ||f(image)||^2 plus `smooth`
    times the total variation (equation 1); the image keeps to pixels that it can have.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        image: prepared, (D, H, W).
        layer: its name, as in the table; None is the input itself, whose inversion is the image.
        rate: of Adam, of the way from black to white.
        seed: of the noise to start from.

    Returns:
        (D, H, W), prepared.

    Raises:
        SeeError: there is no such layer.
    """
    if layer is None:
        return image.clone()
    copy = copied(model)
    limits = Limits.of(preparation, image.device)
    pixels = limits.grey(torch.Generator().manual_seed(seed)).requires_grad_()
    climber = torch.optim.Adam([pixels], lr=rate)
    with volumes(copy, [layer]) as found:
        with torch.no_grad():
            copy(image[None])
            wanted = found[layer].clone()
        whole = wanted.square().sum().clamp(min=1e-12)
        with torch.enable_grad():
            for _ in range(steps):
                climber.zero_grad()
                copy(limits.prepared(pixels))
                apart = (found[layer] - wanted).square().sum() / whole
                torch.autograd.backward(apart + smooth * total_variation(pixels))
                climber.step()
                pixels.data.clamp_(0, 1)
    return limits.prepared(pixels.detach())[0]
