"""Activation maps: what every layer makes of an image."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from striate.network import Network
from striate.see.copies import copied, volumes
from striate.steps import Step

# What changes nothing when it predicts.
NOTHING = nn.Identity | nn.Dropout | nn.Flatten


def visible(network: Network, model: nn.Module) -> list[Step]:
    """The layers of a network that take part in predicting and change what they meet."""
    modules = dict(model.named_modules())
    heads = {step.index for part in network.expansion.heads.values() for step in part.steps()}
    return [
        step
        for step in network.steps
        if step.index not in heads
        and step.name in modules
        and not isinstance(modules[step.name], NOTHING)
    ]


def maps(model: nn.Module, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """The outputs of layers by name, as they are in predicting: (N, K, H, W), or (N, K).

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        images: prepared, (N, D, H, W).
        layers: their names, as in the table.

    Raises:
        SeeError: there is no such layer, or it takes no part in predicting.
    """
    names = list(layers)
    copy = copied(model)
    with torch.no_grad(), volumes(copy, names) as found:
        copy(images)
    return {name: found[name] for name in names}
