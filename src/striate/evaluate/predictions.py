"""What networks say of each image: probabilities, averaged over views and over networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.data import Images, Preparation
from striate.data.tell import Tell, silent
from striate.errors import DataError, one_of
from striate.evaluate.scores import BATCH, batches, evaluating, not_finite
from striate.evaluate.views import VIEWS


@dataclass(frozen=True, eq=False)
class Predictions:
    """The probability of each class for each image, beside the truth.

    Attributes:
        log_probabilities: float64, (images, classes). Logarithms keep the order and the loss where
            a probability is too small to be told from 0.
        labels: int64, (images,), each the position of a name in `classes`.
        classes: the names of the classes.
    """

    log_probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(images, classes), from 0 to 1."""
        return np.exp(self.log_probabilities)


def predict(
    models: Sequence[nn.Module],
    images: Images,
    preparation: Preparation,
    *,
    views: str = "1",
    batch: int = BATCH,
    tell: Tell = silent,
) -> Predictions:
    """The mean over models and views of the softmax (Krizhevsky et al. 2012, section 4.1).

    Args:
        models: float32 (N, depth, height, width) to class scores (N, classes), on one device;
            their modes are restored. Of models with other preparations, `average` the predictions.
        views: a key of VIEWS.
        batch: images at a time; it changes speed and memory.

    Raises:
        DataError: the images do not fit the networks' input.
        ScoresNotFinite: one is not.
        StriateError: there are no such views.
    """
    found = VIEWS[one_of("views", views, VIEWS)]
    device = next(models[0].parameters()).device
    every = np.arange(len(images), dtype=np.int64)
    parts = []
    for positions in batches(every, batch):
        tell("scoring", int(positions[0]), len(images))
        seen = found(torch.from_numpy(images.pixels[positions]).to(device), preparation)
        logs = []
        for model in models:
            with evaluating(model):
                for weight, view in seen:
                    scores = model(view).cpu().double()
                    if not scores.isfinite().all():
                        raise not_finite(int(positions[0]))
                    logs.append(scores.log_softmax(dim=1) + math.log(weight / len(models)))
        parts.append(torch.logsumexp(torch.stack(logs), dim=0).numpy())
    tell("scoring", len(images), len(images))
    return Predictions(np.concatenate(parts), images.labels, images.classes)


def average(predictions: Sequence[Predictions]) -> Predictions:
    """The mean probabilities of an ensemble.

    Raises:
        DataError: the predictions are not of the same images and classes.
    """
    first = predictions[0]
    for other in predictions[1:]:
        if other.classes != first.classes or not np.array_equal(other.labels, first.labels):
            raise DataError("only predictions for the same images and classes can be averaged")
    logs = np.logaddexp.reduce([each.log_probabilities for each in predictions])
    return Predictions(logs - math.log(len(predictions)), first.labels, first.classes)
