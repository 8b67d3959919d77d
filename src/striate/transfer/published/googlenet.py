"""GoogLeNet as torchvision has it: with batch normalisation, and 3x3 filters for the paper's 5x5.

Its weights were trained on images from -1 to 1: torchvision's class takes images that are prepared
as ImageNet's usually are and undoes that (`transform_input`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from striate.transfer.published.family import Family

# The blocks of the zoo's text: unit1(k), unit3(k) hold one convolution and its normalisation.
STEM = {"conv2": "unit11", "conv3": "unit31"}
BRANCHES = {
    "branch1": "branch1.unit11",
    "branch2.0": "branch2.unit11",
    "branch2.1": "branch2.unit31",
    "branch3.0": "branch3.unit11",
    "branch3.1": "branch3.unit31",
    "branch4.1": "branch4.unit11",
}
INNER = re.compile(r"inception(\d[a-e])\.(branch\d(?:\.\d)?)\.(conv|bn)\.(\w+)")
OUTER = re.compile(r"(conv\d)\.(conv|bn)\.(\w+)")


def names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """A published tensor's name to ours."""
    found = {"fc.weight": "fc1.weight", "fc.bias": "fc1.bias"}
    for key in weights:
        if (inner := INNER.fullmatch(key)) and inner[2] in BRANCHES:
            block, branch, kind, what = inner.groups()
            found[key] = f"inception_{block}.concat1.{BRANCHES[branch]}.{kind}1.{what}"
        elif outer := OUTER.fullmatch(key):
            layer, kind, what = outer.groups()
            block = f"{STEM[layer]}." if layer in STEM else ""
            found[key] = f"{block}{kind}1.{what}"
    return found


FAMILY = Family(
    "GoogLeNet",
    networks=("googlenet-torchvision",),
    marks=frozenset(
        {"conv1.conv.weight", "inception3a.branch1.conv.weight", "inception5b.branch1.bn.weight"}
    ),
    names=names,
    prepared=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)
