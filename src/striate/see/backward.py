"""Guided backpropagation and the deconvnet: other ways back through each ReLU.

Both show the structure of the image rather than the decision: their pictures hardly change where a
network's weights are drawn anew (Adebayo et al. 2018, arXiv:1810.03292). They are labelled so.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import SeeError
from striate.see.copies import copied, scored
from striate.see.gradients import of_copy

SHOWS = "shows image structure, not the decision"


class _Guided(torch.autograd.Function):
    """Forward a ReLU; backward only what is above 0, at units that were on, below their most."""

    @staticmethod
    def forward(context: Any, volume: Tensor, most: float) -> Tensor:
        context.save_for_backward(volume)
        context.most = most
        return volume.clamp(0, most)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (volume,) = context.saved_tensors
        on: Tensor = (volume > 0) & (volume < context.most)
        return gradient.clamp(min=0) * on, None


class _Deconv(torch.autograd.Function):
    """Forward a ReLU; backward a ReLU too, whatever was on."""

    @staticmethod
    def forward(context: Any, volume: Tensor, most: float) -> Tensor:
        return volume.clamp(0, most)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.clamp(min=0), None


class _Rectifier(nn.Module):
    def __init__(self, way: type[torch.autograd.Function], most: float) -> None:
        super().__init__()
        self.way, self.most = way, most

    def forward(self, volume: Tensor) -> Tensor:
        found: Tensor = self.way.apply(volume, self.most)  # type: ignore[no-untyped-call]
        return found


def guided_backpropagation(
    model: nn.Module, images: Tensor, classes: Tensor | int | None = None
) -> Tensor:
    """The gradient without what is below 0 at any ReLU (Springenberg et al. 2014, arXiv:1412.6806).

    Shows image structure, not the decision.

    Args:
        model: float32 (N, D, H, W) to class scores, its ReLUs modules; it is not touched.
        images: prepared, (N, D, H, W).
        classes: of each image, or one for all; by default the one that scores highest.

    Returns:
        (N, D, H, W).

    Raises:
        SeeError: there is no such class, or a ReLU is no module.
    """
    return _through(model, images, classes, _Guided)


def deconvnet(model: nn.Module, images: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """The score led back to the image, rectified at each ReLU (Zeiler and Fergus 2013).

    arXiv:1311.2901, section 2.1. Pools lead back to where the maximum was. Without a ReLU it is the
    gradient. Shows image structure, not the decision. Arguments and errors are those of
    `guided_backpropagation`.
    """
    return _through(model, images, classes, _Deconv)


def _through(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None,
    way: type[torch.autograd.Function],
) -> Tensor:
    copy = copied(model)
    for name, each in list(copy.named_modules()):
        if isinstance(each, nn.ReLU | nn.ReLU6):
            parent, _, own = name.rpartition(".")
            most = 6.0 if isinstance(each, nn.ReLU6) else math.inf
            setattr(copy.get_submodule(parent), own, _Rectifier(way, most))
    if hidden := _functions(copy, images[:1]):
        raise SeeError(
            f"{hidden} of the network's ReLUs are functions, not modules: the way back through "
            "them cannot be changed; write them as nn.ReLU()"
        )
    return of_copy(copy, images, classes)


def _functions(copy: nn.Module, images: Tensor) -> int:
    """ReLUs that are left in the graph of a prediction."""
    with torch.enable_grad():
        end = scored(copy, images.detach().clone().requires_grad_()).sum().grad_fn
    met, left, count = set(), [end], 0
    while left:
        node = left.pop()
        if node is None or node in met:
            continue
        met.add(node)
        count += type(node).__name__.startswith(("ReluBackward", "HardtanhBackward"))
        left += [following for following, _ in node.next_functions]
    return count
