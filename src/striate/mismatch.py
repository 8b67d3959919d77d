"""Why branches do not join: how each came to its volume, and the projections that would agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from striate.layers import Pair, Shortcut, Volume
from striate.notation.words import word_of
from striate.notation.write import write_item
from striate.steps import Part, Step

MOST_DERIVATIONS = 6


def unlike(kind: str, volumes: list[Volume]) -> list[int]:
    """The first branch, counted from 0, with each of the volumes that differ."""
    first = {volume[: _compared(kind)]: n for n, volume in reversed([*enumerate(volumes)])}
    return sorted(first.values())[:MOST_DERIVATIONS]


def derivation(branch: Part, volume: Callable[[int], Volume], labels: Mapping[int, str]) -> str:
    """`56x56x64 -> conv3-128/2 28x28x128 -> bn -> relu`: each volume where it changes.

    Args:
        branch: the steps and parts that lead to the join.
        volume: the volume of a step by its index.
        labels: how the text calls the volumes it can refer to.
    """
    at, said = branch.entry, [str(volume(branch.entry))]
    for child in branch.children:
        if isinstance(child, Step):
            what, entry, leave = write_item(word_of(child.stated)), child.inputs[0], child.index
        else:
            what, entry, leave = child.title or f"{child.kind}( ... )", child.entry, child.exit
        if entry != at:
            said.append(f"{labels.get(entry, '@')} {volume(entry)}")
        same = volume(leave) == volume(entry)
        said.append(what if same else f"{what} {volume(leave)}")
        at = leave
    if branch.exit != at:
        said.append(f"{labels.get(branch.exit, '@')} {volume(branch.exit)}")
    if len(said) > 12:
        said[6:-5] = ["..."]
    end = str(volume(branch.exit))
    return " -> ".join(said) + ("" if said[-1].split()[-1] == end else f" {end}")


def _compared(kind: str) -> int:
    """How many sides of its volumes a join compares: all, or height and width."""
    return 2 if kind == "concat" else 3


def _agrees(kind: str, volume: Volume, target: Volume | tuple[int, ...]) -> bool:
    """Whether a join takes the volume beside one of the target's sides."""
    sides = zip(volume, target, strict=False)
    return all(side == wanted or (kind == "mul" and side == 1) for side, wanted in sides)


def agreement(kind: str, volumes: list[Volume]) -> list[str]:
    """The projections that would make all branches agree with one of them, if there are such."""
    sides = _compared(kind)
    targets = [target for target, _ in Counter(each[:sides] for each in volumes).most_common()]
    for target in targets if len(targets) <= MOST_DERIVATIONS else ():
        unlike = {n: each for n, each in enumerate(volumes, 1) if not _agrees(kind, each, target)}
        words = []
        for number, volume in unlike.items():
            stride = Pair(-(-volume.height // target[0]), -(-volume.width // target[1]))
            depth = volume.depth if kind == "concat" else target[2]
            projection = Shortcut(filters=depth, stride=stride)
            if not _agrees(kind, projection.volume(volume), target):
                break
            words.append(f"{write_item(word_of(projection))} at the end of branch {number}")
        else:
            return [f"agrees with {' and '.join(words)}"] if len(words) <= MOST_DERIVATIONS else []
    return []
