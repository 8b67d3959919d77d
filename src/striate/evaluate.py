"""How good a network is on images: exact counts, nothing averaged over batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from striate.data import Images, Preparation
from striate.errors import RunError
from striate.records import Score

BATCH = 256  # images at a time


def score(
    model: nn.Module, images: Images, preparation: Preparation, *, batch: int = BATCH
) -> Score:
    """Score a model on images, in evaluation mode and without gradients; its mode is restored.

    Args:
        model: float32 (N, depth, height, width) to class scores (N, classes).
        batch: images at a time; it changes speed and memory, never the count.

    Of equal scores the class with the lower number comes first, as in `argmax`.

    Raises:
        DataError: the images do not fit the network's input.
        RunError: a score is not finite.
    """
    top1_wrong = top5_wrong = 0
    loss = 0.0
    device = next(model.parameters()).device
    with _evaluating(model), torch.inference_mode():
        for first in range(0, len(images), batch):
            pixels = torch.from_numpy(preparation(images.pixels[first : first + batch]))
            labels = torch.from_numpy(images.labels[first : first + batch]).to(device)
            scores = model(pixels.to(device))  # (N, classes)
            if not scores.isfinite().all():
                raise RunError(f"the network's scores of images {first} and on are not finite")
            ranked = scores.argsort(dim=1, descending=True, stable=True)
            ranks = (ranked == labels[:, None]).int().argmax(dim=1)  # classes before the true one
            top1_wrong += int((ranks >= 1).sum())
            top5_wrong += int((ranks >= 5).sum())
            loss += cross_entropy(scores.double(), labels, reduction="sum").item()
    count = len(images)
    return Score(count, loss / count, top1_wrong / count, top5_wrong / count)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
