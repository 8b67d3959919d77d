"""What leaves the workbench: a network, its weights, what images go through, the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from striate.data import Preparation
from striate.data.measure import margins
from striate.data.preparation import shift_and_scale
from striate.layers.volume import Volume
from striate.network import Network
from striate.runs import Run

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Pixels (N, H, W, D) to probabilities (N, K)."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to predict.

    Attributes:
        name: how it goes by.
        module: float32, on the CPU, in evaluation mode; (N, D, H, W) to scores (N, K).
        preparation: what pixels go through before it.
        classes: their names, in the order of the scores.
        volume: of the pixels of an image file once it was decoded and scaled, before it is cut to
            the network's input.
    """

    name: str
    network: Network
    module: nn.Module
    preparation: Preparation
    classes: tuple[str, ...]
    volume: Volume

    @property
    def mark(self) -> str:
        """SHA-256, in hexadecimal, of all that decides its answers."""
        said = [self.preparation._plain, self.classes, self.volume, str(self.network)]
        found = sha256(repr(said).encode())
        found.update(self.preparation._image.tobytes())
        for name, tensor in self.module.state_dict().items():
            found.update(name.encode())
            found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def exact(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, K), in plain float32, layer by layer: what others are compared with."""
        with torch.inference_mode():
            return probabilities(self.module(self.preparation(pixels)))


def of_run(run: Run) -> Model:
    """A run's model, with the weights to use.

    Raises:
        RunError: it has no weights yet, or they are damaged.
    """
    name = run.path.resolve().name
    volume = Volume(*run.images[:2], run.network.input.depth)
    return Model(name, run.network, run.model(), run.preparation, run.classes, volume)


def probabilities(scores: Tensor) -> NDArray[np.float32]:
    """The softmax of scores (N, K), in float32."""
    return torch.softmax(scores.float(), dim=1).cpu().numpy()


class Whole(nn.Module):
    """Pixels, uint8 (N, H, W, D), to (probabilities, scores): what goes into an artefact.

    It computes what `Preparation` does, in the same order, by operations that can be exported.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, model: Model, module: nn.Module | None = None) -> None:
        super().__init__()
        shift, scale = shift_and_scale(model.preparation, torch.device("cpu"))
        self.register_buffer("shift", shift.clone())
        self.register_buffer("scale", scale.clone())
        self.borders = borders(model)
        self.network = module or model.module
        self.eval()

    def prepared(self, pixels: Tensor) -> Tensor:
        """(N, D, H, W) as the network takes it."""
        if any(self.borders):
            pixels = pad(pixels, self.borders)
        return pixels.float().sub(self.shift).mul(self.scale).permute(0, 3, 1, 2)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.network(self.prepared(pixels)).float()
        return torch.softmax(scores, dim=1), scores


def borders(model: Model) -> tuple[int, int, int, int, int, int]:
    """What is added around (N, H, W, D) to fit the input, as `torch.nn.functional.pad` takes it.

    Below 0 it is cut.
    """
    (top, bottom), (left, right) = margins(model.volume, model.preparation.input)
    return 0, 0, left, right, top, bottom
