"""How good the network is now, on images it does not learn from, a few at a time.

Scoring all of them would cost an epoch's worth of watching. Each look scores the next few, and
what the network said of each image when it was last asked is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.data import Images, Preparation
from striate.evaluate.views import VIEWS
from striate.lab.some import some
from striate.see.copies import copied, device_of, scored

MOST = 500  # images
AT_ONCE = 50


@dataclass(eq=False)
class Rolling:
    """Some images and what was said of each last.

    Attributes:
        images: a set; some of it are kept.
        positions: theirs, in the set.
        probabilities: (images, classes); not a number where an image has not been asked for yet.
        views: of each, averaged; a key of VIEWS.
    """

    images: Images
    preparation: Preparation
    views: str = "6"
    positions: NDArray[np.int64] = field(init=False)
    probabilities: NDArray[np.float32] = field(init=False)
    next: int = 0

    def __post_init__(self) -> None:
        self.positions = some(self.images, MOST)
        self.images = self.images.take(self.positions)
        shape = len(self.images), len(self.images.classes)
        self.probabilities = np.full(shape, np.nan, dtype=np.float32)

    def ask(self, model: nn.Module) -> NDArray[np.int64]:
        """Ask the network for the next few; returns which."""
        chosen = (self.next + np.arange(min(AT_ONCE, len(self.images)))) % len(self.images)
        self.next = int(chosen[-1] + 1) % len(self.images)
        pixels = torch.from_numpy(self.images.pixels[chosen])
        copy = copied(model)
        with torch.inference_mode():
            for at, (weight, view) in enumerate(VIEWS[self.views](pixels, self.preparation)):
                said = weight * scored(copy, view.to(device_of(copy))).softmax(dim=1).cpu().numpy()
                self.probabilities[chosen] = said + (self.probabilities[chosen] if at else 0)
        return chosen

    @property
    def asked(self) -> NDArray[np.int64]:
        """The positions of the images that have been asked for."""
        return np.flatnonzero(np.isfinite(self.probabilities[:, 0]))

    @property
    def accuracy(self) -> float | None:
        """The part that was right, 0 to 1; None before the first was asked for."""
        asked = self.asked
        if not len(asked):
            return None
        said = self.probabilities[asked].argmax(axis=1)
        return float((said == self.images.labels[asked]).mean())

    def confusion(self) -> NDArray[np.int32]:
        """Images by their class (rows) and the class said (columns)."""
        classes, asked = len(self.images.classes), self.asked
        cells = self.images.labels[asked] * classes + self.probabilities[asked].argmax(axis=1)
        counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        return counts.astype(np.int32)

    def worst(self, most: int = 12) -> list[int]:
        """The positions of the wrong answers given with the highest probability."""
        asked = self.asked
        said = self.probabilities[asked]
        wrong = said.argmax(axis=1) != self.images.labels[asked]
        order = np.argsort(-said[wrong].max(axis=1), kind="stable")[:most]
        return [int(each) for each in asked[wrong][order]]
