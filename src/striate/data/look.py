"""A look at all of a source before anything is trained on it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data import glance
from striate.data.decode import decode, shrunk
from striate.data.files import Entry, Listing, list_files
from striate.data.findings import TRAIN, Copy, Look
from striate.data.glance import Glance
from striate.data.images import Images, Unreadable
from striate.data.order import shuffled
from striate.data.sources import arrays_at, digits, path_of
from striate.data.tell import Tell, silent
from striate.errors import DataError
from striate.layers.volume import Pair

MANY = 2000  # files from which on several processes are worth their start


class Arrays(NamedTuple):
    """Images that lie in memory, by split."""

    source: str
    splits: Mapping[str, Images]


def open_source(source: str | Path, *, tell: Tell = silent) -> Listing | Arrays:
    """The image files of a source, none of them decoded, or its images where it has no such files.

    Args:
        source: as for `load`.
        tell: told of the progress of a download.

    Raises:
        DataError: there is no such source, or its files are not what they say.
    """
    name = str(source)
    if name == "digits":
        return _arrays(name, *digits())
    path = path_of(name, tell)
    if arrays := arrays_at(path):
        return _arrays(name, *arrays)
    return list_files(path, name)


def _arrays(name: str, training: Images, test: Images) -> Arrays:
    return Arrays(name, {TRAIN: training, "test": test})


def look(source: Listing | Arrays, *, tell: Tell = silent, workers: int | None = None) -> Look:
    """Look at every image of a source.

    Args:
        source: from `open_source`.
        tell: told how many images were looked at, of how many.
        workers: processes that decode; by default as many as there are processors, or none for
            fewer than 2,000 files.

    Raises:
        DataError: no image can be read.
    """
    if isinstance(source, Arrays):
        classes = source.splits[TRAIN].classes
        return _look(source, classes, _of_arrays(source, tell))
    if workers is None:
        workers = 1 if len(source.entries) < MANY else os.cpu_count() or 1
    return _look(source, source.classes, _of_files(source, tell, workers))


def samples(
    source: Listing | Arrays,
    count: int,
    seed: int = 0,
    *,
    classes: int | None = None,
    side: int | None = None,
) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    """A few images of each class: pairs of its name and uint8 (height, width, depth).

    Those of the training split, or of the first one; chosen by the seed alone, `count` of each
    class or as many as there are. What cannot be read is left out.

    Args:
        classes: of how many, from the first on; by default of all.
        side: in pixels, to which larger images are scaled down; by default all stay as they are.
    """
    split = next(iter(source.splits))
    if isinstance(source, Arrays):
        images = source.splits[split]
        names, labels = images.classes, images.labels
    else:
        entries, names = source.splits[split], source.classes
        labels = np.array([entry.label for entry in entries], dtype=np.int64)
    rows = []
    for label, name in enumerate(names[:classes]):
        members = np.flatnonzero(labels == label)
        order = members[shuffled(len(members), seed, label)]
        if isinstance(source, Arrays):
            found: Iterator[NDArray[np.uint8]] = iter(images.pixels[order[:count]])
        else:
            found = islice(_readable(source, (entries[i] for i in order)), count)
        rows.append((name, [shrunk(each, side) if side else each for each in found]))
    return rows


def _readable(listing: Listing, entries: Iterable[Entry]) -> Iterator[NDArray[np.uint8]]:
    for entry in entries:
        with suppress(DataError):
            yield decode(listing.read(entry), 3)


class _Seen(NamedTuple):
    """A glance at an image with its name, its bytes and where it belongs."""

    copy: Copy
    bytes: int
    glance: Glance


def _of_files(listing: Listing, tell: Tell, workers: int) -> Iterator[_Seen]:
    owners = [split for split, entries in listing.splits.items() for _ in entries]
    glances = glance.of_files(listing.reader, listing.entries, tell, workers)
    for entry, split, each in zip(listing.entries, owners, glances, strict=True):
        yield _Seen(Copy(listing.name(entry), split, entry.label), entry.size, each)


def _of_arrays(source: Arrays, tell: Tell) -> Iterator[_Seen]:
    for split, images in source.splits.items():
        glances = glance.of_images(images, f"looking at {split} images", tell)
        for i, (label, each) in enumerate(zip(images.labels.tolist(), glances, strict=True)):
            yield _Seen(Copy(f"{split}[{i}]", split, label), images.volume.size, each)


def _look(source: Listing | Arrays, classes: tuple[str, ...], seen: Iterable[_Seen]) -> Look:
    splits = tuple(source.splits)
    bad = list(source.unreadable) if isinstance(source, Listing) else []
    counts = {split: [0] * len(classes) for split in splits}
    sums = dict.fromkeys(splits, np.zeros(()))
    sizes, modes, formats = Counter[Pair](), Counter[str](), Counter[str]()
    alike = defaultdict[bytes, list[Copy]](list)
    total = turned = 0
    for copy, size, each in seen:
        if each.reason:
            bad.append(Unreadable(copy.name, each.reason))
            continue
        counts[copy.split][copy.label] += 1
        sums[copy.split] = sums[copy.split] + np.array((each.mean, each.square))
        sizes[each.size] += 1
        modes[each.mode] += 1
        formats[each.format] += 1
        alike[each.digest].append(copy)
        total += size
        turned += each.turned
    if not sizes:
        first = f" ({bad[0].path}: {bad[0].reason})" if bad else ""
        raise DataError(f"no image of {source.source} can be read{first}")
    measured = next(split for split in (TRAIN, *splits) if any(counts.get(split, ())))
    mean, square = sums[measured] / sum(counts[measured])
    by_area = sorted(sizes.elements(), key=lambda size: (size.height * size.width, size))
    return Look(
        source=source.source,
        classes=classes,
        counts={split: tuple(count) for split, count in counts.items()},
        bytes=total,
        smallest=by_area[0],
        median=by_area[(len(by_area) - 1) // 2],
        largest=by_area[-1],
        sizes=len(sizes),
        modes=dict(modes.most_common()),
        formats={name: count for name, count in formats.most_common() if name},
        turned=turned,
        mean=tuple(mean.tolist()),
        deviation=tuple(np.sqrt(np.maximum(square - mean**2, 0)).tolist()),
        copies=tuple(tuple(group) for group in alike.values() if len(group) > 1),
        unreadable=tuple(bad),
        passed_over=dict(source.passed_over) if isinstance(source, Listing) else {},
    )
