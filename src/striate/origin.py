"""Where the weights of a run came from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

SHOWN = 6  # layers that a sentence names


@dataclass(frozen=True)
class Origin:
    """The weights that a run began with, and what of them was taken.

    Attributes:
        source: a run, a file or `hub:OWNER/NAME`; a path from the root of the file system.
        sha256: of the file of weights.
        taken, tensors: how many of the network's tensors are from there, of how many.
        anew: the layers that began with weights of their own, each with the reason.
        unused: the layers of the source that the network has no place for.
        other: the layers that were taken, and compute in another way here than there.
        head: what was wished for the last layer, `new` or `keep`; empty where nothing was.
    """

    source: str
    sha256: str
    taken: int
    tensors: int
    anew: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    head: str = ""

    def __str__(self) -> str:
        parts = [f"taken: {self.taken} of {self.tensors} tensors"]
        for what, layers in (("begins anew", self.anew), ("not used", self.unused)):
            if layers:
                parts.append(f"{what}: {some(layers)}")
        return "; ".join(parts)


def origin_from(about: Any) -> Origin | None:
    """What JSON has of an origin, None included.

    Raises:
        KeyError, TypeError, ValueError: it has no such thing.
    """
    if about is None:
        return None
    found = {each.name: about[each.name] for each in fields(Origin)}
    for name in ("anew", "unused", "other"):
        found[name] = tuple(map(str, found[name]))
    return Origin(**found)


def some(names: tuple[str, ...]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
