"""The moving average of a model's weights, which is often better than the last ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from striate.errors import RunError


class Average:
    """The exponential moving average of a model's weights and of its running statistics.

    Each update is mean <- decay * mean + (1 - decay) * weights. While few steps are done, the decay
    is no more than what makes it the plain mean of all of them, so that the first weights of a
    short run do not weigh in it (as TensorFlow's ExponentialMovingAverage does with num_updates).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.means = {name: each.detach().clone() for name, each in _floating(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: float = math.inf) -> None:
        """Take a step's weights in; `step` is how many were taken in before."""
        weight = 1 - min(self.decay, 1 - 1 / (step + 1))
        for name, each in _floating(model):
            self.means[name].lerp_(each, weight)

    def tensors(self) -> dict[str, Tensor]:
        """The means by the names of the model's state; not copied."""
        return dict(self.means)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave.

        Raises:
            RunError: they are of another network.
        """
        for name, mean in self.means.items():
            if name not in tensors or tensors[name].shape != mean.shape:
                raise RunError(f"the averaged weights are of another network: {name} does not fit")
            mean.copy_(tensors[name])


def _floating(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((n, each) for n, each in model.state_dict().items() if each.is_floating_point())
