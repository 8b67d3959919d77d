"""From a batch to class scores, and from scores to the loss that is lowered."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.data.augment import Batch
from striate.errors import RunError


def outputs(module: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The class scores in float32, and those of auxiliary heads where a network has some."""
    try:
        given = module(images)
    except ValueError as reason:
        if "more than 1 value per channel" not in str(reason):
            raise
        raise RunError(
            "batch normalisation cannot work on one value a channel: enlarge the recipe's batch, "
            "or lessen accumulate"
        ) from None
    if isinstance(given, Tensor):
        return given.float(), []
    return given["main"].float(), [
        scores.float() for head, scores in given.items() if head != "main"
    ]


def most(batch: Batch) -> Tensor:
    """The label of each image; of mixed ones, that with the larger share."""
    if batch.others is None or batch.share is None:
        return batch.labels
    return torch.where(batch.share >= 0.5, batch.labels, batch.others)


def loss_of(scores: Tensor, batch: Batch, smoothing: float) -> Tensor:
    """The sum of the cross-entropies of a batch; of mixed images, with both of their labels."""
    if batch.others is None or batch.share is None:
        return cross_entropy(scores, batch.labels, reduction="sum", label_smoothing=smoothing)
    each, other = (
        cross_entropy(scores, labels, reduction="none", label_smoothing=smoothing)
        for labels in (batch.labels, batch.others)
    )
    return (batch.share * each + (1 - batch.share) * other).sum()
