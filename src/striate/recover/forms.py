"""Elements without their numbers: what instances of a block have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from striate.layers import BatchNorm, Conv, Layer, Opaque, Pair, Take
from striate.layers.settings import settings_of
from striate.recover.elements import Called, Element, Fork, Leaf, Reference


class NoBlock(Exception):
    """What refers to something outside of it is no block."""


class Slot(NamedTuple):
    """A number in a word, and what it is there: units, stride, kernel, groups or an option.

    `passed` where it is the argument of a call.
    """

    role: str
    value: int
    passed: bool = False


@dataclass
class Form:
    """Reads a sequence; gives its words with places for numbers, and keeps the numbers.

    Attributes:
        roles: of the parameters of blocks that are called.
        labels: a number for each node that is referred to.
        slots: the numbers, in order.
        floors: for each window that does not say `ceil`, whether it says `floor`.
        projects: for each shortcut, whether it projects.
    """

    roles: Mapping[str, Mapping[str, str]]
    labels: Mapping[int, int]
    volume: Callable[..., Any]
    slots: list[Slot] = field(default_factory=list)
    floors: list[bool] = field(default_factory=list)
    projects: list[bool] = field(default_factory=list)

    def words(self, elements: Sequence[Element]) -> tuple[Any, ...]:
        """The same for all sequences that differ in numbers alone."""
        return tuple(self._one(each) for each in elements)

    def _one(self, element: Element) -> tuple[Any, ...]:
        match element:
            case Leaf(node, layer):
                return ("word", layer.kind, self._settings(layer), self.labels.get(node))
            case Fork(node, kind, branches):
                label = self.labels.get(node)
                if (found := shortcut(element, self.volume)) is None:
                    return (kind, tuple(self.words(each) for each in branches), label)
                main = self.words(branches[0])
                filters, stride, projects = found
                self.slots += [Slot("units", filters), Slot("stride", stride)]
                self.projects.append(projects)
                return (kind, main, "shortcut", label)
            case Reference(node):
                if node not in self.labels:
                    raise NoBlock
                return ("@", self.labels[node])
            case Called(block, arguments):
                roles = self.roles[block]
                self.slots += [Slot(roles[name], value, True) for name, value in arguments.items()]
                return ("call", block, tuple(arguments))

    def _settings(self, layer: Layer) -> tuple[Any, ...]:
        said: list[Any] = []
        for name, value, role in numbers_of(layer):
            if isinstance(value, Slot):
                self.slots.append(value)
                said.append((name, role, type(getattr(layer, name))))
            elif name == "rounding" and value != "ceil":
                self.floors.append(value == "floor")
                said.append((name, "floor or exact"))
            else:
                said.append((name, value))
        return tuple(said)


def numbers_of(layer: Layer) -> Iterator[tuple[str, Any, str]]:
    """Each setting of a layer; a Slot where it is a number that a parameter may stand for."""
    for name, each in settings_of(type(layer)).items():
        value, role = getattr(layer, name), each.metadata["role"]
        role = "groups" if name == "groups" else role
        if not isinstance(layer, Opaque | Take):
            if isinstance(value, Pair) and value.height == value.width:
                value = Slot(role, value.height)
            elif isinstance(value, int) and not isinstance(value, bool):
                value = Slot(role, value)
        yield name, value, role


def shortcut(fork: Fork, volume: Callable[..., Any]) -> tuple[int, int, bool] | None:
    """Filters, stride and whether it projects, where a sum's second branch is a `shortcut`."""
    if fork.kind != "add" or len(fork.branches) != 2 or not fork.branches[0]:
        return None
    match fork.branches[1]:
        case []:
            return volume(fork.node).depth, 1, False
        case [Leaf(node, Conv() as conv), Leaf(_, BatchNorm() as norm)]:
            changes = volume(node, met=True) != volume(fork.node)
            square = conv.kernel == (1, 1) and conv.stride.height == conv.stride.width
            plain = conv.pad is None and conv.groups == 1 and conv.bias == "auto"
            if changes and square and plain and norm == BatchNorm():
                return conv.filters, conv.stride.height, True
    return None
