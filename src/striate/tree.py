"""A network as it was written: words, groups, branches, blocks; what is printed and compared.

Everything here is immutable. Places in the text ride along but do not count in comparisons, so that
two texts for the same thing are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from striate.errors import Place
from striate.layers.settings import LARGEST
from striate.layers.volume import Volume


def _place() -> Any:
    return field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Name:
    """A parameter of the block in which it stands."""

    name: str

    def value(self, known: Mapping[str, int]) -> int:
        return known[self.name]

    def names(self) -> set[str]:
        return {self.name}

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Operation:
    """A small whole-number expression: `4*k`, `(k + 1)/2`. Division must leave nothing over."""

    sign: str
    left: Number
    right: Number

    def value(self, known: Mapping[str, int]) -> int:
        """Raises ArithmeticError, with a message for a person."""
        left, right = number_value(self.left, known), number_value(self.right, known)
        if self.sign == "/":
            if right == 0 or left % right:
                raise ArithmeticError(f"{left}/{right} is no whole number")
            return left // right
        result = {"+": left + right, "-": left - right, "*": left * right}[self.sign]
        if abs(result) > LARGEST:
            raise ArithmeticError(f"{left} {self.sign} {right} is too large")
        return result

    def names(self) -> set[str]:
        return number_names(self.left) | number_names(self.right)

    def __str__(self) -> str:
        """With the brackets that reading it again needs, and no others."""
        tight = self.sign in "*/"
        left, right = (
            f"({side})"
            if isinstance(side, Operation) and (side.sign in "+-") + tight + at_right >= 2
            else str(side)
            for side, at_right in ((self.left, False), (self.right, True))
        )
        return f"{left}{self.sign}{right}" if tight else f"{left} {self.sign} {right}"


Number = int | Name | Operation


def number_value(number: Number, known: Mapping[str, int]) -> int:
    """The number itself, or what it comes to with the block's arguments."""
    return number if isinstance(number, int) else number.value(known)


def number_names(number: object) -> set[str]:
    """The parameters that a value depends on."""
    return number.names() if isinstance(number, Name | Operation) else set()


Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Word:
    """One layer: its kind and its settings, the defaults left out, in the kind's own order."""

    kind: str
    settings: Settings = ()
    place: Place | None = _place()


@dataclass(frozen=True)
class Call:
    """A block with its arguments: `basic(128, s=2)`."""

    block: str
    arguments: tuple[tuple[str, Number], ...] = ()
    place: Place | None = _place()


@dataclass(frozen=True)
class Repeat:
    """A sequence several times over, with weights of its own each time: `( ... )*3`."""

    body: Sequence
    times: Number
    place: Place | None = _place()


@dataclass(frozen=True)
class Branches:
    """`add( ... | ... )`, `mul( ... | ... )` and `concat( ... | ... )`."""

    kind: str
    branches: tuple[Sequence, ...]
    place: Place | None = _place()


@dataclass(frozen=True)
class Check:
    """`[112x112x64]`: the volume here must be exactly this."""

    volume: Volume
    place: Place | None = _place()


@dataclass(frozen=True)
class Label:
    """`x: word`: a name for the volume after that word."""

    name: str
    item: Word | Call | Repeat | Branches
    place: Place | None = _place()


@dataclass(frozen=True)
class Reference:
    """`@x`: the volume that was labelled x."""

    name: str
    place: Place | None = _place()


Item = Word | Call | Repeat | Branches | Check | Label | Reference
Sequence = tuple[Item, ...]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a block, with its default if it has one."""

    name: str
    default: int | None = None
    place: Place | None = _place()


@dataclass(frozen=True)
class Block:
    """A definition: `basic(k, s=1) = add( ... | ... ) relu`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Sequence
    place: Place | None = _place()


@dataclass(frozen=True)
class Head:
    """A further output: `head aux1 from @a: avgpool5/3 ...`."""

    name: str
    label: str
    body: Sequence
    place: Place | None = _place()


@dataclass(frozen=True)
class Script:
    """A whole text: front matter, blocks, input volume, the words, further heads."""

    input: Volume
    body: Sequence
    blocks: tuple[Block, ...] = ()
    heads: tuple[Head, ...] = ()
    front: tuple[tuple[str, str], ...] = ()
    place: Place | None = _place()
