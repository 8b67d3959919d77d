"""What is looked at: a run, an image, and what a person asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Images
from striate.data.decode import decode
from striate.data.tell import Tell, silent
from striate.errors import SeeError, nearest
from striate.gallery.levels import Bytes, photograph
from striate.layers import Conv, FullyConnected
from striate.runs import Run
from striate.see.copies import scored
from striate.see.maps import visible
from striate.steps import Step

SPLITS = ("test", "validation", "train")
LARGEST = 50_000_000  # bytes of an image file
Some = TypeVar("Some")


@dataclass(frozen=True, eq=False)
class Look:
    """A run, and how it is looked at.

    Attributes:
        image: a file, or an image of the run's data, such as `test:17`; None is the first one of
            `split`.
        layer: a name of the table; None is the one that tells most in this way.
        unit: of that layer, counted from 0; None is the first, or all that there is room for.
        target: a class, by name or number; None is the one that scores highest.
        at: row and column of a layer's map, for `neuron`; None is the map's middle.
        style: another image, for `style`.
        scale: what the largest value is taken over, for `maps`: `map`, `layer` or `network`.
        split: the images that are looked through: `test`, `validation` or `train`.
        data: other images than those the run was trained on.
        seed: of images that are made, and of `map`.
        tell: hears what is being done.
    """

    run: Run
    image: str | None = None
    layer: str | None = None
    unit: int | None = None
    target: str | None = None
    at: tuple[int, int] | None = None
    style: str | None = None
    scale: str = "layer"
    split: str = "test"
    data: str | None = None
    seed: int = 0
    tell: Tell = field(default=silent)

    @cached_property
    def model(self) -> nn.Module:
        """The run's network with its weights."""
        return self.run.model()

    @cached_property
    def images(self) -> Images:
        """All of the split."""
        return self._images(self.split)

    @cached_property
    def said(self) -> str:
        """How the image goes by in titles."""
        return self.image or f"{self.split}:0"

    @cached_property
    def prepared(self) -> Tensor:
        """The image, as the network takes it, (D, H, W)."""
        return self.prepare(self.said)

    @cached_property
    def chosen(self) -> int:
        """The class that is looked for."""
        classes = self.run.classes
        if self.target is None:
            return int(self.scores.argmax())
        if self.target in classes:
            return classes.index(self.target)
        if self.target.isdecimal():
            if int(self.target) < len(classes):
                return int(self.target)
            raise SeeError(f"there is no class {self.target}: they go from 0 to {len(classes) - 1}")
        raise SeeError(f"there is no class {self.target!r}: {nearest(self.target, classes)}")

    @cached_property
    def scores(self) -> Tensor:
        """Of the image, (K,), before the softmax."""
        with torch.no_grad():
            return scored(self.model, self.prepared[None])[0]

    @property
    def verdict(self) -> str:
        """The class that is looked for, and how likely the network finds it."""
        probability = float(self.scores.softmax(dim=0)[self.chosen])
        score = float(self.scores[self.chosen])
        return f"class {self.run.classes[self.chosen]!r}, score {score:.2f}, {probability:.1%}"

    def prepare(self, image: str) -> Tensor:
        """A file, or `split:number`, as the network takes it, (D, H, W)."""
        split, colon, number = image.rpartition(":")
        if colon and split in SPLITS and number.isdecimal():
            images = self.images if split == self.split else self._images(split)
            if int(number) >= len(images):
                raise SeeError(f"there is no {image}: they go from {split}:0 to {len(images) - 1}")
            return self.run.preparation(images.pixels[int(number)][None].copy())[0]
        return self.run.preparation(self._file(Path(image))[None])[0]

    def photograph(self, prepared: Tensor) -> Bytes:
        """A prepared image as pixels."""
        return photograph(prepared, self.run.preparation)

    def plain(self, level: int) -> Tensor:
        """An image all of one level of brightness, 0 to 255, prepared, (D, H, W)."""
        pixels = np.full((1, *self.run.network.input), level, dtype=np.uint8)
        return self.run.preparation(pixels)[0]

    def step(self, default: str | None = None) -> Step:
        """The layer asked for, or another, with its volumes."""
        steps = {step.name: step for step in self.run.network.steps}
        name = self.layer or default
        if name not in steps:
            raise SeeError(f"the network has no layer {name!r}: {nearest(str(name), steps)}")
        return steps[name]

    def units(self, layer: str, count: int, most: int) -> list[int]:
        """The unit asked for, or the first few of so many."""
        if self.unit is None:
            return list(range(min(count, most)))
        if self.unit >= count:
            raise SeeError(f"{layer} has no unit {self.unit}: they go from 0 to {count - 1}")
        return [self.unit]

    def before_last(self) -> str:
        """The layer whose values the class scores are made from."""
        names = [step.name for step in self.shown()]
        return names[-2 if len(names) > 1 else -1]

    def label(self, image: str) -> str:
        """The class of an image of the run's data; of a file nothing."""
        split, _, number = image.rpartition(":")
        if split not in SPLITS:
            return ""
        images = self.images if split == self.split else self._images(split)
        return str(images.classes[images.labels[int(number)]])

    def convolutions(self) -> list[str]:
        """The names of the convolutions that take part in predicting, the first first."""
        found = [step.name for step in self.shown() if isinstance(step.layer, Conv)]
        if not found:
            raise SeeError("the network has no convolution: name a layer by --layer")
        return found

    def weighted(self) -> str:
        """The name of the first layer with weights on what it meets, a convolution or not."""
        kinds = (Conv, FullyConnected)
        found = [step.name for step in self.shown() if isinstance(step.layer, kinds)]
        return found[0] if found else self.convolutions()[0]

    def shown(self) -> list[Step]:
        """The steps that take part in predicting and change what they meet."""
        return visible(self.run.network, self.model)

    def _images(self, split: str) -> Images:
        splits = self.run.splits(self.data, tell=self.tell)
        found: Images | None = getattr(splits, split)
        if found is None:
            raise SeeError(f"{self.run.path} was trained on all its images: it has no validation")
        return found

    def _file(self, path: Path) -> Bytes:
        """An image file as those of the run were scaled and cut."""
        try:
            if path.stat().st_size > LARGEST:
                raise SeeError(f"{path} has more than {LARGEST:,} bytes")
            content = path.read_bytes()
        except (OSError, ValueError) as reason:
            why = getattr(reason, "strerror", None) or reason
            raise SeeError(
                f"{path} cannot be read: {why}; an image is a file or {SPLITS[0]}:17"
            ) from None
        volume = self.run.images
        return decode(content, volume.depth, min(volume.height, volume.width))


def spread(every: list[Some], most: int) -> list[Some]:
    """So many of them at most, evenly spread, the first and the last among them."""
    if len(every) <= most:
        return every
    return [every[round(at * (len(every) - 1) / (most - 1))] for at in range(most)]
