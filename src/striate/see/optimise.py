"""What all images made by optimisation share: the pixels they can have, jitter, smoothness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.data import Preparation


@dataclass(frozen=True, eq=False)
class Limits:
    """The prepared values of black and of white, (1, D, H, W) of the network's input."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, preparation: Preparation, device: torch.device) -> Limits:
        """Of images as a network takes them."""
        black = torch.zeros(1, *preparation.input, dtype=torch.uint8, device=device)
        return cls(preparation(black), preparation(black + 255))

    @property
    def span(self) -> Tensor:
        """From black to white, as the network takes them."""
        return self.high - self.low

    def prepared(self, pixels: Tensor) -> Tensor:
        """Pixels from 0, black, to 1, white, as the network takes them.

        Images are made of pixels, so that rates mean the same however images are normalised.
        """
        return self.low + self.span * pixels

    def pixels(self, images: Tensor) -> Tensor:
        """The way back."""
        return (images - self.low) / self.span

    def grey(self, chance: torch.Generator, noise: float = 0.05) -> Tensor:
        """Pixels of middle grey with a little noise, which an image is made from, (1, D, H, W)."""
        drawn = torch.randn(self.low.shape, generator=chance).to(self.low)
        return (0.5 + noise * drawn).clamp(0, 1)


def jittered(images: Tensor, most: int, chance: torch.Generator) -> Tensor:
    """Rolled by up to `most` pixels each way, at random."""
    if not most:
        return images
    rows, columns = torch.randint(-most, most + 1, (2,), generator=chance).tolist()
    return images.roll((rows, columns), dims=(2, 3))


def total_variation(images: Tensor) -> Tensor:
    """Squared differences of neighbouring pixels, a mean over the image's values.

    Mahendran and Vedaldi 2014, arXiv:1412.0035, equation 3 with beta 2.
    """
    down = (images[:, :, 1:] - images[:, :, :-1]).square().sum()
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).square().sum()
    return (down + across) / images.numel()
