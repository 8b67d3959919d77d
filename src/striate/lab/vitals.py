"""The numbers that the lectures teach to watch, each with the rule that it is read by.

CS231n, neural-networks-3: the loss at the start, the gap between training and validation, how large
updates are beside weights, how activations and gradients spread, dead units, first-layer filters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.see.copies import copied, device_of, spatial, volumes

SATURATED = 0.97  # of tanh's or the sigmoid's range
UPDATES = (1e-4, 1e-2)  # around 1e-3, a factor of ten either way
DEAD = 0.4  # of a layer's units: as many may die where the rate is too high (neural-networks-1)
GAP = 0.15  # of accuracy
NOISY = 0.8  # of filters: noise has 1
CLOSE = 0.1  # of a guess's loss


@dataclass(frozen=True)
class Reading:
    """One number.

    Attributes:
        layer: whose it is; empty of the network's.
        good: whether it lies where the rule wants it; None where the rule is for eyes alone.
        rule: in words, with its numbers.
    """

    name: str
    layer: str
    value: float
    good: bool | None
    rule: str


def first_loss(loss: float, classes: int) -> Reading:
    """The loss before anything was learned, beside a guess's: ln(classes)."""
    guess = math.log(classes)
    rule = f"about a guess's, ln {classes} = {guess:.3f}, within a tenth"
    return Reading("first loss", "", loss, abs(loss - guess) <= CLOSE * guess, rule)


def gap(training: float | None, held_out: float | None) -> list[Reading]:
    """How much more often training images are right than others, once both are known."""
    if training is None or held_out is None:
        return []
    rule = f"training less held-out accuracy: at most {GAP:.0%}"
    return [Reading("gap", "", training - held_out, training - held_out <= GAP, rule)]


def update_ratios(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[Reading]:
    """||w after - w before|| / ||w before|| of a step, for each tensor of filters.

    From the weights themselves: rate times gradient would be wrong for all rules but plain SGD.
    """
    found = []
    rule = f"about 1e-3 a step, from {UPDATES[0]:g} to {UPDATES[1]:g}"
    for name, weight in before.items():
        norm = float(weight.norm())
        if weight.dim() > 1 and norm:
            ratio = float((after[name] - weight).norm()) / norm
            good = UPDATES[0] <= ratio <= UPDATES[1]
            found.append(Reading("update / weights", _layer(name), ratio, good, rule))
    return found


def of_activations(model: nn.Module, probe: Tensor, names: Sequence[str]) -> list[Reading]:
    """Dead and saturated units, and the spread of each layer, on images that stay the same.

    A unit of a ReLU is dead if it fires at no position of any of these images; one that fires
    seldom is not.
    """
    copy = copied(model)
    layers = dict(copy.named_modules())
    with torch.no_grad(), volumes(copy, names) as found:
        copy(probe.to(device_of(copy)))
    readings = []
    for name, output in found.items():
        volume = spatial(output).float()
        rule = "neither fading nor growing from layer to layer"
        readings.append(Reading("spread", name, float(volume.std()), None, rule))
        if isinstance(layers[name], nn.ReLU | nn.ReLU6):
            dead = float((volume.amax(dim=(0, 2, 3)) <= 0).float().mean())
            rule = f"units that fire on none of {len(probe)} images: fewer than {DEAD:.0%}"
            readings.append(Reading("dead", name, dead, dead < DEAD, rule))
        elif isinstance(layers[name], nn.Tanh | nn.Sigmoid | nn.Hardsigmoid):
            part = volume if isinstance(layers[name], nn.Tanh) else 2 * volume - 1
            share = float((part.abs() > SATURATED).float().mean())
            rule = f"values beyond {SATURATED} of the range: fewer than {DEAD:.0%}"
            readings.append(Reading("saturated", name, share, share < DEAD, rule))
    return readings


def of_gradients(model: nn.Module) -> list[Reading]:
    """The spread of the gradients of each layer's filters in the last step."""
    rule = "of one order of magnitude in all layers"
    return [
        Reading("gradient spread", _layer(name), float(each.grad.std()), None, rule)
        for name, each in model.named_parameters()
        if each.grad is not None and each.dim() > 1 and each.numel() > 1
    ]


def noise(model: nn.Module) -> list[Reading]:
    """How rough the first layer's filters are, where they are large enough to tell."""
    for name, each in model.named_modules():
        if isinstance(each, nn.Conv2d):
            found = roughness(each.weight.detach())
            rule = f"0 of smooth filters, 1 of noise: below {NOISY} once it has learned"
            return [] if found is None else [Reading("noise", name, found, found < NOISY, rule)]
    return []


def roughness(filters: Tensor) -> float | None:
    """Mean squared difference of neighbours over twice the variance: 0 of flat filters, 1 of noise.

    Args:
        filters: (filters, depth, rows, columns).

    Returns:
        None of filters below 5x5: of so few numbers it says nothing.
    """
    if min(filters.shape[2:]) < 5:
        return None
    down = (filters[:, :, 1:] - filters[:, :, :-1]).square().mean()
    across = (filters[:, :, :, 1:] - filters[:, :, :, :-1]).square().mean()
    variance = (filters - filters.mean(dim=(2, 3), keepdim=True)).square().mean()
    area = filters.shape[2] * filters.shape[3]
    variance = variance * area / (area - 1)
    return float((down + across) / 2 / (2 * variance)) if variance > 0 else 0.0


def _layer(name: str) -> str:
    return name.removesuffix(".weight")
