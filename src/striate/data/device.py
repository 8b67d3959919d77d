"""Bytes and numbers on the device where the network computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.images import Images, Lazy, Pixels
from striate.data.stream import is_slow

Device = torch.device | str
SHARE = 1 / 8  # of a device's free memory that images may take


def moved(array: NDArray[Any], device: Device) -> Tensor:
    """An array as a tensor on a device.

    A GPU takes it from memory that cannot be paged out, so that nobody waits for the copy.
    """
    # PyTorch warns of arrays that are read-only, as memory maps are.
    tensor = torch.from_numpy(np.require(array, requirements="W"))
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Resident(Lazy):
    """Images whose bytes lie on a device; what is asked for are tensors there."""

    def __init__(self, bytes: Tensor) -> None:
        self.bytes, self.shape = bytes, tuple(bytes.shape)

    def __getitem__(self, index: Any, /) -> Any:
        if isinstance(index, np.ndarray):
            return self.bytes.index_select(0, moved(index, self.bytes.device))
        return self.bytes[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.bytes.cpu(), dtype)


def resident(images: Images, device: Device) -> Images:
    """The same images with their bytes on a GPU, if they are decoded and take an eighth at most
    of its free memory; else as they are.
    """
    if torch.device(device).type != "cuda" or is_slow(images.pixels):
        return images
    free, _ = torch.cuda.mem_get_info(device)
    return on(images, device) if images.pixels.size <= SHARE * free else images


def on(images: Images, device: Device) -> Images:
    """The same images with their bytes on a device."""
    whole: Pixels = Resident(moved(np.asarray(images.pixels), device))
    return replace(images, pixels=whole)
