"""VGG with and without batch normalisation, as torchvision and as timm have it.

Both number all layers of `features` on, those without weights too. torchvision's first two fully
connected layers are timm's `pre_logits`, which are convolutions of 7x7 and of 1x1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count

from torch import Tensor

from striate.transfer.published.family import Family

DENSE = {
    "classifier.0": "fc1",
    "classifier.3": "fc2",
    "classifier.6": "fc3",
    "pre_logits.fc1": "fc1",
    "pre_logits.fc2": "fc2",
    "head.fc": "fc3",
}


def names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """A published tensor's name to ours."""
    found: dict[str, str] = {}
    numbers = {"conv": count(1), "bn": count(1)}
    for layer in sorted(_numbered(weights)):
        kind = "conv" if weights[f"features.{layer}.weight"].dim() == 4 else "bn"
        found[f"features.{layer}"] = f"{kind}{next(numbers[kind])}"
    found |= DENSE
    split = (name.rpartition(".") for name in weights)
    return {
        f"{layer}.{what}": f"{found[layer]}.{what}" for layer, _, what in split if layer in found
    }


def _numbered(keys: Iterable[str]) -> set[int]:
    matches = (re.fullmatch(r"features\.(0|[1-9][0-9]{0,2})\.weight", key) for key in keys)
    return {int(each[1]) for each in matches if each}


def reshaped(name: str, tensor: Tensor) -> Tensor:
    """A tensor as our layer has it: a convolution over the whole volume is fully connected."""
    return tensor.flatten(1) if name.startswith("fc") and tensor.dim() == 4 else tensor


TORCHVISION = Family(
    "VGG",
    networks=tuple(f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "-bn")),
    marks=frozenset({"features.0.weight", "classifier.0.weight"}),
    names=names,
    reshaped=reshaped,
)
TIMM = replace(TORCHVISION, marks=frozenset({"features.0.weight", "pre_logits.fc1.weight"}))
