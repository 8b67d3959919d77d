"""What a training run tells, as it happens: plain values, read by the display, the run folder, you.

    Started, then for each epoch: Stepped for each step, EpochEnded, Evaluated; at the end Ended.
    Between them Saved, where a checkpoint was written, and Warned. Before them Transferred, where
    weights were there before; after Started comes Featured, where frozen layers are computed once.

All have `seconds`, from the start of training, the reader's own time included; a run that was
resumed counts on from its checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from striate.layers.volume import Volume
from striate.origin import Origin


@dataclass(frozen=True)
class Transferred:
    """A new run begins with weights that were trained before: where from, and which of them.

    Attributes:
        origin: the source, its sum, what was taken and what not.
        preparation: what is done to pixels, in words.
    """

    origin: Origin
    preparation: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Started:
    """Training begins.

    Attributes:
        images: the volume of one image as it lies in the data.
        input: the volume that the network takes.
        training, validation: how many images.
        epochs, steps_per_epoch: how far it will go.
        parameters: learned values.
        compute: on what, and how: device, threads, precision, memory format.
        ranks: processes that share each batch.
        step: steps done before; 0 unless the run is resumed.
    """

    images: Volume
    input: Volume
    training: int
    validation: int
    epochs: int
    steps_per_epoch: int
    parameters: int
    compute: str = ""
    ranks: int = 1
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Featured:
    """What the frozen layers make of each image is there: it was computed once, or before.

    Attributes:
        after: the name of the last part of the network that was computed.
        shape: of what it made of one image, (depth, height, width) or (values,).
        kept: whether it lay in the cache from a run before.
    """

    after: str
    shape: tuple[int, ...]
    kept: bool
    seconds: float


@dataclass(frozen=True)
class Stepped:
    """One step is done; `step` and `epoch` count from 1.

    Attributes:
        loss: mean cross-entropy over the batch, in nats, before the step; of smoothed or mixed
            labels where the recipe smooths or mixes. Auxiliary heads are not in it.
        images, wrong: in the batch, and those whose highest score was another class's (of mixed
            labels, the one with the larger share).
        rate: the learning rate of the step.
        waiting, forward, backward, update: seconds of the step spent on data (decoding,
            augmentation), on the scores and the loss, on the gradient, on the weights. On a GPU,
            which computes behind Python's back, the time it takes shows where its results are
            first needed.
    """

    epoch: int
    step: int
    loss: float
    images: int
    wrong: int
    rate: float
    waiting: float
    forward: float
    backward: float
    update: float
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
class Saved:
    """A checkpoint was written: what was before this step is safe."""

    step: int
    path: str
    seconds: float


@dataclass(frozen=True)
class Warned:
    """Something that a person should know, and that did not stop the run."""

    step: int
    message: str
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """Training was asked to stop, and did after a whole step; it can go on from there."""

    epoch: int
    step: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """Training is over.

    Attributes:
        best_epoch: the one with the least validation error, the first of equal ones.
        early: it stopped before its last epoch, since the validation error no longer fell.
    """

    epochs: int
    steps: int
    best_epoch: int
    early: bool
    seconds: float


Record = (
    Transferred
    | Started
    | Featured
    | Stepped
    | EpochEnded
    | Evaluated
    | Saved
    | Warned
    | Stopped
    | Ended
)


def to_json(record: Record) -> str:
    """One line of JSON, the kind of record first."""
    return json.dumps({"record": type(record).__name__, **asdict(record)})
