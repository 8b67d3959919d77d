"""Gradients of a class score with respect to the image: saliency (Simonyan et al. 2013)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.see.copies import copied, of_targets


def gradient(model: nn.Module, images: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """How each value of the image moves the score of a class: d score / d image.

    The score is the one before the softmax: a probability also rises where the scores of other
    classes fall (Simonyan et al. 2013, arXiv:1312.6034, section 3.1).

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        images: prepared, (N, D, H, W).
        classes: of each image, or one for all; by default the one that scores highest.

    Returns:
        (N, D, H, W).

    Raises:
        SeeError: there is no such class.
    """
    return of_copy(copied(model), images, classes)


def of_copy(copy: nn.Module, images: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """The same, of a copy that one may do with as one likes."""
    seen = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(of_targets(copy, seen, classes), seen)
    return found


def saliency(model: nn.Module, images: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """The largest absolute gradient over the channels at each pixel, (N, H, W).

    Simonyan et al. 2013, section 3.1. Arguments and errors are those of `gradient`.
    """
    return gradient(model, images, classes).abs().amax(dim=1)
