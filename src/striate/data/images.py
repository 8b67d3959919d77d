"""Labelled images, and the splits a run trains, chooses and is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.data.order import shuffled
from striate.errors import DataError
from striate.layers.volume import Volume


class Pixels(Protocol):
    """The bytes of images, (count, height, width, depth): an array, or what gives parts of one.

    `pixels[positions]`, int64 of (n,), and `pixels[first:last]` are uint8 arrays of
    (n, height, width, depth).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class Lazy:
    """What stores of pixels that are no array have in common; `np.asarray` reads them whole."""

    dtype = np.dtype(np.uint8)
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


class Chosen(Lazy):
    """Some images of a store, in an order of their own; nothing is read before it is asked for."""

    store: Pixels
    positions: NDArray[np.int64]

    def __init__(self, store: Pixels, positions: NDArray[np.int64]) -> None:
        inner = store if isinstance(store, Chosen) else None
        self.store = inner.store if inner else store
        self.positions = inner.positions[positions] if inner else positions
        self.shape = (len(positions), *store.shape[1:])

    def __getitem__(self, index: Any, /) -> Any:
        if isinstance(index, tuple):
            raise TypeError("images are chosen by position alone; np.asarray(pixels) is an array")
        return self.store[self.positions[index]]


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size with the number of the class of each.

    Attributes:
        pixels: uint8, (count, height, width, depth), 0 to 255.
        labels: int64, (count,), each the position of a name in `classes`.
        classes: the names of the classes.

    Raises:
        DataError: these disagree, or there is no image at all.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise DataError(
                "pixels must be uint8 of (count, height, width, depth), "
                f"not {self.pixels.dtype} of {self.pixels.shape}"
            )
        if self.labels.shape != (len(self.pixels),):
            raise DataError(f"{len(self.pixels)} images, but {self.labels.size} labels")
        if self.pixels.size == 0:
            raise DataError("there are no images")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if wrong.size:
            raise DataError(
                f"image {wrong[0]} (counted from 0) has label {self.labels[wrong[0]]}, "
                f"but the classes are 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def volume(self) -> Volume:
        """The volume of one image."""
        return Volume(*self.pixels.shape[1:])

    def take(self, positions: NDArray[np.int64]) -> Images:
        """The images at these positions, in this order; their pixels are not copied."""
        return Images(Chosen(self.pixels, positions), self.labels[positions], self.classes)


class Unreadable(NamedTuple):
    """A file that could not be used.

    Attributes:
        path: as a person would name it; of a file in an archive, ARCHIVE:MEMBER.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses by (held out from training) and is judged on, once, at its end.

    Attributes:
        source: where they come from, as a person gave it.
        validation: None where all are trained on.
        unreadable: the files that could not be used.
        fingerprint: SHA-256, in hexadecimal: another one where an image, a label, a class or the
            split has changed. Empty where nobody computed it.
    """

    source: str
    train: Images
    validation: Images | None
    test: Images
    unreadable: tuple[Unreadable, ...] = ()
    fingerprint: str = ""


def hold_out(images: Images, fraction: float, seed: int = 0) -> tuple[Images, Images]:
    """Split images in two, (kept, held out), with every class in the same proportion.

    A class of at least two images gives at least one. The choice depends on the seed and the
    labels alone.

    Raises:
        DataError: no class has two images.
    """
    held = np.zeros(len(images), dtype=bool)
    for label in range(len(images.classes)):
        members = np.flatnonzero(images.labels == label)
        if len(members) > 1:
            count = max(1, round(fraction * len(members)))
            held[members[shuffled(len(members), seed, label)[:count]]] = True
    if not held.any():
        raise DataError(f"{len(images)} images, one a class: too few to hold any out")
    return images.take(np.flatnonzero(~held)), images.take(np.flatnonzero(held))


def for_validation(images: Images, fraction: float, seed: int = 0) -> tuple[Images, Images | None]:
    """Training images in two, to train on and to validate by; at a fraction of 0, all to train.

    Raises:
        DataError: no class has two images.
    """
    return hold_out(images, fraction, seed) if fraction else (images, None)
