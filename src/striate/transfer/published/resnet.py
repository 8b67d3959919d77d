"""ResNet of 18 to 152 layers, as torchvision and timm have it, under the same names.

From 50 layers on both halve the volume in a block's 3x3 convolution, not in its first 1x1 as the
released networks do: their weights are of the zoo's `-torchvision` networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from striate.transfer.published.family import Family

PLAIN = {"fc.weight": "fc1.weight", "fc.bias": "fc1.bias"}
BLOCK = re.compile(r"layer(\d)\.(\d{1,3})\.(conv\d|bn\d|downsample\.[01])\.(\w+)")
PROJECTION = {"downsample.0": "branch2.conv1", "downsample.1": "branch2.bn1"}


def names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """A published tensor's name to ours: their blocks are counted anew in each layer, ours on."""
    matches = [match for key in weights if (match := BLOCK.fullmatch(key))]
    kind = "bottleneck" if any(match[3] == "conv3" for match in matches) else "basic"
    blocks = sorted({(int(match[1]), int(match[2])) for match in matches})
    number = {block: at for at, block in enumerate(blocks, 1)}
    found = dict(PLAIN)
    for match in matches:
        layer, what = match[3], match[4]
        inner = PROJECTION.get(layer, f"branch1.{layer}")
        block = number[int(match[1]), int(match[2])]
        found[match[0]] = f"{kind}{block}.add1.{inner}.{what}"
    return found


FAMILY = Family(
    "ResNet",
    networks=(
        "resnet18",
        "resnet34",
        "resnet50-torchvision",
        "resnet101-torchvision",
        "resnet152-torchvision",
    ),
    marks=frozenset(
        {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.downsample.0.weight"}
    ),
    names=names,
)
