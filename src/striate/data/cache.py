"""Images decoded once: a memory map of bytes that processes share, or decoding on demand.

    CACHE/decoded/KEY/index.json     what there is, and what could not be read
    CACHE/decoded/KEY/digests.bin    SHA-256 of each image's file, 32 bytes each
    CACHE/decoded/KEY/pixels.bin     the images' bytes; not where they are decoded on demand

KEY tells the files, their sizes and times of change, and how they are fitted. A folder is built
under another name and renamed when all of it is on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from striate.data.build import DIGEST, Built, Fit, Mixed, build
from striate.data.files import Listing
from striate.data.folders import cache_folder
from striate.data.images import Lazy, Pixels
from striate.data.lock import alone
from striate.data.stream import Streamed
from striate.data.tell import Tell
from striate.disk import flush_folder
from striate.errors import DataError

VERSION = 2
IN_MEMORY = 2**30  # bytes that are kept in memory where the cache folder cannot be written


class Mapped(Lazy):
    """Bytes in a file, of which only those asked for are read; it is pickled as its path."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape

    @cached_property
    def _map(self) -> NDArray[np.uint8]:
        return np.memmap(self.path, np.uint8, "r", shape=self.shape)

    def __getitem__(self, index: Any, /) -> Any:
        return np.asarray(self._map[index])

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapped, (self.path, self.shape)


@dataclass(frozen=True, eq=False)
class Decoded:
    """The images of a listing.

    Attributes:
        positions: of the readable files among all entries of the listing, int64.
        digests: SHA-256 of each of these files, uint8, (count, 32).
        unreadable: positions of the others, with the reasons.
    """

    pixels: Pixels
    positions: NDArray[np.int64]
    digests: NDArray[np.uint8]
    unreadable: tuple[tuple[int, str], ...]


def decoded(listing: Listing, fit: Fit, tell: Tell, workers: int | None) -> Decoded:
    """The images of a listing, from the cache; they are decoded first if they are not there.

    They are decoded on demand where they would take more than half of the free disk, or more than
    $STRIATE_CACHE_LIMIT bytes. Every file is decoded once even then, so that those that cannot be
    are known before training.

    Raises:
        Mixed: they differ in size, and the fit does not scale them.
        DataError: none can be read, or the disk is full.
    """
    count = len(listing.entries)
    room = cache_folder() / "decoded"
    # What is there already is used, whatever the limit, and where it may only be read.
    if found := _read(room / _key(listing, fit, True), listing, fit):
        return found
    if not writable(room):
        memory = BytesIO() if fit.bytes_of(count) <= IN_MEMORY else None
        what = f"decoding (no cache: {room} cannot be written)"
        return _from_memory(listing, fit, build(listing, fit, memory, tell, workers, what), memory)
    keep = fit.bytes_of(count) <= limit(room)
    folder = room / _key(listing, fit, keep)
    waiting = "waiting for another process that decodes these images"
    with alone(folder.with_suffix(".lock"), waiting, tell):
        if not (found := _read(folder, listing, fit)):
            _write(folder, listing, fit, keep, tell, workers)
            found = _read(folder, listing, fit)
    if found is None:
        raise DataError(f"{folder} was damaged while it was written: is the disk in order?")
    return found


def writable(room: Path) -> bool:
    """Whether files can be made in a folder, which is made."""
    try:
        room.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(room, os.W_OK)


def _key(listing: Listing, fit: Fit, keep: bool) -> str:
    words = [VERSION, listing.stamp, asdict(fit), keep]
    return sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def limit(room: Path) -> int:
    """Bytes that may be kept in a folder: $STRIATE_CACHE_LIMIT, or half of the free disk.

    Raises:
        DataError: the variable is no number.
    """
    given = os.environ.get("STRIATE_CACHE_LIMIT")
    if given is None:
        return shutil.disk_usage(room).free // 2
    if not given.isdecimal():
        raise DataError(f"STRIATE_CACHE_LIMIT is {given!r}: let it be a number of bytes")
    return int(given)


def _sweep(room: Path) -> None:
    """Remove what builders that were killed left, and touch what others build now."""
    for part in room.glob("*.part"):
        lock = FileLock(part.with_suffix(".lock"))
        with suppress(Timeout), lock.acquire(blocking=False):
            shutil.rmtree(part, ignore_errors=True)


def _write(
    folder: Path, listing: Listing, fit: Fit, keep: bool, tell: Tell, workers: int | None
) -> None:
    _sweep(folder.parent)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        about: dict[str, Any] = {"source": listing.source, "keep": keep}
        try:
            with _flushed(part / "pixels.bin") as pixels:
                sink, what = (pixels, "decoding") if keep else (None, "checking every image")
                built = build(listing, fit, sink, tell, workers, what)
        except Mixed as sizes:  # told at once when it is asked again
            about["mixed"] = str(sizes)
            (part / "pixels.bin").unlink()
        else:
            about |= {"shape": built.shape, "unreadable": built.unreadable}
            with _flushed(part / "digests.bin") as file:
                file.write(built.digests)
        with _flushed(part / "index.json") as file:
            file.write(json.dumps(about).encode())
        flush_folder(part)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        os.rename(part, folder)
        flush_folder(folder.parent)
    except OSError as reason:
        raise DataError(
            f"{part} cannot be written: {reason.strerror or reason}; STRIATE_CACHE names another "
            "folder, and STRIATE_CACHE_LIMIT=0 decodes on demand"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _flushed(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _read(folder: Path, listing: Listing, fit: Fit) -> Decoded | None:
    """What a folder holds; None if it is not there, or is not what its index says."""
    try:
        about = json.loads((folder / "index.json").read_text("utf-8"))
        if "mixed" in about:
            raise Mixed(about["mixed"])
        shape = tuple(map(int, about["shape"]))
        unreadable = tuple((int(position), str(reason)) for position, reason in about["unreadable"])
        digests = (folder / "digests.bin").read_bytes()
        whole = len(digests) == DIGEST * shape[0]
        if about["keep"]:
            size = (folder / "pixels.bin").stat().st_size
            whole = whole and size == int(np.prod(shape, dtype=np.int64))
        if not whole or shape[0] + len(unreadable) != len(listing.entries):
            return None
        built = Built(shape, digests, unreadable)
        pixels = Mapped(folder / "pixels.bin", shape) if about["keep"] else None
        return _decoded(listing, fit, built, pixels)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _from_memory(listing: Listing, fit: Fit, built: Built, memory: BytesIO | None) -> Decoded:
    if memory is None:
        return _decoded(listing, fit, built, None)
    pixels = np.frombuffer(memory.getbuffer(), np.uint8).reshape(built.shape)
    return _decoded(listing, fit, built, pixels)


def _decoded(listing: Listing, fit: Fit, built: Built, pixels: Pixels | None) -> Decoded:
    readable = np.ones(len(listing.entries), dtype=bool)
    readable[[position for position, _ in built.unreadable]] = False
    positions = np.flatnonzero(readable)
    if pixels is None:
        entries = listing.entries
        chosen = tuple(entries[position] for position in positions)
        pixels = Streamed(listing.reader, chosen, fit, built.shape)
    digests = np.frombuffer(built.digests, np.uint8).reshape(-1, DIGEST)
    return Decoded(pixels, positions, digests, built.unreadable)
