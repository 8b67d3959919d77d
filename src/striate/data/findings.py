"""What a look at a source found, and what of it a person should know before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from striate.data.files import UNSPLIT
from striate.data.images import Unreadable
from striate.layers.volume import Pair

IMBALANCE = 5  # times as many images in the largest class as in the smallest are worth a word
TRAIN = "train"


class Copy(NamedTuple):
    """One of several images with the same pixels.

    Attributes:
        name: the file; of an image in an array, SPLIT[POSITION].
        label: the position of its class.
    """

    name: str
    split: str
    label: int


@dataclass(frozen=True)
class Look:
    """What a source holds. Every file was read and decoded once, at its full size.

    Attributes:
        source: as a person gave it.
        classes: their names, in the order of the labels.
        counts: of each split (`all` where the source has none), the images of each class.
        bytes: of the files, or of the pixels where images have no files of their own.
        smallest: the image of the fewest pixels, upright.
        median: of as many images as there are smaller ones.
        largest: the image of the most pixels.
        sizes: how many different sizes there are.
        modes: how pixels are stored, in Pillow's words, and of how many images.
        formats: of the files.
        turned: images that stand upright only because their EXIF orientation is honoured.
        mean: of each channel over the training images, from 0 to 1; each image counts the same.
        deviation: the standard deviation of each channel, likewise.
        copies: groups of images with exactly the same pixels, however they are stored.
        unreadable: files that cannot be used, and why.
        passed_over: how many files of other kinds lie among them, by extension.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    bytes: int
    smallest: Pair
    median: Pair
    largest: Pair
    sizes: int
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    turned: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    copies: tuple[tuple[Copy, ...], ...]
    unreadable: tuple[Unreadable, ...]
    passed_over: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(map(sum, self.counts.values()))

    @property
    def two_labels(self) -> tuple[tuple[Copy, ...], ...]:
        """Groups of copies that are not all of one class."""
        return tuple(each for each in self.copies if len({copy.label for copy in each}) > 1)

    def repeated(self, split: str, other: str) -> int:
        """How many images of a split are in another split too."""
        groups = ([copy.split for copy in each] for each in self.copies)
        return sum(splits.count(split) for splits in groups if other in splits)

    @property
    def spare(self) -> Mapping[str, int]:
        """Of each split, how many images repeat another one in it."""
        spare: Counter[str] = Counter()
        for each in self.copies:
            spare.update({name: n - 1 for name, n in Counter(c.split for c in each).items()})
        return {split: spare[split] for split in self.counts if spare[split]}

    @property
    def measured(self) -> str:
        """The split whose mean and deviation are told: train, or the first that has images."""
        splits = (TRAIN, *self.counts)
        return next((split for split in splits if any(self.counts.get(split, ()))), TRAIN)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before training on this, a sentence each."""
        return tuple(_warnings(self))

    def missing(self, split: str) -> tuple[str, ...]:
        """The classes that a split has no images of."""
        pairs = zip(self.classes, self.counts[split], strict=True)
        return tuple(name for name, count in pairs if not count)


def _warnings(look: Look) -> Iterator[str]:
    for split, other in (("test", TRAIN), ("validation", TRAIN), ("test", "validation")):
        if count := look.repeated(split, other):
            group = next(each for each in look.copies if {split, other} <= {c.split for c in each})
            names = (next(c.name for c in group if c.split == name) for name in (split, other))
            yield (
                f"{_images(count, split)} in {other} too: {split} error will look better than "
                f"it is ({' = '.join(names)})"
            )
    if count := look.spare.get(UNSPLIT, 0):
        repeat = "1 image repeats another" if count == 1 else f"{count:,} images repeat others"
        yield (
            f"{repeat}: a split at random may put one into train and its like into test "
            f"({_example(look.copies, look)})"
        )
    if groups := look.two_labels:
        pictures = "1 picture has" if len(groups) == 1 else f"{len(groups):,} pictures have"
        yield f"{pictures} more than one label ({_example(groups, look)})"
    for split in look.counts:
        if missing := look.missing(split):
            yield f"{split} has no images of {_some(missing)}"
    first = next(iter(look.counts))
    pairs = sorted(zip(look.counts[first], look.classes, strict=True))
    if pairs[-1][0] > IMBALANCE * pairs[0][0] > 0:
        (few, rare), (many, common) = pairs[0], pairs[-1]
        yield f"{first} is unbalanced: {many:,} images of {common}, but {few:,} of {rare}"
    if look.unreadable:
        files = "1 file" if len(look.unreadable) == 1 else f"{len(look.unreadable):,} files"
        yield f"{files} cannot be used"


def _images(count: int, split: str) -> str:
    return f"1 {split} image is" if count == 1 else f"{count:,} {split} images are"


def _example(groups: Sequence[Sequence[Copy]], look: Look) -> str:
    group = groups[0]
    other = next((copy for copy in group if copy.label != group[0].label), group[1])
    return " = ".join(f"{copy.name}, {look.classes[copy.label]}" for copy in (group[0], other))


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
