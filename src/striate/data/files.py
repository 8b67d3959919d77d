"""Image files before any is decoded: where they lie, what class and split each belongs to.

A source is a folder, a zip or tar archive, or a manifest, which names files and their classes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple, Protocol

from striate.data.images import Unreadable
from striate.disk import at_home
from striate.errors import DataError

LARGEST = 256 * 2**20  # bytes of one file
EXTENSIONS = frozenset(
    [
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "bmp", "dib", "tif", "tiff"),
        *("webp", "avif", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm"),
        *("heic", "heif", "svg", "eps", "psd", "tga", "ico"),  # not read, and one should know
    ]
)
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ORDER = ("train", "validation", "test")
UNSPLIT = "all"


class Entry(NamedTuple):
    """An image file.

    Attributes:
        path: within its source.
        label: the position of its class.
        size: bytes.
        offset: where it begins, in a tar archive.
    """

    path: str
    label: int
    size: int
    offset: int = 0


class Reader(Protocol):
    """Reads the files of a source; it can be pickled, and processes do not disturb each other."""

    def read(self, entry: Entry) -> bytes: ...
    def name(self, path: str) -> str: ...


@dataclass(frozen=True)
class Listing:
    """The image files of a source.

    Attributes:
        source: as a person gave it.
        classes: their names in natural order, those of all splits together.
        splits: `train`, `validation`, `test`, those that the source has, in this order; or `all`
            where it has none. Files are in natural order.
        reader: opens them.
        stamp: SHA-256, in hexadecimal, of where they lie, their sizes and times of change.
        unreadable: what could be told without opening it.
        passed_over: how many files of other kinds there are, by extension.
    """

    source: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Entry, ...]]
    reader: Reader
    stamp: str
    unreadable: tuple[Unreadable, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All files, split by split."""
        return tuple(entry for entries in self.splits.values() for entry in entries)

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: they cannot be read, or are more than 256 MiB.
        """
        return self.reader.read(entry)

    def name(self, entry: Entry) -> str:
        """A file as a person would name it: its path, or ARCHIVE:MEMBER."""
        return self.reader.name(entry.path)


@dataclass(frozen=True)
class FolderReader:
    """Reads files below a folder; a path that is absolute stays what it is."""

    root: str

    def read(self, entry: Entry) -> bytes:
        # Opening a pipe waits for a writer unless told not to; one may have taken a file's place.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with open(os.open(self.name(entry.path), flags), "rb") as file:
                about = os.fstat(file.fileno())
                if not S_ISREG(about.st_mode):
                    raise DataError("not a file")
                # No more is asked for than there is: memory for all of it is taken at once.
                return limited(file.read(min(about.st_size, LARGEST) + 1))
        except OSError as reason:
            raise DataError(reason.strerror or str(reason)) from None

    def name(self, path: str) -> str:
        return path if self.root == os.curdir else os.path.join(self.root, path)


def limited(content: bytes) -> bytes:
    """The content, if it is no more than a file may have."""
    if len(content) > LARGEST:
        raise DataError(TOO_LARGE)
    return content


TOO_LARGE = f"larger than the {LARGEST // 2**20} MiB read here"


def list_files(path: str | Path, source: str | None = None) -> Listing:
    """What image files a folder, an archive or a manifest holds.

    Args:
        source: what to call it, where that is not its path.

    Raises:
        DataError: it cannot be read, or its files do not lie as they should.
    """
    from striate.data import archives, folder, manifest

    source, path = source or str(path), at_home(path)
    if path.is_dir():
        return folder.listing(source, path)
    if manifest.is_manifest(path):
        return manifest.listing(source, path)
    return archives.listing(source, path)


def changed(about: os.stat_result) -> int:
    """When a file's content, or who may read it, changed last, in nanoseconds."""
    return max(about.st_mtime_ns, about.st_ctime_ns)


def natural(name: str) -> tuple[tuple[object, ...], str]:
    """The key of the natural order: 2 before 10, a beside A, the same wherever it is asked for."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(each) if odd % 2 else each for odd, each in enumerate(parts)), name


def extension(path: str) -> str:
    """In lower case, without its dot."""
    return os.path.splitext(path)[1][1:].lower()
