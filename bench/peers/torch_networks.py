"""The measured networks as PyTorch users write them, and images in memory as a PIL dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import operators  # noqa: F401
import torch
import torch.nn.functional as F
from PIL import Image
from tasks import SHIFT, Task
from torch import Tensor, nn
from torchvision import models, transforms

MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Basic(nn.Module):
    """Two 3x3 convolutions around a shortcut without parameters (He et al. 2015, option A)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, after - before

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(out + x)


def resnet20() -> nn.Module:
    """He et al. 2015, section 4.2."""
    blocks = [Basic(16, 16, 1) for _ in range(3)]
    for before, after in ((16, 32), (32, 64)):
        blocks += [Basic(before, after, 2), Basic(after, after, 1), Basic(after, after, 1)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def convnetjs() -> nn.Module:
    """The network of ConvNetJS's CIFAR-10 demo."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 20), (20, 20)):
        layers += [nn.Conv2d(before, after, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4 * 20, 10))


def vgg11_at_64() -> nn.Module:
    """VGG-11 whose first dense layer takes the 2x2 that 64x64 images leave."""
    model = models.vgg11(num_classes=1000)
    model.avgpool = nn.Identity()
    model.classifier[0] = nn.Linear(512 * 2 * 2, 4096)
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet20": resnet20,
    "convnetjs-cifar10": convnetjs,
    "resnet18": models.resnet18,
    "vgg11": vgg11_at_64,
    "resnet50": models.resnet50,
}


def network(task: Task) -> nn.Module:
    """A task's network; it must have the parameters that the others' have."""
    model = NETWORKS[task.name]()
    count = sum(each.numel() for each in model.parameters())
    assert count == task.parameters, f"{task.name}: {count} parameters, not {task.parameters}"
    return model


def noise(task: Task) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images, uint8 (count, side, side, 3), and labels."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (task.images, task.side, task.side, 3), np.uint8)
    return pixels, chance.integers(0, task.classes, task.images)


class Pictures(torch.utils.data.Dataset[Any]):
    """Images in memory, each through PIL and its own transforms, as torchvision's datasets do."""

    def __init__(self, task: Task, transform: Callable[[Any], Any]) -> None:
        self.pixels, self.labels = noise(task)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def moved(task: Task) -> list[Any]:
    """The transforms that change an image at random."""
    return [transforms.RandomCrop(task.side, padding=SHIFT), transforms.RandomHorizontalFlip()]
