"""Where images come from: a name or a path becomes splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.data import cifar, idx
from striate.data.assemble import VALIDATION, fingerprint, from_files, scaled
from striate.data.files import list_files
from striate.data.images import Images, Splits, for_validation, hold_out
from striate.data.standard import SETS
from striate.data.tell import Tell, silent
from striate.disk import at_home
from striate.errors import DataError, nearest
from striate.layers.volume import Volume

DIGITS_TEST = 0.2  # scikit-learn's digits come without a test split
DIGITS_LARGEST = 16  # ... and with pixels of 0 to 16
CHUNK = 4096  # images whose bytes are summed at a time


def load(
    source: str | Path,
    *,
    seed: int = 0,
    input: Volume | None = None,
    resize: int | None = None,
    validation: float = VALIDATION,
    tell: Tell = silent,
    workers: int | None = None,
) -> Splits:
    """The images of a source, in three splits.

    Args:
        source: `digits` (1,797 images of 8x8x1 that scikit-learn carries, about 20% of them for
            testing); `mnist`, `fashion-mnist`, `cifar10` or `cifar100`, which are downloaded; a
            folder or archive of images, a manifest of them (.csv, .parquet), a folder of the four
            IDX files of MNIST or one of its likes, or the files of CIFAR.
        seed: which tenth of the training images is held out for validation, where the source has no
            such split. It is apart from a recipe's seed, so that runs with other seeds are
            for_validation on the same images.
        input: the network's input volume. Image files become grey where its depth is 1, and RGB
            otherwise (and where there is no input); see `resize` for their size.
        resize: images are scaled so that the shorter side has so many pixels, and the centre square
            is kept. By default files of one size stay as they are, if neither side is more than 8/7
            of the input's; others are scaled to 8/7 of the input's larger side. Arrays of pixels
            (`digits`, IDX, CIFAR's own files) stay as they are.
        validation: the part of the training images that is held out where the source has no such
            split; 0 holds out none.
        tell: hears what is being done, and how much of it is.
        workers: processes that decode, as many as there are processors by default.

    Raises:
        DataError: there is no such source, its files are not what they say, images of several sizes
            have neither `input` nor `resize`, or a class has no training image.
    """
    name = str(source)
    if name == "digits":
        return _from_arrays(name, *digits(), seed, resize, validation)
    path = path_of(name, tell)
    if arrays := arrays_at(path):
        return _from_arrays(name, *arrays, seed, resize, validation)
    listing = list_files(path, name)
    return from_files(
        listing,
        seed=seed,
        input=input,
        resize=resize,
        validation=validation,
        tell=tell,
        workers=workers,
    )


def path_of(name: str, tell: Tell = silent) -> Path:
    """The file or folder of a source, which is downloaded if it is a standard set's name.

    Raises:
        DataError: there is none.
    """
    if name in SETS:
        from striate.data.download import fetch

        return fetch(name, tell=tell)
    path = at_home(name)
    if not (path.is_dir() or path.is_file()):
        reason = "it is neither a file nor a folder" if path.exists() else "there is nothing there"
        hint = nearest(name, ("digits", *SETS))
        raise DataError(f"no images at {name!r}: {reason}; {hint}")
    return path


def arrays_at(path: Path) -> tuple[Images, Images] | None:
    """Training and test images, where a path holds arrays of pixels rather than image files."""
    if idx.is_folder(path):
        return idx.load(path)
    if path.suffix.lower() in (".zip", ".csv", ".parquet"):
        return None
    return cifar.load(path)


def digits() -> tuple[Images, Images]:
    """scikit-learn's digits, to train on and to test."""
    from sklearn.datasets import load_digits  # a second to import, for this source alone

    found = load_digits()
    pixels = np.rint(found.images * (255 / DIGITS_LARGEST)).astype(np.uint8)[..., np.newaxis]
    names = tuple(map(str, found.target_names))
    return hold_out(Images(pixels, found.target.astype(np.int64), names), DIGITS_TEST)


def _from_arrays(
    name: str, training: Images, test: Images, seed: int, resize: int | None, validation: float
) -> Splits:
    splits = (*for_validation(training, validation, seed), test)
    contents = [
        (each.labels, (each.pixels[at : at + CHUNK] for at in range(0, len(each), CHUNK)))
        for each in splits
        if each
    ]
    train, test = scaled(splits[0], resize), scaled(test, resize)
    held_out = splits[1] and scaled(splits[1], resize)
    return Splits(name, train, held_out, test, fingerprint=fingerprint(train, contents))
