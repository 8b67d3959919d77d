"""What frozen layers make of each image: computed once, kept, and trained on in place of images.

    CACHE/features/KEY.npy    float32, (count, ...): of the images of a split, in their order

KEY tells the layers, their weights, how they are computed, the images and their preparation.
Anything in that folder may be deleted: it is computed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.build import flat
from striate.compute import Compute
from striate.containers import Chain
from striate.data import Images, Preparation, Splits
from striate.data.augment import Batch
from striate.data.cache import IN_MEMORY, limit, writable
from striate.data.device import Device, moved
from striate.data.folders import cache_folder
from striate.data.loader import Batches
from striate.data.lock import alone
from striate.data.tell import silent
from striate.disk import flush_folder
from striate.evaluate.scores import batches, evaluating
from striate.freezing import fixed
from striate.recipes import Recipe

VERSION = 1
RESHAPE = (nn.Flatten, nn.Unflatten)  # which stand before a layer and bear its name
BATCH = 64  # images at a time, always the same ones together: same features, to the bit
# The settings that change training images at random, with the values that do not.
STILL: dict[str, object] = {
    "flip": "none",
    "shift": 0,
    "scale": None,
    "area": None,
    "lighting": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "cutout": 0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "grow_from": None,
}


class Features(Images):
    """What layers made of images, float32 (count, ...), as `pixels`, with the images' labels."""

    def __post_init__(self) -> None:
        """They are as many as their labels: nothing is to be checked."""


class Rest(Chain):
    """The parts of a network from one on, the same modules: takes features, gives class scores."""

    def forward(self, volume: Tensor, memory: dict[str, Tensor] | None = None) -> Tensor:
        return flat(self.recall(volume, {} if memory is None else memory))


@dataclass(frozen=True)
class Shortened:
    """Training on features in place of images.

    Attributes:
        rest: what is trained.
        after: the name of the last part that was computed once.
        train, validation: the features.
        kept: whether they lay in the cache already.
    """

    rest: nn.Module
    after: str
    train: Features
    validation: Features | None
    kept: bool

    def feed(self, numbered: Batches, first: int, end: int, device: Device) -> Iterator[Batch]:
        """The batches from `first` up to `end`, in order."""
        for number in range(first, end):
            _, values, labels = numbered[number]
            yield Batch(moved(values, device), moved(labels, device))


def ready(values: NDArray[np.float32], device: Device) -> Tensor:
    """Features need no preparation."""
    return moved(values, device)


def shortened(
    model: nn.Module, recipe: Recipe, splits: Splits, preparation: Preparation, compute: Compute
) -> Shortened | str:
    """Training on features of the recipe's frozen layers, which are computed if they must be.

    Returns:
        in place of it the reason why each step must compute them anew; empty where none is frozen.

    Raises:
        DataError: an image cannot be read, or $STRIATE_CACHE_LIMIT is no number.
    """
    count = fixed(model, recipe) if isinstance(model, Chain) else 0
    if not count:
        return ""
    assert isinstance(model, Chain)
    for name, still in STILL.items():
        if (value := getattr(recipe, name)) != still:
            without = "none" if still is None else still
            return f"{name}={value} changes the images at random; {name}={without} does not"
    assert isinstance(model, Chain)
    body = Chain(*_parts(model, 0, count))
    parts = [splits.train, *([splits.validation] if splits.validation else [])]
    size = sum(map(len, parts)) * _made(body, splits.train, preparation, compute, slice(1)).nbytes
    room = cache_folder() / "features"
    keeps = bool(splits.fingerprint) and writable(room) and size <= limit(room)
    if not keeps and size > IN_MEMORY:
        return f"they would take {size / 2**30:,.1f} GiB"
    key = _key(body, splits.fingerprint, preparation, compute)
    found: list[Features] = []
    there = keeps
    for name, images in zip(("train", "validation"), parts, strict=False):
        path = room / f"{key}-{name}.npy"
        there &= path.exists()
        values = _kept(path, body, images, preparation, compute) if keeps else None
        if values is None:
            values = np.concatenate(list(_computed(body, images, preparation, compute)))
        found.append(Features(values, images.labels, images.classes))
    rest = Rest(*_parts(model, count, len(model.flow)))
    held_out = found[1] if splits.validation else None
    named = [name for name, each in body.named_children() if not isinstance(each, RESHAPE)]
    return Shortened(rest, named[-1], found[0], held_out, there)


def _parts(model: Chain, first: int, end: int) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Some of a network's children in order, and which of them keep their volumes as what."""
    names = model.flow[first:end]
    keeps = {name: kept for name, kept in model.keeps.items() if name in names}
    if first == 0 and "" in model.keeps:
        keeps[""] = model.keeps[""]
    return {name: model.get_submodule(name) for name in names}, keeps


def _made(
    body: nn.Module, images: Images, preparation: Preparation, compute: Compute, some: slice
) -> NDArray[np.float32]:
    """Features of some images."""
    pixels = preparation(images.pixels[some], compute.device, compute.layout)
    with evaluating(body), compute.autocast():
        volume: Tensor = body(pixels)
    return volume.float().contiguous().cpu().numpy()


def _computed(
    body: nn.Module, images: Images, preparation: Preparation, compute: Compute
) -> Iterator[NDArray[np.float32]]:
    scoring = compute.scoring(body)
    for positions in batches(np.arange(len(images)), BATCH):
        some = slice(int(positions[0]), int(positions[-1]) + 1)
        yield _made(scoring, images, preparation, compute, some)


def _kept(
    path: Path, body: nn.Module, images: Images, preparation: Preparation, compute: Compute
) -> NDArray[np.float32] | None:
    """Features in the cache, computed if they are not there; None where it takes no more."""
    part = path.with_suffix(".part")
    with alone(path.with_suffix(".lock"), "", silent):
        if (found := _read(path, len(images))) is not None:
            return found
        try:
            written = None
            first = 0
            for values in _computed(body, images, preparation, compute):
                if written is None:
                    shape = (len(images), *values.shape[1:])
                    written = np.lib.format.open_memmap(part, "w+", np.float32, shape)
                written[first : first + len(values)] = values
                first += len(values)
            assert written is not None
            written.flush()
            os.replace(part, path)
            flush_folder(path.parent)
        except OSError:  # the disk is full
            return None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return _read(path, len(images))


def _read(path: Path, count: int) -> NDArray[np.float32] | None:
    """Mapped, not read; None where the file is not there or is not of so many images."""
    try:
        values = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return values if len(values) == count and values.dtype == np.float32 else None


def _key(body: Chain, images: str, preparation: Preparation, compute: Compute) -> str:
    way = compute.device, compute.precision, compute.memory_format, compute.engine, compute.threads
    prepared = preparation.input, preparation.mean, preparation.deviation
    layers = repr(body), body.flow, body.keeps
    total = sha256(repr((VERSION, torch.__version__, images, way, prepared, layers)).encode())
    if preparation.mean_image is not None:
        total.update(preparation.mean_image.tobytes())
    for name, each in body.state_dict().items():
        total.update(f"{name} {each.dtype} {tuple(each.shape)}".encode())
        total.update(each.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
