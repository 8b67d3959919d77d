"""A score by sums alone, which processes can share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from striate.data import Images
from striate.errors import RunError
from striate.records import Score

BATCH = 256  # images at a time
Prepare = Callable[[Any, torch.device], Tensor]  # pixels to what a model takes, on its device


class ScoresNotFinite(RunError):
    """A network's scores are not finite: its weights have grown beyond all numbers, mostly."""


def score(
    model: nn.Module,
    images: Images,
    preparation: Prepare,
    *,
    batch: int = BATCH,
) -> Score:
    """Score a model on images, in evaluation mode and without gradients; its mode is restored.

    Where torch.distributed is initialised each rank scores its share, every rank calls this, and
    all get the same: counts are exactly those of one process, the loss is so within rounding.

    Args:
        model: float32 (N, depth, height, width) to class scores (N, classes).
        preparation: makes pixels ready for the model, on its device: a `Preparation`, mostly.
        batch: images at a time; it changes speed and memory, never the count.

    Of equal scores the class with the lower number comes first, as in `argmax`.

    Raises:
        DataError: the images do not fit the network's input.
        ScoresNotFinite: one is not; then every rank raises it.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module  # the wrapper waits for other ranks, whose shares have other batches
    device = next(model.parameters()).device
    joined = dist.is_available() and dist.is_initialized()
    rank, world = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
    top1_wrong = top5_wrong = 0
    loss = 0.0
    unusable = len(images)  # the first image of the first batch with a score that is not finite
    with evaluating(model):
        for positions in batches(shard(len(images), rank, world), batch):
            labels = torch.from_numpy(images.labels[positions])
            pixels = preparation(images.pixels[positions], device)
            scores = model(pixels).cpu().double()  # (N, classes)
            if not scores.isfinite().all():
                unusable = int(positions[0])
                break
            before = classes_before(scores, labels)
            top1_wrong += int((before >= 1).sum())
            top5_wrong += int((before >= 5).sum())
            loss += cross_entropy(scores, labels, reduction="sum").item()
    if joined:
        # On the model's device: NCCL sums nothing that lies elsewhere.
        sums = torch.tensor([loss, top1_wrong, top5_wrong], dtype=torch.float64, device=device)
        first = torch.tensor(unusable, device=device)
        dist.all_reduce(sums)
        dist.all_reduce(first, dist.ReduceOp.MIN)
        (loss, top1_wrong, top5_wrong), unusable = sums.tolist(), int(first)
    if unusable < len(images):
        raise not_finite(unusable)
    count = len(images)
    return Score(count, loss / count, top1_wrong / count, top5_wrong / count)


def shard(count: int, rank: int, world: int) -> NDArray[np.int64]:
    """The positions below `count` that a rank scores: a stretch, without padding or overlap.

    Shares differ by one at most; where there are more ranks than positions some are empty.
    """
    return np.arange(count * rank // world, count * (rank + 1) // world, dtype=np.int64)


def batches(positions: NDArray[np.int64], batch: int) -> Iterator[NDArray[np.int64]]:
    """The positions in stretches of at most `batch`."""
    for first in range(0, len(positions), batch):
        yield positions[first : first + batch]


def classes_before(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the true one, by falling score and rising number: int64 (N,)."""
    true = scores.gather(1, labels[:, None])
    lower = torch.arange(scores.shape[1]) < labels[:, None]
    return ((scores > true) | ((scores == true) & lower)).sum(dim=1)


def not_finite(first: int) -> ScoresNotFinite:
    """The error of a batch that begins with this image."""
    return ScoresNotFinite(f"the network's scores of images {first} and on are not finite")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the model's mode is restored."""
    before = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(before)
