"""What predictions come to: errors with their intervals, confusion, calibration, mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.evaluate.predictions import Predictions
from striate.records import Score

NORMAL_95 = 1.959963984540054  # standard deviations either side that hold 95%
BINS = 15  # Guo et al. 2017, arXiv:1706.04599, table 1
MISTAKES = 48
CHUNK = 4096  # images ranked at a time


@dataclass(frozen=True)
class Rate:
    """How many of so many were wrong."""

    wrong: int
    count: int

    @property
    def fraction(self) -> float:
        """From 0 to 1; not a number where there were none."""
        return self.wrong / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval (Wilson 1927, JASA 22:209): it holds from 0 up to all wrong.

        What another sample of images, drawn as these were, would vary by; not another training.
        """
        if not self.count:
            return 0.0, 1.0
        z = NORMAL_95**2 / self.count
        middle = (self.fraction + z / 2) / (1 + z)
        half = math.sqrt(z * (self.fraction * (1 - self.fraction) + z / 4)) / (1 + z)
        low = 0.0 if self.wrong == 0 else middle - half
        return low, 1.0 if self.wrong == self.count else middle + half


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies above `low` and not above `high`.

    Attributes:
        confidence: its mean, the probability of the class that was said; not a number of none.
        rate: how many of them were wrong.
    """

    low: float
    high: float
    confidence: float
    rate: Rate


@dataclass(frozen=True)
class Confusion:
    """So many images of one class were said to be of another."""

    true: str
    said: str
    count: int


@dataclass(frozen=True)
class Mistake:
    """An image, by its position in its split, that was said to be of another class."""

    position: int
    true: str
    said: str
    probability: float


@dataclass(frozen=True, eq=False)
class Summary:
    """All that is said of predictions.

    Attributes:
        errors: top-k error for each k.
        loss: mean negative logarithm of the true class's probability, in nats.
        per_class: top-1 error among the images of each class.
        confusion: int64, (classes, classes): rows are the true class, columns what was said.
        confused: the largest counts of `confusion` off its diagonal, largest first.
        bins: of equal width, by confidence.
        calibration_error: expected calibration error: the mean over images of the distance
            between a bin's confidence and its accuracy (Guo et al. 2017, equation 3).
        mistakes: the most confident first.
    """

    classes: tuple[str, ...]
    count: int
    errors: Mapping[int, Rate]
    loss: float
    per_class: tuple[Rate, ...]
    confusion: NDArray[np.int64]
    confused: tuple[Confusion, ...]
    bins: tuple[Bin, ...]
    calibration_error: float
    mistakes: tuple[Mistake, ...]

    @property
    def score(self) -> Score:
        """The same in the numbers that training tells; top-1 and top-5 must have been counted."""
        top1, top5 = (self.errors[k].fraction for k in (1, 5))
        return Score(self.count, self.loss, top1, top5)


def summarise(predictions: Predictions, tops: Sequence[int] = (1, 5)) -> Summary:
    """Count all there is to count.

    Args:
        tops: each k for which an image is right whose class is among the k most probable ones. Of
            equal probabilities the class with the lower number comes first.
    """
    count = len(predictions)
    before = ranks(predictions)
    matrix = confusion(predictions)
    totals = matrix.sum(axis=1)
    bins = calibration(predictions)
    distances = [
        each.rate.count * abs(each.confidence - (1 - each.rate.fraction))
        for each in bins
        if each.rate.count
    ]
    true = predictions.log_probabilities[np.arange(count), predictions.labels]
    return Summary(
        classes=predictions.classes,
        count=count,
        errors={k: Rate(int((before >= k).sum()), count) for k in tops},
        loss=float(-true.mean()),
        per_class=tuple(
            Rate(int(total - right), int(total))
            for total, right in zip(totals, matrix.diagonal(), strict=True)
        ),
        confusion=matrix,
        confused=_confused(matrix, predictions.classes),
        bins=bins,
        calibration_error=sum(distances) / count,
        mistakes=mistakes(predictions),
    )


def ranks(predictions: Predictions) -> NDArray[np.int64]:
    """How many classes come before the true one: int64, (images,)."""
    found = np.empty(len(predictions), dtype=np.int64)
    numbers = np.arange(len(predictions.classes))
    for first in range(0, len(predictions), CHUNK):
        logs = predictions.log_probabilities[first : first + CHUNK]
        labels = predictions.labels[first : first + CHUNK, np.newaxis]
        true = np.take_along_axis(logs, labels, axis=1)
        before = (logs > true) | ((logs == true) & (numbers < labels))
        found[first : first + CHUNK] = before.sum(axis=1)
    return found


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """Images by true class (rows) and the class said (columns): int64, (classes, classes)."""
    classes = len(predictions.classes)
    said = predictions.log_probabilities.argmax(axis=1)
    cells = np.bincount(predictions.labels * classes + said, minlength=classes**2)
    return cells.reshape(classes, classes).astype(np.int64)


def calibration(predictions: Predictions, bins: int = BINS) -> tuple[Bin, ...]:
    """Confidence against accuracy, in bins of equal width, each without its lower end."""
    confidence = predictions.probabilities.max(axis=1)
    wrong = ranks(predictions) > 0
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    wrongs = np.bincount(places, weights=wrong, minlength=bins)
    sums = np.bincount(places, weights=confidence, minlength=bins)
    return tuple(
        Bin(
            low=place / bins,
            high=(place + 1) / bins,
            confidence=float(sums[place] / counts[place]) if counts[place] else math.nan,
            rate=Rate(int(wrongs[place]), int(counts[place])),
        )
        for place in range(bins)
    )


def mistakes(predictions: Predictions, most: int = MISTAKES) -> tuple[Mistake, ...]:
    """The wrong answers given with the highest probability, the highest first."""
    said = predictions.log_probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(said != predictions.labels)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    names = predictions.classes
    return tuple(
        Mistake(
            position=int(position),
            true=names[predictions.labels[position]],
            said=names[said[position]],
            probability=float(confidence[position]),
        )
        for position in order
    )


def _confused(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> tuple[Confusion, ...]:
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:10]
    pairs = [divmod(int(cell), len(classes)) for cell in order]
    return tuple(
        Confusion(classes[true], classes[said], int(errors[true, said]))
        for true, said in pairs
        if errors[true, said]
    )
