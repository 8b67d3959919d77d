"""What an artefact says of itself, as JSON in its metadata: classes, pixels, the way to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import __version__
from striate.data import Preparation
from striate.data.assemble import LARGEST_SIDE
from striate.data.decode import WORDS
from striate.errors import StriateError
from striate.layers.volume import Volume
from striate.network import Network
from striate.ship.model import Model

KEY = "striate"
FORMAT = 1
MOST_CLASSES = 1_000_000
DECODED = "8 bits, {}, upright as EXIF says, what is transparent on white"
RESIZED = (
    "the largest centred rectangle of this shape is scaled to it: bicubic, antialiased; "
    "an image of this size stays as it is"
)


@dataclass(frozen=True)
class About:
    """What is needed to feed an artefact and to name its answers.

    Attributes:
        name: of the model.
        classes: in the order of the probabilities.
        volume: of the pixels that it takes.
        network: its text.
        mean, deviation: as of the Preparation.
        mean_image: whether a mean image, which the artefact holds, is subtracted, not the mean.
    """

    name: str
    classes: tuple[str, ...]
    volume: Volume
    network: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    mean_image: bool = False

    def preparation(
        self, network: Network, mean_image: NDArray[np.float32] | None = None
    ) -> Preparation:
        """What pixels go through before the network.

        Raises:
            DataError: the numbers cannot be computed with.
        """
        return Preparation(network.input, self.mean, self.deviation, mean_image)


def written(model: Model) -> str:
    """The metadata of a model's artefact: one line of JSON."""
    preparation = model.preparation
    said: dict[str, Any] = {
        "format": FORMAT,
        "name": model.name,
        "network": str(model.network),
        "classes": model.classes,
        "volume": model.volume,
        "preprocessing": {
            "decoded": DECODED.format(WORDS.get(model.volume.depth, "of its channels")),
            "resize": model.volume[:2],
            "resized": RESIZED,
            "crop": preparation.input[:2],
            "mean": preparation.mean,
            "deviation": preparation.deviation,
            "mean_image": preparation.mean_image is not None,
        },
        "versions": {"striate": __version__},
    }
    return json.dumps(said)


def understood(text: str, source: str) -> About:
    """What metadata say.

    Raises:
        StriateError: they are damaged, or of a later version.
    """
    try:
        said = json.loads(text)
        if said["format"] != FORMAT:
            raise ValueError(f"it is of format {said['format']}, and {FORMAT} is read here")
        volume = Volume(*map(int, said["volume"]))
        classes = tuple(said["classes"])
        named = all(isinstance(each, str) for each in classes)
        if not named or not 0 < len(classes) <= MOST_CLASSES:
            raise ValueError("its classes are no names")
        if not 0 < min(volume) <= max(volume) <= LARGEST_SIDE:
            raise ValueError(f"it takes pixels of {volume}")
        way = said["preprocessing"]
        mean, deviation = (tuple(map(float, way[name])) for name in ("mean", "deviation"))
        name, network = str(said["name"]), str(said["network"])
        by_pixel = bool(way["mean_image"])
        return About(name, classes, volume, network, mean, deviation, by_pixel)
    except KeyError as reason:
        raise StriateError(f"{source}: its metadata lack {reason}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as reason:
        raise StriateError(f"{source}: its metadata cannot be used: {reason}") from None
