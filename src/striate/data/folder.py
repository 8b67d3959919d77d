"""The image files below a folder, links followed, nothing opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from striate.data.arrange import Found, arrange
from striate.data.files import EXTENSIONS, FolderReader, Listing, changed, extension

Place = tuple[int, int]  # the device and the inode of a folder


def listing(source: str, root: Path) -> Listing:
    """The listing of a folder.

    Raises:
        DataError: it holds no images, or they lie in no folders of classes.
    """
    return arrange(source, *contents(root))


def contents(root: Path) -> tuple[Iterator[Found], FolderReader]:
    """What a folder holds, and what reads it."""
    around = os.stat(root)
    found = _walk(root, "", frozenset({(around.st_dev, around.st_ino)}))
    return found, FolderReader(str(root))


def _walk(root: Path, inside: str, around: frozenset[Place]) -> Iterator[Found]:
    """All below root/inside; `around` are the folders that a link must not lead back into."""
    try:
        names = sorted(os.listdir(root / inside))
    except OSError as reason:
        yield Found(inside, refused=reason.strerror or str(reason))
        return
    for name in names:
        path = f"{inside}{name}"
        try:
            about = os.stat(root / path)
        except OSError as reason:
            yield Found(path, refused=reason.strerror or str(reason))
            continue
        place = (about.st_dev, about.st_ino)
        if S_ISREG(about.st_mode):
            yield Found(path, about.st_size, changed(about))
        elif not S_ISDIR(about.st_mode):
            yield Found(path, refused="not a file")
        elif extension(name) in EXTENSIONS:
            yield Found(path, refused="a folder, not a file")
        elif place in around:
            yield Found(path, refused="a link back to a folder that it lies in")
        else:
            yield Found(f"{path}/")
            if not name.startswith("."):
                yield from _walk(root, f"{path}/", around | {place})
