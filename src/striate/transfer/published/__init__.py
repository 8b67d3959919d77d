"""Weights that torchvision and timm publish, under the names of the zoo's networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from striate import zoo
from striate.network import Network
from striate.transfer.published import alexnet, googlenet, resnet, vgg

FAMILIES = (alexnet.FAMILY, vgg.TORCHVISION, vgg.TIMM, googlenet.FAMILY, resnet.FAMILY)


@dataclass(frozen=True)
class Published:
    """Weights by the names of a network of the zoo.

    Attributes:
        family: as its papers call it.
        network: the one that they are of; None where the zoo has none with such weights.
        mean, deviation: that images were prepared with.
    """

    family: str
    weights: dict[str, Tensor]
    network: Network | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def published(weights: Mapping[str, Tensor]) -> Published | None:
    """Weights of a published network under the zoo's names; None where they are of no family.

    Tensors without a place in the network, such as those of auxiliary heads, keep their names.
    """
    for family in FAMILIES:
        if not family.marks <= weights.keys():
            continue
        names = family.names(weights)
        found = {names.get(name, name): each for name, each in weights.items()}
        found = {name: family.reshaped(name, each) for name, each in found.items()}
        network = _network(family.networks, found)
        return Published(family.name, found, network, *family.prepared)
    return None


def _network(names: tuple[str, ...], weights: Mapping[str, Tensor]) -> Network | None:
    """Of some networks of the zoo the one with most tensors whose every tensor is there in its own
    shape, but for the last layer, which may tell other classes apart.
    """
    found: dict[int, str] = {}
    for name in names:
        shapes = _shapes(name)
        last = list(shapes)[-2:]
        if all(
            key in last or (key in weights and weights[key].shape == shape)
            for key, shape in shapes.items()
        ):
            found[len(shapes)] = name
    return zoo.read(found[max(found)]) if found else None


@cache
def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        state = zoo.read(name).build().state_dict()
    return {key: each.shape for key, each in state.items() if _counts(key)}


def _counts(name: str) -> bool:
    """PyTorch counts batches beside a normalisation's statistics; nothing reads that."""
    return not name.endswith("num_batches_tracked")
