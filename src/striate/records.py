"""What a training run tells, as it happens: plain values, read by the display, the run folder, you.

    Started, then for each epoch: Stepped for each step, EpochEnded, Evaluated; at the end Ended.

All have `seconds`, from the start of training, the reader's own time included.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from striate.layers.volume import Volume


@dataclass(frozen=True)
class Started:
    """Training begins.

    Attributes:
        images: the volume of one image as it lies in the data.
        input: the volume that the network takes.
        training, validation: how many images.
        epochs, steps_per_epoch: how far it will go.
        parameters: learned values.
    """

    images: Volume
    input: Volume
    training: int
    validation: int
    epochs: int
    steps_per_epoch: int
    parameters: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Stepped:
    """One step is done; `step` and `epoch` count from 1.

    Attributes:
        loss: mean cross-entropy over the batch, in nats, before the step.
        images, wrong: in the batch, and those whose highest score was another class's.
    """

    epoch: int
    step: int
    loss: float
    images: int
    wrong: int
    seconds: float


@dataclass(frozen=True)
class EpochEnded:
    """Every training image was seen once more.

    Attributes:
        loss, error: means over the images as they passed, while the weights changed.
    """

    epoch: int
    step: int
    loss: float
    error: float
    seconds: float


@dataclass(frozen=True)
class Score:
    """How good a network is on some images.

    Attributes:
        count: images scored.
        loss: mean cross-entropy, in nats.
        top1_error: the fraction of images whose highest score was another class's.
        top5_error: the fraction with five other classes before theirs (0 where there are but five).
    """

    count: int
    loss: float
    top1_error: float
    top5_error: float


@dataclass(frozen=True)
class Evaluated:
    """The network was scored on a split, `validation` or `test`, after so many epochs."""

    epoch: int
    split: str
    score: Score
    seconds: float


@dataclass(frozen=True)
class Ended:
    """Training is over."""

    epochs: int
    steps: int
    seconds: float


Record = Started | Stepped | EpochEnded | Evaluated | Ended


def to_json(record: Record) -> str:
    """One line of JSON, the kind of record first."""
    return json.dumps({"record": type(record).__name__, **asdict(record)})
