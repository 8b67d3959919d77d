"""What a person may do wrong, and how it is said.

    StriateError             everything that a person sees without a traceback
    ├── NotationError        the text is not a network: placed at file, line and column
    │   ├── UnknownWord      a kind, option, block or label that does not exist
    │   ├── DoesNotFit       a layer met a volume that it cannot take
    │   ├── VolumeMismatch   a check or a join found other volumes than it needs
    │   └── TooLarge         the network would not fit any memory
    ├── DataError            images or labels that cannot be used
    ├── RunError             a run folder that cannot be written or read
    └── SeeError             a layer, unit or class to look at that is not there

A layer knows no text: it raises `Misfit`, and whoever knows the place raises the placed error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

WIDEST_EXCERPT = 100
MOST_NAMES = 40


class StriateError(Exception):
    """The base of every error that is a person's to mend."""


class DataError(StriateError):
    """Images or labels that cannot be used: the message names the file and the reason."""


class RunError(StriateError):
    """A run folder that cannot be written or read: the message names it and the reason."""


class SeeError(StriateError):
    """What one would look at is not there, or cannot be seen so: the message says why."""


@dataclass(frozen=True)
class Source:
    """A text and the name it goes by in messages."""

    text: str
    name: str = "text"


@dataclass(frozen=True)
class Place:
    """A stretch of a source, from character `start` up to `end`."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        return self.start - self.source.text.rfind("\n", 0, self.start)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self, note: str = "") -> str:
        """The line of the place with a caret under it, cut to a window where the line is long."""
        begin = self.source.text.rfind("\n", 0, self.start) + 1
        end = self.source.text.find("\n", self.start)
        line = self.source.text[begin : len(self.source.text) if end < 0 else end]
        first, last = self.start - begin, max(self.start + 1, self.end) - begin
        cut = max(0, first - WIDEST_EXCERPT // 2) if len(line) > WIDEST_EXCERPT else 0
        shown = "".join(c if c.isprintable() else " " for c in line[cut : cut + WIDEST_EXCERPT])
        carets = "^" * max(1, min(last, cut + len(shown)) - first)
        margin = " " * len(str(self.line))
        under = f"{' ' * (first - cut)}{carets} {note}".rstrip()
        return f"  {self.line} | {shown.rstrip()}\n  {margin} | {under}"


class NotationError(StriateError, ValueError):
    """The text is not a network.

    Attributes:
        message: what is wrong, in one line.
        place: where, or None for a network that was not made from text.
        note: the arithmetic or the reason, shown beside the caret.
        hints: what would mend it, a line each.
    """

    def __init__(
        self, message: str, place: Place | None = None, note: str = "", hints: Iterable[str] = ()
    ) -> None:
        self.message, self.place, self.note, self.hints = message, place, note, tuple(hints)
        super().__init__(message)

    def __str__(self) -> str:
        if self.place is None:
            lines = [self.message, *([f"  {self.note}"] if self.note else [])]
        else:
            lines = [f"{self.place}: {self.message}", self.place.excerpt(self.note)]
        return "\n".join([*lines, *(f"  {hint}" for hint in self.hints)])


class UnknownWord(NotationError):
    """A kind, option, block or label that does not exist; the nearest known one is named."""


class DoesNotFit(NotationError):
    """A layer met a volume that it cannot take."""


class VolumeMismatch(NotationError):
    """A check or a join found other volumes than it needs."""


class TooLarge(NotationError):
    """The network would not fit any memory."""


class Misfit(Exception):
    """What a layer says of a volume it cannot take; it knows no place.

    `message` follows the word ("does not fit the 7x7x6 volume"), `note` is the arithmetic.
    """

    def __init__(self, message: str, note: str = "", hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message, self.note, self.hints = message, note, tuple(hints)


def one_of(what: str, name: str, known: Iterable[str]) -> str:
    """The name, if it is a known one, else a StriateError that names the nearest."""
    names = list(known)
    if name in names:
        return name
    raise StriateError(f"there is no {what} {name!r}: {nearest(name, names)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint that names the known word closest to a mistyped one, or lists what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(word[:40], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    more = ["..."] if len(names) > MOST_NAMES else []
    return f"known: {', '.join([*names[:MOST_NAMES], *more])}" if names else "there are none here"
