"""The image that a unit prefers, found by climbing its gradient (Erhan et al. 2009)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.data import Preparation
from striate.errors import SeeError
from striate.see.copies import copied, device_of, spatial, volumes
from striate.see.optimise import Limits, jittered, total_variation


def preferred(
    model: nn.Module,
    preparation: Preparation,
    layer: str,
    unit: int,
    *,
    steps: int = 200,
    rate: float = 0.0125,
    smooth: float = 1.6,
    jitter: int = 1,
    seed: int = 0,
) -> Tensor:
    """An image of the network's own input size that excites a unit in the middle of its map.

    From grey with a little noise Adam climbs the unit's value, moved by up to `jitter` pixels at
    each step (Mordvintsev et al. 2015), less the image's total variation; the image keeps to
    pixels that it can have (Simonyan et al. 2013, arXiv:1312.6034, section 2, decays them instead).
    A unit behind a ReLU that is off has no gradient to climb: take the layer before it.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        preparation: what pixels go through before the network.
        layer: its name, as in the table.
        unit: counted from 0.
        rate: of Adam, of the way from black to white.
        smooth: how much the total variation counts.
        jitter: pixels, at most.
        seed: of the noise to start from and of the jitter.

    Returns:
        (D, H, W), prepared, on the CPU.

    Raises:
        SeeError: there is no such layer or unit.
    """
    copy = copied(model)
    limits = Limits.of(preparation, device_of(copy))
    chance = torch.Generator().manual_seed(seed)
    pixels = limits.grey(chance).requires_grad_()
    climber = torch.optim.Adam([pixels], lr=rate)
    with torch.enable_grad(), volumes(copy, [layer]) as found:
        for _ in range(steps):
            climber.zero_grad()
            copy(jittered(limits.prepared(pixels), jitter, chance))
            maps = spatial(found[layer])[0]
            if not 0 <= unit < len(maps):
                raise SeeError(f"{layer} has no unit {unit}: they go from 0 to {len(maps) - 1}")
            value = maps[unit, maps.shape[1] // 2, maps.shape[2] // 2]
            torch.autograd.backward(smooth * total_variation(pixels) - value)
            climber.step()
            pixels.data.clamp_(0, 1)
    return limits.prepared(pixels.detach())[0].cpu()
