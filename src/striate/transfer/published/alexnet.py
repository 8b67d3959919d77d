"""AlexNet as torchvision has it: the network of "one weird trick", arXiv:1404.5997."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from striate.transfer.published.family import Family

LAYERS = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc1",
    "classifier.4": "fc2",
    "classifier.6": "fc3",
}


def names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """A published tensor's name to ours."""
    return {
        f"{theirs}.{what}": f"{ours}.{what}"
        for theirs, ours in LAYERS.items()
        for what in ("weight", "bias")
    }


FAMILY = Family(
    "AlexNet",
    networks=("alexnet-one-weird-trick",),
    marks=frozenset(
        {"features.0.weight", "features.10.weight", "classifier.1.weight", "classifier.4.weight"}
    ),
    names=names,
)
