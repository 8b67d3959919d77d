"""Where images come from: a name or a folder becomes splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from striate.data import idx
from striate.data.images import Images, Splits, hold_out
from striate.errors import DataError

VALIDATION = 0.1  # of the training images
DIGITS_TEST = 0.2  # scikit-learn's digits come without a test split
DIGITS_LARGEST = 16  # ... and with pixels of 0 to 16


def load(source: str | Path, *, seed: int = 0) -> Splits:
    """The images of a source, in three splits.

    Args:
        source: `digits` (1,797 images of 8x8x1 that scikit-learn carries, about 20% of them for
            testing), or a folder with the four IDX files of MNIST or one of its likes.
        seed: which tenth of the training images is held out for validation. It is apart from a
            recipe's seed, so that runs with other seeds are validated on the same images.

    Raises:
        DataError: there is no such source, or its files are not what they say.
    """
    name = str(source)
    if name in NAMED:
        training, test = NAMED[name]()
    elif (folder := Path(os.path.expanduser(name))).is_dir():
        training, test = _idx_folder(folder)
    else:
        raise DataError(
            f"no images at {name!r}: say {' or '.join(NAMED)}, or name a folder that holds "
            "train-images-idx3-ubyte and its three companions, plain or .gz"
        )
    train, validation = hold_out(training, VALIDATION, seed)
    return Splits(name, train, validation, test)


def _digits() -> tuple[Images, Images]:
    from sklearn.datasets import load_digits  # a second to import, for this source alone

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / DIGITS_LARGEST)).astype(np.uint8)[..., np.newaxis]
    names = tuple(map(str, digits.target_names))
    return hold_out(Images(pixels, digits.target.astype(np.int64), names), DIGITS_TEST)


def _idx_folder(folder: Path) -> tuple[Images, Images]:
    training = _idx_images(folder, "train")
    test = _idx_images(folder, "t10k", training.classes)
    if test.volume != training.volume:
        raise DataError(
            f"{folder}: training images of {training.volume}, but test images of {test.volume}"
        )
    return training, test


def _idx_images(folder: Path, split: str, classes: tuple[str, ...] | None = None) -> Images:
    """One split; without `classes`, the largest label says how many there are."""
    pixels = idx.read(_find(folder, f"{split}-images-idx3-ubyte"), 3)[..., np.newaxis]
    labels_path = _find(folder, f"{split}-labels-idx1-ubyte")
    labels = idx.read(labels_path, 1).astype(np.int64)
    if classes is None:
        classes = tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    try:
        return Images(pixels, labels, classes)
    except DataError as reason:
        raise DataError(f"{labels_path}: {reason}") from None


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder}: holds no {name}, plain or .gz")


NAMED: dict[str, Callable[[], tuple[Images, Images]]] = {"digits": _digits}
