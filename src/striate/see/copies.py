"""A copy of a model to look into: whatever is done to it, the model stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import SeeError, nearest

# Where PyTorch's modules keep hooks: those of whoever trains the model are not for a copy.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def copied(model: nn.Module) -> nn.Module:
    """The model to look into: evaluated, frozen, without hooks, and with nothing done in place.

    A ReLU in place would write over the volume that is looked at, and a hook on its backward pass
    would not be allowed to see it.
    """
    copy = deepcopy(model).eval().requires_grad_(False)
    for each in copy.modules():
        for hooks in HOOKS:
            getattr(each, hooks).clear()
        if getattr(each, "inplace", False):
            each.inplace = False  # type: ignore[assignment]
    return copy


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights lie, and images have to."""
    return next(model.parameters()).device


class Volumes(dict[str, Tensor]):
    """The outputs of layers, by name."""

    def __missing__(self, name: str) -> Tensor:
        raise SeeError(f"{name} takes no part in predicting: its head is only trained with")


@contextmanager
def volumes(copy: nn.Module, names: Iterable[str]) -> Iterator[Volumes]:
    """The outputs of layers by name, anew each time that the copy computes.

    Raises:
        SeeError: there is no such layer, or it takes no part in predicting.
    """
    found = Volumes()

    def keeper(name: str) -> Any:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output

        return keep

    layers = {name: layer(copy, name) for name in names}
    hooks = [each.register_forward_hook(keeper(name)) for name, each in layers.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def layer(model: nn.Module, name: str) -> nn.Module:
    """The module of a layer, named as its row in the table.

    Raises:
        SeeError: there is none of that name; the nearest is named.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in modules:
        raise SeeError(f"the network has no layer {name!r}: {nearest(name, [*modules][1:])}")
    return modules[name]


def spatial(volume: Tensor) -> Tensor:
    """(N, K) as (N, K, 1, 1), and (N, K, H, W) as it is."""
    return volume[:, :, None, None] if volume.dim() == 2 else volume


def scored(copy: nn.Module, images: Tensor) -> Tensor:
    """Class scores before any softmax, (N, K); of a network over positions, their means."""
    scores: Tensor = copy(images)
    return scores if scores.dim() == 2 else scores.flatten(2).mean(dim=2)


def targets(scores: Tensor, classes: Tensor | int | None) -> Tensor:
    """(N,): the classes asked for, or the highest of each image.

    Raises:
        SeeError: there are not so many classes.
    """
    if classes is None:
        return scores.argmax(dim=1)
    chosen = torch.as_tensor(classes, device=scores.device).expand(len(scores))
    if len(wrong := chosen[(chosen < 0) | (chosen >= scores.shape[1])]):
        raise SeeError(f"there is no class {wrong[0]}: the network tells {scores.shape[1]} apart")
    return chosen


def of_targets(copy: nn.Module, images: Tensor, classes: Tensor | int | None) -> Tensor:
    """The sum over images of the scores of their classes: what gradients are taken of.

    Raises:
        SeeError: there is no such class.
    """
    scores = scored(copy, images)
    return scores.gather(1, targets(scores, classes)[:, None]).sum()


class _Reached(Exception):
    def __init__(self, volume: Tensor) -> None:
        self.volume = volume


def reached(copy: nn.Module, images: Tensor, name: str) -> Tensor:
    """A layer's output, with nothing computed behind it, so that images may have any size it takes.

    Raises:
        SeeError: there is no such layer, it takes no part in predicting, or a layer before it
            cannot take images of this size.
    """

    def stop(module: nn.Module, inputs: object, output: Tensor) -> None:
        raise _Reached(output)

    hook = layer(copy, name).register_forward_hook(stop)
    try:
        copy(images)
    except _Reached as found:
        return found.volume
    except RuntimeError as reason:
        size = "x".join(map(str, images.shape[2:]))
        raise SeeError(f"{name} cannot be reached with an image of {size}: {reason}") from None
    finally:
        hook.remove()
    return Volumes()[name]
