"""The networks whose training is measured, with what every contender is given for each."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A network at a size. All train it by SGD with momentum 0.9 at this rate.

    Attributes:
        network: its name in our zoo.
        side: of the square images, in pixels.
        images: held in memory.
        parameters: what every contender's network must have.
    """

    name: str
    network: str
    side: int
    classes: int
    batch: int
    images: int
    parameters: int
    rate: float = 0.01


TASKS = {
    task.name: task
    for task in (
        Task("resnet20", "resnet20", 32, 10, 128, 50_000, 269_722),
        Task("convnetjs-cifar10", "convnetjs-cifar10", 32, 10, 128, 50_000, 22_466),
        Task("resnet18", "resnet18", 64, 1000, 64, 10_000, 11_689_512),
        Task("vgg11", "vgg11", 64, 1000, 32, 10_000, 38_491_496, rate=0.001),
        Task("resnet50", "resnet50-torchvision", 224, 1000, 16, 1_000, 25_557_032),
    )
}
PHOTO_SIDE, PHOTO_BATCH = 224, 64  # of what feeding.py measures on photos
SHIFT = 4  # pixels that an image is moved by at most, up, down and sideways, in zeros


def resized(text: str, side: int) -> str:
    """A network's text for square images of another size, without its checks of volumes."""
    volume = re.compile(r"\[\d+x\d+x\d+\]")
    first, *_ = volume.finditer(text)
    rest = volume.sub("", text[first.end() :])
    return f"{text[: first.start()]}[{side}x{side}x3]{rest}"
