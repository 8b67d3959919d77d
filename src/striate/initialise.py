"""How weights start, by name. Biases start at 0, scales at 1, whatever the scheme."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from striate.errors import one_of
from striate.modules import Subsample

FILTERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
Scheme = Callable[[Layer], object]


def _normal(deviation: Callable[[float, float], float]) -> Scheme:
    return lambda layer: nn.init.normal_(layer.weight, 0.0, deviation(*fans(layer)))


def _uniform(bound: Callable[[float], float]) -> Scheme:
    def draw(layer: Layer) -> None:
        most = bound(fans(layer)[0])
        nn.init.uniform_(layer.weight, -most, most)

    return draw


def _identity(layer: Layer) -> None:
    """The first filters of a convolution pass its channels on; all others are as PyTorch's own."""
    _uniform(lambda fan_in: math.sqrt(1 / fan_in))(layer)
    if isinstance(layer, nn.Conv2d):
        for filters in layer.weight.chunk(layer.groups):
            nn.init.dirac_(filters[: filters.shape[1]])


INITIALISATIONS: dict[str, Scheme] = {
    # He et al. 2015, arXiv:1502.01852, equation 10: keeps the variance through ReLUs
    "he": _normal(lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
    # Glorot and Bengio 2010, equation 12
    "xavier": _normal(lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
    # as CS231n codes Xavier's rule, and ConvNetJS
    "fan-in": _normal(lambda fan_in, fan_out: math.sqrt(1 / fan_in)),
    # small random numbers (CS231n; AlexNet's N(0, 0.01))
    "small": _normal(lambda fan_in, fan_out: 0.01),
    # LeCun et al. 1998, appendix A
    "lecun": _uniform(lambda fan_in: 2.4 / fan_in),
    # Jordan 2024, arXiv:2404.00498, section 3.3
    "identity": _identity,
    # every unit of a layer stays equal to the others: here so that its failure can be shown
    "constant": lambda layer: nn.init.constant_(layer.weight, 0.01),
}


def initialise(module: nn.Module, scheme: str) -> None:
    """Draws every weight of a module anew from torch's default generator.

    Args:
        module: changed in place.
        scheme: one of INITIALISATIONS.

    Raises:
        StriateError: there is no such scheme.
    """
    draw = INITIALISATIONS[one_of("initialisation", scheme, INITIALISATIONS)]
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, FILTERS):
                draw(each)
                if each.bias is not None:
                    each.bias.zero_()
            elif isinstance(each, Subsample):
                kernel = each.pool.kernel_size
                size = kernel**2 if isinstance(kernel, int) else math.prod(kernel)
                each.weight.fill_(1 / size)  # starts as the average of its window


def fans(module: Layer) -> tuple[float, float]:
    """Fan-in and fan-out: how many values one output sums, and how many outputs one input reaches.

    A transposed convolution spreads its taps over the outputs between two inputs, stride^2 of them.
    """
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    taps = math.prod(module.kernel_size) / module.groups
    apart = math.prod(module.stride)
    seen, reached = module.in_channels * taps, module.out_channels * taps
    if isinstance(module, nn.ConvTranspose2d):
        return max(1.0, seen / apart), reached
    return seen, max(1.0, reached / apart)
