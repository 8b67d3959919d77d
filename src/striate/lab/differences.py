"""Gradients by backpropagation beside gradients by differences (CS231n, neural-networks-3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.see.copies import copied, scored

STEP = 1e-5
WEIGHTS = 8  # of each tensor
GOOD, WRONG = 1e-6, 1e-2  # relative errors
KINK = 1e-2  # the slopes on both sides differ by so much: a ReLU or a maximum switched
ROUNDING = 1e-14  # of a loss in float64, or of each whole nat of one


@dataclass(frozen=True)
class Checked:
    """The gradients of one tensor.

    Attributes:
        worst: the largest relative error |a - n| / max(|a|, |n|) among the weights compared, less
            what the rounding of float64 explains.
        compared: how many were.
        kinks: how many were passed over, since the loss has a kink within the step.
    """

    name: str
    worst: float
    compared: int
    kinks: int


def check_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> list[Checked]:
    """Some weights of each tensor: backpropagation beside (f(w + h) - f(w - h)) / 2h.

    f is the mean cross-entropy in evaluation mode, in float64, and h 1e-5.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        images: prepared, (N, D, H, W); a few will do.
        labels: int64, (N,).
    """
    copy = copied(model).double()
    images = images.double()
    chance = torch.Generator().manual_seed(0)

    def loss() -> Tensor:
        return cross_entropy(scored(copy, images), labels)

    found = []
    for name, tensor in copy.named_parameters():
        tensor.requires_grad_()
        (slope,) = torch.autograd.grad(loss(), tensor)
        tensor.requires_grad_(False)
        places = [
            tuple(map(int, np.unravel_index(at, tensor.shape)))
            for at in torch.randperm(tensor.numel(), generator=chance)[:WEIGHTS].tolist()
        ]
        errors = [_error(float(slope[place]), _losses(tensor, place, loss)) for place in places]
        told = [each for each in errors if each is not None]
        found.append(Checked(name, max(told, default=0.0), len(told), len(errors) - len(told)))
    return found


@torch.no_grad()
def _losses(
    weights: Tensor, place: tuple[int, ...], loss: Callable[[], Tensor]
) -> tuple[float, float, float]:
    """With a smaller weight, as it is, with a larger one."""
    before = weights[place].clone()
    found = []
    for step in (-STEP, 0.0, STEP):
        weights[place] = before + step
        found.append(float(loss()))
    weights[place] = before
    return found[0], found[1], found[2]


def _error(slope: float, losses: tuple[float, float, float]) -> float | None:
    """The relative error of a slope, as far as rounding does not explain it; None at a kink."""
    below, middle, above = losses
    left, right = (middle - below) / STEP, (above - middle) / STEP
    rounding = ROUNDING * max(1.0, *losses) / STEP
    if abs(right - left) > KINK * max(abs(left), abs(right)) + 2 * rounding:
        return None
    centred = (left + right) / 2
    size = max(abs(slope), abs(centred))
    return max(0.0, abs(slope - centred) - rounding) / size if size else 0.0
