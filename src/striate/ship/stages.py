"""What predicting computes, step by step: no dropout, no heads, batch normalisation folded."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from striate import layers
from striate.build import FLAT, SPATIAL, attribute
from striate.layers import Layer, Volume
from striate.network import Network
from striate.steps import INPUT, Step

NOTHING = (layers.Dropout, layers.Identity)  # when a network predicts
NORMS = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Stage:
    """One operation with its weights.

    Attributes:
        index: its step's, by which other stages read its volume.
        name: its step's.
        inputs: the stages that it reads; INPUT (-1) is what the network is given.
        met, volume: as of its step.
        flat: whether its volume is (N, K) rather than (N, D, H, W).
        module: as `striate.build` makes it; None of a join.
    """

    index: int
    name: str
    layer: Layer
    inputs: tuple[int, ...]
    met: Volume
    volume: Volume
    flat: bool
    module: nn.Module | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """All stages in the order of computation, and the one that gives the scores."""

    network: Network
    stages: tuple[Stage, ...]
    output: int

    @property
    def volumes(self) -> dict[int, Volume]:
        """What each stage gives, and what the network is given, by index."""
        return {INPUT: self.network.input} | {each.index: each.volume for each in self.stages}

    @property
    def flat(self) -> dict[int, bool]:
        """Whether that is (N, K)."""
        return {INPUT: False} | {each.index: each.flat for each in self.stages}


def plan(network: Network, module: nn.Module, *, fold: bool = True) -> Plan:
    """The stages of a network and its module.

    Args:
        fold: whether a batch normalisation right after a convolution or a fully connected layer
            becomes part of it.
    """
    same: dict[int, int] = {INPUT: INPUT}  # the stage whose volume each step gives
    flat: dict[int, bool] = {INPUT: False}
    stages: dict[int, Stage] = {}
    for step in _needed(network):
        inputs = tuple(same[index] for index in step.inputs)
        flat[step.index] = _is_flat(step.layer, [flat[index] for index in step.inputs])
        if isinstance(step.layer, NOTHING) or network.apart(step):
            same[step.index] = inputs[0]
            continue
        same[step.index] = step.index
        made = None
        if not isinstance(step.layer, layers.Join):
            made = module.get_submodule(".".join(map(attribute, step.name.split("."))))
        stages[step.index] = Stage(
            step.index,
            step.name,
            step.layer,
            inputs,
            step.met,
            step.volume,
            flat[step.index],
            made,
        )
    output = same[network.expansion.output]
    if fold:
        stages, output = _folded(stages, output)
    return Plan(network, tuple(stages.values()), output)


def _needed(network: Network) -> list[Step]:
    """The steps that the output depends on."""
    wanted = {network.expansion.output}
    found = []
    for step in reversed(network.steps):
        if step.index in wanted:
            found.append(step)
            wanted.update(step.inputs)
    return found[::-1]


def _is_flat(layer: Layer, inputs: list[bool]) -> bool:
    if isinstance(layer, FLAT):
        return True
    return not isinstance(layer, SPATIAL) and all(inputs)


def _folded(stages: dict[int, Stage], output: int) -> tuple[dict[int, Stage], int]:
    readers = Counter(index for each in stages.values() for index in each.inputs)
    into: dict[int, int] = {}
    made: dict[int, Stage] = {}
    for index, each in stages.items():
        before = made.get(each.inputs[0])
        # A volume that something else reads too, or that is the output, has to stay as it is.
        alone = before is not None and readers[each.inputs[0]] == 1 and each.inputs[0] != output
        if alone and before is not None and (module := _together(before.module, each.module)):
            into[index] = before.index
            made[before.index] = replace(before, module=module)
            continue
        made[index] = replace(each, inputs=tuple(into.get(one, one) for one in each.inputs))
    return made, into.get(output, output)


def _together(first: nn.Module | None, norm: nn.Module | None) -> nn.Module | None:
    """A layer with a batch normalisation in its weights (arXiv:1712.05877, section 3.2)."""
    if not isinstance(norm, NORMS) or norm.running_mean is None or norm.running_var is None:
        return None
    scale = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
    numbers = norm.running_mean, norm.running_var, norm.eps, scale, norm.bias
    if isinstance(first, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        weight, bias = fuse_conv_bn_weights(first.weight, first.bias, *numbers)
    elif isinstance(first, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        weight, bias = fuse_linear_bn_weights(first.weight, first.bias, *numbers)
    else:
        return None
    made = copy(first)
    made._parameters = dict(first._parameters)
    made.weight, made.bias = weight, bias
    return made
