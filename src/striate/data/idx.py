"""The IDX format of MNIST: http://yann.lecun.com/exdb/mnist (LeCun, Cortes, Burges 1998).

Four bytes 0, 0, 8 (unsigned bytes), D; D sizes as big-endian 32-bit numbers; then the bytes. A
folder holds four such files: images and labels, of training and of test.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.images import Images
from striate.errors import DataError

LARGEST = 4 * 2**30  # bytes; 1,400 times MNIST's test images, and still fits a desktop's memory
CHUNK = 2**20
SPLITS = ("train", "t10k")
ENDS = ("", ".gz")


def is_folder(path: Path) -> bool:
    """Whether a path is a folder with one of the four files at least."""
    names = [f"{split}-{what}" for split in SPLITS for what in ("images-idx3", "labels-idx1")]
    return any((path / f"{name}-ubyte{end}").is_file() for name in names for end in ENDS)


def load(folder: Path) -> tuple[Images, Images]:
    """The training and the test images of a folder; the largest training label ends the classes.

    Raises:
        DataError: a file is missing or damaged, or they disagree.
    """
    training = _images(folder, "train")
    test = _images(folder, "t10k", training.classes)
    if test.volume != training.volume:
        raise DataError(
            f"{folder}: training images of {training.volume}, but test images of {test.volume}"
        )
    return training, test


def _images(folder: Path, split: str, classes: tuple[str, ...] | None = None) -> Images:
    pixels = read(_find(folder, f"{split}-images-idx3-ubyte"), 3)[..., np.newaxis]
    labels_path = _find(folder, f"{split}-labels-idx1-ubyte")
    labels = read(labels_path, 1).astype(np.int64)
    if classes is None:
        classes = tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    try:
        return Images(pixels, labels, classes)
    except DataError as reason:
        raise DataError(f"{labels_path}: {reason}") from None


def _find(folder: Path, name: str) -> Path:
    for end in ENDS:
        if (path := folder / f"{name}{end}").is_file():
            return path
    raise DataError(f"{folder}: holds no {name}, plain or .gz")


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file, plain or compressed (.gz), read-only.

    Args:
        dimensions: how many it must have: 3 for images, 1 for labels.

    The header's word allocates nothing: memory grows with the bytes that come.

    Raises:
        DataError: the file cannot be read, or is not of this form and of the size it says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _array(stream, dimensions)
    except (OSError, EOFError, ValueError, zlib.error) as reason:
        raise DataError(f"{path}: {getattr(reason, 'strerror', None) or reason}") from None


def _array(stream: BufferedIOBase, dimensions: int) -> NDArray[np.uint8]:
    magic = bytes([0, 0, 8, dimensions])
    header = stream.read(4 + 4 * dimensions)
    if header[:4] != magic:
        raise ValueError(f"begins with {header[:4].hex()}, not with {magic.hex()}")
    if len(header) < 4 + 4 * dimensions:
        raise ValueError("ends within its header")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size, said = math.prod(shape), " x ".join(map(str, shape))
    if size > LARGEST:
        raise ValueError(f"its header says {said} bytes, more than the {LARGEST} read here")
    content = bytearray()
    while chunk := stream.read(min(CHUNK, size + 1 - len(content))):  # one more, to see the end
        content += chunk
    if len(content) != size:
        found = "more" if len(content) > size else f"only {len(content)}"
        raise ValueError(f"its header says {said} bytes, but {found} follow")
    array = np.frombuffer(content, dtype=np.uint8).reshape(shape)
    array.flags.writeable = False
    return array
