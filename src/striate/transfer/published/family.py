"""What the name rules of a published family are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

# How torchvision and timm prepare images unless they say otherwise: the mean and the deviation of
# each channel over ImageNet (torchvision.transforms).
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_it_is(name: str, tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


@dataclass(frozen=True)
class Family:
    """Name rules.

    Attributes:
        name: as its papers call it.
        networks: of the zoo, whose weights may be published.
        marks: names that all its published weights have, and no other family's.
        names: published weights to the zoo's name of each that it knows.
        reshaped: a tensor, by the zoo's name, as the zoo's layer has it.
        prepared: mean and deviation of each channel, of pixels from 0 to 1.
    """

    name: str
    networks: tuple[str, ...]
    marks: frozenset[str]
    names: Callable[[Mapping[str, Tensor]], dict[str, str]]
    reshaped: Callable[[str, Tensor], Tensor] = as_it_is
    prepared: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
