"""What one image is like, and many of them: decoded whole, in parallel, and forgotten again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from striate.data.decode import CRASHED, decode, opened
from striate.data.files import Entry, Reader
from striate.data.images import Images
from striate.data.parallel import mapped
from striate.data.tell import Tell
from striate.errors import DataError
from striate.layers.volume import Pair

CHUNK = 128  # files that a process examines at a time
CHUNK_BYTES = 2**22  # of pixels in memory
ORIENTATION = 274  # EXIF's tag


class Glance(NamedTuple):
    """What an image turned out to be.

    Attributes:
        size: upright.
        mode: Pillow's word for how its pixels are stored: L, RGB, P, CMYK, ...
        format: JPEG, PNG, ...; empty where the image comes from no file of its own.
        turned: whether EXIF says that it must be turned or mirrored to stand upright.
        digest: SHA-256 of its size and pixels: the same for the same picture, however stored.
        mean: of each channel, from 0 to 1.
        square: the mean of the squares of each channel.
        reason: why it cannot be read; all else is empty then.
    """

    size: Pair
    mode: str
    format: str
    turned: bool
    digest: bytes
    mean: tuple[float, ...]
    square: tuple[float, ...]
    reason: str = ""


def of_files(
    reader: Reader, entries: Sequence[Entry], tell: Tell, workers: int
) -> Iterator[Glance]:
    """A glance at each file, in order; above 1 worker, so many processes share the work."""
    chunks = [entries[first : first + CHUNK] for first in range(0, len(entries), CHUNK)]
    done = 0
    for glances in mapped(partial(_examine, reader), chunks, workers, _crashed):
        yield from glances
        done += len(glances)
        tell("looking at images", done, len(entries))


def of_images(images: Images, what: str, tell: Tell) -> Iterator[Glance]:
    """A glance at each image in memory."""
    mode = "L" if images.volume.depth == 1 else "RGB"
    step = max(1, CHUNK_BYTES // images.volume.size)
    for first in range(0, len(images), step):
        for pixels in np.ascontiguousarray(images.pixels[first : first + step]):
            yield _glance(pixels, mode, "", False)
        tell(what, min(first + step, len(images)), len(images))


def _examine(reader: Reader, entries: Sequence[Entry]) -> list[Glance]:
    return [_file(reader, entry) for entry in entries]


def _file(reader: Reader, entry: Entry) -> Glance:
    try:
        content = reader.read(entry)
        with opened(content) as image:
            mode, format, turned = image.mode, image.format or "", _turned(image)
        return _glance(decode(content, 3), mode, format, turned)
    except DataError as reason:
        return _unreadable(str(reason))


def _crashed(entry: Entry) -> list[Glance]:
    return [_unreadable(CRASHED)]


def _unreadable(reason: str) -> Glance:
    return Glance(Pair(0, 0), "", "", False, b"", (), (), reason)


def _turned(image: Image) -> bool:
    # A PNG that has EXIF after its pixels would be decoded once more for it.
    if image.format == "PNG" and "exif" not in image.info:
        return False
    try:
        return image.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # damaged metadata do not spoil a picture
        return False


def _glance(pixels: NDArray[np.uint8], mode: str, format: str, turned: bool) -> Glance:
    height, width, depth = pixels.shape
    digest = hashlib.sha256(f"{height}x{width}x{depth}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    # Histograms are exact, and a third of the time of sums in floating point.
    counts = [np.bincount(pixels[..., each].ravel(), minlength=256) for each in range(depth)]
    levels = np.arange(256) / 255
    mean = tuple(float(count @ levels) / (height * width) for count in counts)
    square = tuple(float(count @ levels**2) / (height * width) for count in counts)
    return Glance(Pair(height, width), mode, format, turned, digest.digest(), mean, square)
