"""Image files wherever they lie, whatever their classes: to be predicted, not learned from."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from striate.data import archives, folder, manifest
from striate.data.arrange import Found, hidden, stamp
from striate.data.decode import opened
from striate.data.files import (
    EXTENSIONS,
    LARGEST,
    TOO_LARGE,
    Entry,
    FolderReader,
    Reader,
    extension,
    natural,
)
from striate.disk import at_home
from striate.errors import DataError

STANDARD_INPUT = "-"
Contents = tuple[list[Found], Reader]  # the files of a source, and what reads them


@dataclass(frozen=True)
class Content:
    """Reads a single image that came through a pipe."""

    content: bytes

    def read(self, entry: Entry) -> bytes:
        return self.content

    def name(self, path: str) -> str:
        return path


@dataclass(frozen=True)
class Readers:
    """Reads the files of several sources; an entry's label says of which one it is.

    Attributes:
        refused: by label and path, why files are not read that need not be opened to know.
    """

    readers: tuple[Reader, ...]
    refused: Mapping[tuple[int, str], str]

    def read(self, entry: Entry) -> bytes:
        if reason := self.refused.get((entry.label, entry.path)):
            raise DataError(reason)
        return self.readers[entry.label].read(entry)

    def name(self, path: str) -> str:
        return path


class Loose(NamedTuple):
    """Image files of one or more sources, in the order in which they were named.

    Attributes:
        stamps: SHA-256 sums, in hexadecimal, of where each source's files lie, their sizes and
            times of change.
    """

    entries: tuple[Entry, ...]
    reader: Readers
    stamps: tuple[str, ...]

    def name(self, entry: Entry) -> str:
        """A file as a person would name it: its path, or ARCHIVE:MEMBER."""
        return self.reader.readers[entry.label].name(entry.path)


def gather(sources: Sequence[str], given: bytes = b"") -> Loose:
    """The image files that sources hold; those of a folder or an archive in natural order.

    Args:
        sources: image files, folders, zip and tar archives, manifests (.csv, .parquet), or `-`.
        given: what `-` stands for: the bytes of one image, or paths of image files, UTF-8, one a
            line or each ended by a null byte.

    Raises:
        DataError: there is nothing at a path, it cannot be read, or nothing is an image.
    """
    entries: list[Entry] = []
    readers: list[Reader] = []
    refused: dict[tuple[int, str], str] = {}
    stamps = []
    for source in sources:
        piped = source == STANDARD_INPUT
        found, reader = _piped(given) if piped else _contents(at_home(source))
        for each in found:
            entries.append(Entry(each.path, len(readers), each.size, each.offset))
            if each.refused or each.size > LARGEST:
                refused[len(readers), each.path] = each.refused or TOO_LARGE
        readers.append(reader)
        stamps.append(stamp(reader, found))
    if not entries:
        raise DataError(f"{', '.join(sources)}: there are no images")
    return Loose(tuple(entries), Readers(tuple(readers), refused), tuple(stamps))


def _contents(path: Path) -> Contents:
    if path.is_dir():
        walked, reader = folder.contents(path)
        return _images(walked), reader
    if not path.exists():
        raise DataError(f"there is nothing at {path}")
    if manifest.is_manifest(path):
        return manifest.files(path)
    if extension(path.name) not in EXTENSIONS and _is_archive(path):
        members, archive = archives.contents(path)
        return _images(members), archive
    return [_file(str(path))], FolderReader("")


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except OSError as reason:
        raise DataError(f"{path} cannot be read: {reason.strerror or reason}") from None


def _images(found: Iterable[Found]) -> list[Found]:
    """What looks like an image by its name, in natural order."""
    kept = [
        each
        for each in found
        if not hidden(each.path)
        and not each.path.endswith("/")
        and extension(each.path) in EXTENSIONS
    ]
    return sorted(kept, key=lambda each: natural(each.path))


def _piped(given: bytes) -> Contents:
    try:
        with opened(given):
            return [Found(STANDARD_INPUT, len(given))], Content(given)
    except DataError:
        pass  # then it is a list
    try:
        text = given.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("standard input is neither an image nor a list of paths") from None
    lines = text.split("\0") if "\0" in text else text.splitlines()
    paths = [line for line in lines if line.strip()]
    if not paths:
        raise DataError("standard input is empty: it takes one image, or paths, one a line")
    return [_file(path) for path in paths], FolderReader("")


def _file(path: str) -> Found:
    """A file that is opened later; what is wrong with it is said then."""
    try:
        about = os.stat(path)
    except (OSError, ValueError) as reason:
        return Found(path, refused=getattr(reason, "strerror", None) or str(reason))
    return Found(path, about.st_size, about.st_mtime_ns)
