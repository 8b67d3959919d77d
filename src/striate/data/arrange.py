"""Which split and class a file belongs to, told from its path.

    ROOT/{train,val,test}/CLASS/...    splits, under any of their usual names
    ROOT/CLASS/...                     no splits

A folder that wraps either is looked through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from striate.data.files import (
    EXTENSIONS,
    LARGEST,
    ORDER,
    SPLITS,
    TOO_LARGE,
    UNSPLIT,
    Entry,
    Listing,
    Reader,
    extension,
    natural,
)
from striate.data.images import Unreadable
from striate.errors import DataError

SYSTEM = {"thumbs.db", "desktop.ini", "__macosx"}  # and all that begins with a dot
Parts = tuple[str, ...]


class Found(NamedTuple):
    """What a folder or an archive holds; the path of a folder ends in a slash.

    Attributes:
        size, changed: in bytes, and when, in nanoseconds.
        offset: where it begins in a tar archive.
        refused: why it cannot be used, as far as can be told without opening it.
    """

    path: str
    size: int = 0
    changed: int = 0
    offset: int = 0
    refused: str = ""

    @property
    def parts(self) -> Parts:
        return tuple(self.path.split("/"))


def arrange(source: str, found: Iterable[Found], reader: Reader) -> Listing:
    """The listing of what a folder or an archive holds.

    Raises:
        DataError: it holds no images, or they lie in no folders of classes.
    """
    images: list[Found] = []
    folders: list[Parts] = []
    unreadable: list[Unreadable] = []
    passed: Counter[str] = Counter()
    for each in found:
        if hidden(each.path):
            continue
        kind = extension(each.path)
        if each.refused and kind in (*EXTENSIONS, ""):
            unreadable.append(Unreadable(reader.name(each.path), each.refused))
        elif each.path.endswith("/"):
            folders.append(each.parts[:-1])
        elif kind not in EXTENSIONS:
            passed[kind] += 1
        elif each.size > LARGEST:
            unreadable.append(Unreadable(reader.name(each.path), TOO_LARGE))
        else:
            images.append(each)
    if not images:
        raise DataError(f"{source} holds no images{_instead(passed)}")
    images.sort(key=lambda each: natural(each.path))
    wrap = _wrap([each.parts for each in images])
    splits = _splits(source, wrap, images)
    return _listing(source, images, folders, wrap, splits, reader, unreadable, passed)


def _listing(
    source: str,
    images: list[Found],
    folders: list[Parts],
    wrap: Parts,
    splits: Mapping[str, str],
    reader: Reader,
    unreadable: list[Unreadable],
    passed: Mapping[str, int],
) -> Listing:
    level = len(wrap) + bool(splits)  # of a class's name in a path
    entries: dict[str, list[tuple[str, Found]]] = {name: [] for name in splits.values()}
    entries = entries or {UNSPLIT: []}
    classes: set[str] = set()
    elsewhere: Counter[str] = Counter()
    for each in images:
        parts = each.parts
        top = parts[len(wrap)]
        if splits and top not in splits and len(parts) > len(wrap) + 1:
            elsewhere["/".join((*wrap, top))] += 1
        elif len(parts) < level + 2:
            reason = "it lies in no folder of a class"
            unreadable.append(Unreadable(reader.name(each.path), reason))
        else:
            entries[splits.get(top, UNSPLIT)].append((parts[level], each))
            classes.add(parts[level])
    for path, count in elsewhere.items():
        reason = f"{count} images in a folder that is no split: those are train, val and test"
        unreadable.append(Unreadable(reader.name(path), reason))
    if not classes:
        raise DataError(
            f"the images of {source} lie in no folders of classes: give each class a folder, or "
            "name the class of each image in a manifest, a .csv of path,label"
        )
    for parts in folders:
        inside = parts[: len(wrap)] == wrap and len(parts) == level + 1
        if inside and (not splits or parts[len(wrap)] in splits):
            classes.add(parts[level])  # with no image, of which a person should hear
    names = tuple(sorted(classes, key=natural))
    labels = {name: label for label, name in enumerate(names)}
    listed = {
        split: tuple(Entry(each.path, labels[name], each.size, each.offset) for name, each in some)
        for split, some in sorted(
            entries.items(), key=lambda item: (*ORDER, UNSPLIT).index(item[0])
        )
    }
    return Listing(
        source, names, listed, reader, stamp(reader, images), tuple(unreadable), dict(passed)
    )


def stamp(reader: Reader, images: Iterable[Found]) -> str:
    """SHA-256 of where files lie, how large they are and when they changed."""
    words = (f"{each.path}\0{each.size}\0{each.changed}\0{each.offset}" for each in images)
    return sha256("\0".join((repr(reader), *words)).encode("utf-8", "surrogateescape")).hexdigest()


def hidden(path: str) -> bool:
    """Whether a system or a program keeps it for itself."""
    return any(
        (part[:1] == "." and part != "..") or part.lower() in SYSTEM for part in path.split("/")
    )


def _instead(passed: Mapping[str, int]) -> str:
    kinds = sorted(passed, key=lambda kind: -passed[kind])[:3]
    words = [f"{passed[kind]} {f'.{kind}' if kind else 'without extension'}" for kind in kinds]
    return f"; files of other kinds: {', '.join(words)}" if words else ""


def _wrap(images: list[Parts]) -> Parts:
    """The folders around everything: those with a single folder in them, and no image."""
    wrap: Parts = ()
    while True:
        tops = {parts[len(wrap)] for parts in images}
        if len(tops) > 1 or any(len(parts) < len(wrap) + 3 for parts in images):
            return wrap
        (top,) = tops
        if top.lower() in SPLITS:
            return wrap
        wrap = (*wrap, top)


def _splits(source: str, wrap: Parts, images: list[Found]) -> dict[str, str]:
    """The split of each folder that is one.

    None is, if there is no `train` with folders in it, unless there are no other folders.
    """
    base = len(wrap)
    deep = {each.parts[base] for each in images if len(each.parts) > base + 2}
    tops = {each.parts[base] for each in images if len(each.parts) > base + 1}
    splits = {top: SPLITS[top.lower()] for top in sorted(tops) if top.lower() in SPLITS}
    trained = any(name == "train" and top in deep for top, name in splits.items())
    if not trained and not (splits.keys() == tops and deep):
        return {}
    for name, count in Counter(splits.values()).items():
        if count > 1:
            both = " and ".join(top for top in splits if splits[top] == name)
            raise DataError(f"{source} holds both {both}, which are the same split: keep one")
    return splits
