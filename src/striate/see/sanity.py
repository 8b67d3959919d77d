"""Whether a picture has to do with what was learned (Adebayo et al. 2018, arXiv:1810.03292)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from striate.see.copies import copied


def randomised(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """The model with its weights lost from the top down, layer by layer: cascading randomisation.

    Each layer's weights are drawn anew, normal with the mean and the deviation that they had
    (section 4.1). What a picture shows of a decision must change with them.

    Yields:
        The name of the layer that was lost last, and the model, which is the same each time.
    """
    copy = copied(model)
    chance = torch.Generator().manual_seed(seed)
    layers = [
        (name, each)
        for name, each in copy.named_modules()
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    for name, each in reversed(layers):
        for tensor in each.parameters():
            drawn = torch.randn(tensor.shape, generator=chance).to(tensor)
            deviation = tensor.std() if tensor.numel() > 1 else tensor.abs().sum()
            tensor.copy_(tensor.mean() + deviation * drawn)
        yield name, copy


def likeness(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two pictures' absolute values, from -1 to 1 (section 4)."""
    from scipy.stats import spearmanr  # takes most of a second

    found = spearmanr(first.abs().flatten().cpu().numpy(), second.abs().flatten().cpu().numpy())
    return float(found.statistic)
