"""Models as training would leave them, without training: for the tests of what leaves."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from striate.data import Preparation
from striate.layers import Volume
from striate.modules import LayerScale
from striate.network import Network, read
from striate.ship.model import Model

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
CHAOS = 1000  # layers of normalisation, from which on weights by chance make noise of rounding


def model_of(source: str | Network, *, border: int = 0, mean_image: bool = False) -> Model:
    """A network with weights by chance, batch normalisation that has seen something.

    Scales and statistics differ from those of its images, in deep networks less: what hundreds of
    layers multiply is no number otherwise.

    Args:
        border: rows and columns by which images are larger than the network's input; below 0:
            smaller.
    """
    network = source if isinstance(source, Network) else read(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = network.build()
        norms = [each for each in module.modules() if isinstance(each, NORMS)]
        for each in module.modules():
            if getattr(each, "bias", None) is not None:
                each.bias.data.normal_(0, 0.1)
            if isinstance(each, nn.LayerNorm | nn.GroupNorm | LayerScale):
                each.weight.data.uniform_(0.8, 1.25)
        shaken = min(1.0, 20 / max(1, len(norms)))
        if len(norms) > CHAOS:
            _calm(module)
        momenta = [each.momentum for each in norms]
        for each in norms:
            each.momentum = None  # what it has seen is then the mean over the batches: of one
        if norms:
            depth, height, width = network.input.depth, *network.input[:2]
            with torch.no_grad():
                module(torch.randn(2, depth, height, width))
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
            moved = 0.1 * shaken * torch.randn(each.num_features)
            each.running_mean += moved * each.running_var.sqrt()
            each.running_var *= torch.empty(each.num_features).uniform_(0.8, 1.25) ** shaken
            each.running_var.clamp_(min=0.01)  # of channels that never change rounding is blown up
            if each.weight is not None:
                each.weight.data *= torch.empty(each.num_features).uniform_(0.8, 1.25) ** shaken
    input = network.input
    means = np.linspace(0.3, 0.6, input.depth).tolist()
    deviations = np.linspace(0.2, 0.3, input.depth).tolist()
    image = np.random.default_rng(4).random(tuple(input), np.float32) if mean_image else None
    preparation = Preparation(input, tuple(means), tuple(deviations), image)
    classes = tuple(f"class {number}" for number in range(network.output.depth))
    volume = Volume(input.height + border, input.width + border, input.depth)
    return Model(network.name or "mine", network, module.eval(), preparation, classes, volume)


def _calm(module: nn.Module) -> None:
    """Shortcuts that pass on what they get, and small branches, as training leaves them.

    Responses of a branch shrink with depth (He et al. 2015, figure 7).
    """
    passes = False
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            passes = each.kernel_size == (1, 1) and each.in_channels == each.out_channels
            if passes:
                nn.init.dirac_(each.weight)
        elif isinstance(each, NORMS) and passes:
            each.bias.data += 2  # most of it is above 0, and so passes the ReLU behind
        elif isinstance(each, NORMS):
            each.weight.data.fill_(0.2)
