"""Image files in zip and tar archives, read member by member where they lie, never extracted.

A compressed tar can only be read from its beginning: it is uncompressed once, as a tar, into the
cache folder.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from striate.data.arrange import Found, arrange
from striate.data.files import LARGEST, Entry, Listing, limited
from striate.data.folders import cache_folder
from striate.errors import DataError

ENCRYPTED = 0x1
BLOCK = 2**20
SPARE = 2**30  # bytes of the disk that uncompressing leaves free
DENSEST = 200  # times smaller than what it holds: no tar of images is
DAMAGED = (
    *(OSError, EOFError, ValueError, NotImplementedError),
    *(zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class ZipReader:
    """Reads the members of a zip archive."""

    path: str

    def read(self, entry: Entry) -> bytes:
        try:
            with _zip(self.path, os.getpid()).open(entry.path) as member:
                return limited(member.read(LARGEST + 1))
        except (*DAMAGED, KeyError, RuntimeError) as reason:
            raise DataError(f"damaged in its archive: {reason}") from None

    def name(self, path: str) -> str:
        return f"{self.path}:{path}"


@dataclass(frozen=True)
class TarReader:
    """Reads the members of a tar archive.

    Attributes:
        plain: the archive without compression; `path` itself if it has none.
    """

    path: str
    plain: str

    def read(self, entry: Entry) -> bytes:
        try:
            with open(self.plain, "rb") as file:
                file.seek(entry.offset)
                content = file.read(entry.size)
        except OSError as reason:
            raise DataError(reason.strerror or str(reason)) from None
        if len(content) < entry.size:
            raise DataError("the archive ends within it")
        return content

    def name(self, path: str) -> str:
        return f"{self.path}:{path}"

    def __repr__(self) -> str:  # part of a listing's stamp, which no cache folder must change
        return f"TarReader({self.path!r})"


@lru_cache(maxsize=4)
def _zip(path: str, process: int) -> zipfile.ZipFile:
    """An open archive, one for each process: after a fork two would move one file's position."""
    return zipfile.ZipFile(path)


def listing(source: str, path: Path) -> Listing:
    """The listing of a zip or tar archive.

    Raises:
        DataError: it is neither, is damaged or encrypted, or holds no images in folders of classes.
    """
    return arrange(source, *contents(path))


def contents(path: Path) -> tuple[list[Found], ZipReader | TarReader]:
    """What a zip or tar archive holds, and what reads it.

    Raises:
        DataError: it is neither, or is damaged or encrypted.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path} is neither a folder nor a file")
        changed = about.st_mtime_ns
        if zipfile.is_zipfile(path):
            _zip.cache_clear()  # the file may be another one than the last of its name
            members = _zip(str(path), os.getpid()).infolist()  # which takes a while, of many
            return list(_zip_members(path, members, changed)), ZipReader(str(path))
        plain = path if _is_plain_tar(path) else _uncompressed(path)
        with tarfile.open(plain, "r:") as tar:
            found = list(_tar_members(tar, changed))
            if tar.offset >= plain.stat().st_size:
                raise tarfile.ReadError("it is cut off: it lacks the mark of its end")
        return found, TarReader(str(path), str(plain))
    except DAMAGED as reason:
        raise DataError(f"{path} cannot be read: {_said(reason)}") from None


def _said(reason: Exception) -> str:
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _zip_members(path: Path, members: list[zipfile.ZipInfo], changed: int) -> Iterator[Found]:
    for member in {each.filename: each for each in members}.values():  # of equal names, the last
        if member.flag_bits & ENCRYPTED:
            raise DataError(f"{path} is encrypted ({member.filename}): unpack it first")
        kind = stat.S_IFMT(member.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        yield _found(Found(member.filename, member.file_size, changed), plain)


def _tar_members(tar: tarfile.TarFile, changed: int) -> Iterator[Found]:
    last: dict[str, Found] = {}
    while member := tar.next():
        tar.members = []  # type: ignore[attr-defined]  # it would keep them all
        name = member.name.removeprefix("./") + "/" * member.isdir()
        found = Found(name, member.size, changed, member.offset_data)
        last[name] = _found(found, (member.isreg() and not member.issparse()) or member.isdir())
    yield from last.values()


def _found(member: Found, plain: bool) -> Found:
    if not plain:
        return member._replace(refused="a link, a device or a sparse file")
    if member.path.startswith("/") or ".." in member.parts:
        return member._replace(refused="its path leads out of the archive")
    return member


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False


def _uncompressed(path: Path) -> Path:
    if not tarfile.is_tarfile(path):
        raise DataError(f"{path} is no folder, zip or tar archive, nor a .csv or .parquet manifest")
    about = path.stat()
    words = f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    key = sha256(words.encode("utf-8", "surrogateescape")).hexdigest()
    folder = cache_folder() / "archives"
    plain = folder / f"{key}.tar"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key}.lock"):
            if not plain.exists():
                _uncompress(path, plain.with_suffix(".part"), DENSEST * about.st_size + SPARE)
                os.replace(plain.with_suffix(".part"), plain)
    except PermissionError as reason:
        raise DataError(f"{path} must be uncompressed first, but {folder}: {reason}") from None
    return plain


def _uncompress(path: Path, part: Path, most: int) -> None:
    """Write an archive without its compression; one that explodes is refused."""
    with path.open("rb") as file:
        start = file.read(2)
    openers: dict[bytes, Any]
    openers = {b"\x1f\x8b": gzip.GzipFile, b"BZ": bz2.BZ2File, b"\xfd7": lzma.LZMAFile}
    if start not in openers:
        raise DataError(f"{path} is compressed in a way that is not read here: give a .tar or .zip")
    try:
        with openers[start](path) as content, part.open("wb") as file:
            written = 0
            while block := content.read(BLOCK):
                written += file.write(block)
                if written > most or shutil.disk_usage(part.parent).free < SPARE:
                    raise DataError(
                        f"{path} holds more than {written:,} bytes, for which {part.parent} has no "
                        "room: give a folder, a .zip or a .tar, or set STRIATE_CACHE"
                    )
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
