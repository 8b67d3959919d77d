"""All files of a listing, decoded in order by several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.decode import CRASHED, NoMemory, decode
from striate.data.files import Entry, Listing, Reader
from striate.data.parallel import mapped
from striate.data.tell import Tell
from striate.errors import DataError

DIGEST = 32  # bytes of a SHA-256 sum
CHUNK = 256  # files that a process takes at a time, at most
CHUNK_BYTES = 16 * 2**20  # ... and of their pixels
FEW = 2 * CHUNK_BYTES  # bytes of pixels for which no processes are started


class Mixed(Exception):
    """The images differ in size; two of the sizes are given, such as 28x28 and 32x28."""


@dataclass(frozen=True)
class Fit:
    """How files become images of one size.

    Attributes:
        depth: 1 for grey, 3 for RGB.
        height, width: of all images.
        scaled: whether they are made so; otherwise another size is `Mixed`.
    """

    depth: int
    height: int
    width: int
    scaled: bool

    def bytes_of(self, count: int) -> int:
        """What so many images take."""
        return count * self.height * self.width * self.depth


class Built(NamedTuple):
    """What was written.

    Attributes:
        shape: of all pixels, (count, height, width, depth).
        digests: SHA-256 sums of the files, one after the other, whether pixels were kept or not.
        unreadable: the positions of files among all that could not be decoded, with the reasons.
    """

    shape: tuple[int, ...]
    digests: bytes
    unreadable: tuple[tuple[int, str], ...]


class Chunk(NamedTuple):
    """Some files, decoded; `reasons` has None for each that could be."""

    pixels: bytes
    digests: bytes
    reasons: tuple[str | None, ...]


def fitted(content: bytes, fit: Fit) -> NDArray[np.uint8]:
    """One file's image, (height, width, depth)."""
    return decode(content, fit.depth, (fit.height, fit.width) if fit.scaled else None)


def build(
    listing: Listing,
    fit: Fit,
    sink: BinaryIO | None,
    tell: Tell,
    workers: int | None,
    what: str = "decoding",
) -> Built:
    """Decode all files and write their pixels, one after the other, to `sink`, if there is one.

    Args:
        workers: how many processes; None: as many as there are processors, or none for few images.

    Raises:
        Mixed: they differ in size, and the fit does not scale.
    """
    entries = listing.entries
    digests, unreadable, done = bytearray(), [], 0
    for chunk in chunks(listing.reader, entries, fit, sink is not None, workers):
        if sink is not None:
            sink.write(chunk.pixels)
        digests += chunk.digests
        for position, reason in enumerate(chunk.reasons, start=done):
            if reason is not None:
                unreadable.append((position, reason))
        done += len(chunk.reasons)
        tell(what, done, len(entries))
    count = len(entries) - len(unreadable)
    return Built((count, fit.height, fit.width, fit.depth), bytes(digests), tuple(unreadable))


def chunks(
    reader: Reader, entries: Sequence[Entry], fit: Fit, keep: bool, workers: int | None
) -> Iterator[Chunk]:
    """All files, decoded in their order by several processes; see `build`."""
    size = max(1, min(CHUNK, CHUNK_BYTES // max(1, fit.bytes_of(1))))
    parts = [entries[first : first + size] for first in range(0, len(entries), size)]
    if workers is None:
        workers = 1 if fit.bytes_of(len(entries)) < FEW else os.cpu_count() or 1
    return mapped(partial(decode_chunk, reader, fit, keep), parts, workers, _crashed)


def _crashed(entry: Entry) -> Chunk:
    return Chunk(b"", b"", (CRASHED,))


def decode_chunk(reader: Reader, fit: Fit, keep: bool, entries: Sequence[Entry]) -> Chunk:
    """Decode some files; all that is wrong with one becomes its reason.

    Raises:
        Mixed: one has another size.
        DataError: memory ran out.
    """
    pixels, digests = bytearray(), bytearray()
    reasons: list[str | None] = []
    for entry in entries:
        try:
            content = reader.read(entry)
            image = fitted(content, fit)
        except NoMemory as reason:  # it says nothing of the file, and must not be remembered
            raise DataError(f"{reader.name(entry.path)}: {reason}") from None
        except DataError as reason:
            reasons.append(str(reason))
            continue
        if image.shape[:2] != (fit.height, fit.width):
            raise Mixed(f"{fit.height}x{fit.width} and {image.shape[0]}x{image.shape[1]}")
        reasons.append(None)
        digests += sha256(content).digest()
        if keep:
            pixels += image.tobytes()
    return Chunk(bytes(pixels), bytes(digests), tuple(reasons))
