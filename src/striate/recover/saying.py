"""Elements as items of the notation, their numbers said by a block's parameters where they vary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from striate.layers import Layer, Pair
from striate.notation.words import canonical
from striate.recover.elements import Called, Element, Fork, Leaf, Reference
from striate.recover.folding import folded
from striate.recover.forms import Slot, numbers_of, shortcut
from striate.tree import (
    Block,
    Branches,
    Call,
    Item,
    Label,
    Name,
    Number,
    Operation,
    Parameter,
    Word,
)
from striate.tree import Reference as Referred

# The letters of parameters, by what they stand for.
LETTERS = {"units": "klmnopqruvw", "stride": "stz", "kernel": "fhj", "groups": "gc"}
OTHERS = "abdexy"
STEADY = ("stride", "kernel", "groups", "option")  # parameters with a default


@dataclass
class Numbers:
    """The numbers of all instances of a block, and how each is said.

    Attributes:
        said: for each slot a number, a parameter, or an expression of one.
        parameters: the values of each parameter in every instance.
    """

    slots: Sequence[Slot]
    instances: Sequence[Sequence[int]]
    said: list[Number] = field(init=False)
    parameters: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)
    roles: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """The smallest numbers are parameters, so that others are multiples of them."""
        columns = list(zip(*self.instances, strict=True))
        vary = [n for n, values in enumerate(columns) if len(set(values)) > 1]
        bases: dict[tuple[int, ...], int] = {}
        for n in sorted(vary, key=lambda n: (self.slots[n].passed, sum(columns[n]))):
            passed = self.slots[n].passed
            if not any(
                _multiple(columns[n], base) or (passed and _multiple(base, columns[n]))
                for base in bases
            ):
                bases[columns[n]] = n
        for n in sorted(bases.values()):
            name = self._free(self.slots[n].role)
            self.parameters[name], self.roles[name] = columns[n], self.slots[n].role
        self.said = [self._one(values) for values in columns]

    def _one(self, values: tuple[int, ...]) -> Number:
        if len(set(values)) == 1:
            return values[0]
        for name, base in self.parameters.items():
            if factor := _multiple(values, base):
                return Name(name) if factor == 1 else Operation("*", factor, Name(name))
        for name, base in self.parameters.items():
            if factor := _multiple(base, values):
                return Operation("/", Name(name), factor)
        raise AssertionError("every number that varies is a parameter, or follows from one")

    def _free(self, role: str) -> str:
        letters = LETTERS.get(role, OTHERS)
        names: list[str] = [*letters, *(f"{letters[0]}{n}" for n in range(2, 100))]
        return next(each for each in names if each not in self.parameters)

    def declared(self) -> tuple[Parameter, ...]:
        """Strides, kernels and groups have a default, the most common value; they come last."""
        found = [
            Parameter(name, _common(values) if self.roles[name] in STEADY else None)
            for name, values in self.parameters.items()
        ]
        return tuple(sorted(found, key=lambda each: each.default is not None))


def _multiple(values: tuple[int, ...], base: tuple[int, ...]) -> int:
    """By what whole number the values are larger than others, all of them; 0 where by none."""
    if values == base:
        return 1
    factor = values[0] // base[0] if base[0] else 0
    same = all(v == factor * b for v, b in zip(values, base, strict=True))
    return factor if same else 0


def _common(values: tuple[int, ...]) -> int:
    return 1 if 1 in values else Counter(values).most_common(1)[0][0]


@dataclass
class Saying:
    """Writes elements; takes what stands for each number in the order in which forms note them.

    Attributes:
        blocks: those that calls may name.
        labels: the name of each node that something refers to.
        numbers: what stands for each slot; None where the numbers themselves do.
        floors: for each rounded window of a block, whether any instance says `floor`.
        projects: for each shortcut of a block, whether any instance projects.
    """

    blocks: Mapping[str, Block]
    labels: Mapping[int, str]
    volume: Callable[..., object]
    numbers: Iterator[Number] | None = None
    floors: Iterator[bool] = iter(())
    projects: Iterator[bool] = iter(())

    def items(self, elements: Sequence[Element]) -> list[Item]:
        """A sequence; within branches and blocks repetitions are folded."""
        return [self._labelled(each) for each in elements]

    def _labelled(self, element: Element) -> Item:
        if isinstance(element, Reference):
            return Referred(self.labels[element.node])
        item = self._one(element)
        name = "" if isinstance(element, Called) else self.labels.get(element.node, "")
        return Label(name, item) if name else item

    def _one(self, element: Leaf | Fork | Called) -> Word | Branches | Call:
        match element:
            case Leaf(_, layer):
                return self._word(layer)
            case Fork(_, kind, branches):
                if self.numbers is not None and shortcut(element, self.volume) is not None:
                    main = self._branch(branches[0])
                    return Branches(kind, (main, (self._shortcut(),)))
                return Branches(kind, tuple(self._branch(each) for each in branches))
            case Called(block, arguments):
                given = {name: self._number(value) for name, value in arguments.items()}
                return call(self.blocks[block], given)

    def _branch(self, elements: Sequence[Element]) -> tuple[Item, ...]:
        return folded(self.items(elements)) or (Word("id"),)

    def _number(self, value: int) -> Number:
        return value if self.numbers is None else next(self.numbers)

    def _shortcut(self) -> Word:
        assert self.numbers is not None
        filters, stride = next(self.numbers), next(self.numbers)
        if not next(self.projects):
            return Word("id")
        return Word(
            "shortcut", canonical("shortcut", {"filters": filters, "stride": _pair(stride)})
        )

    def _word(self, layer: Layer) -> Word:
        given: dict[str, object] = {}
        for name, value, _ in numbers_of(layer):
            if isinstance(value, Slot):
                number = self._number(value.value)
                given[name] = _pair(number) if isinstance(getattr(layer, name), Pair) else number
            elif name == "rounding" and value != "ceil" and self.numbers is not None:
                given[name] = "floor" if next(self.floors) else "exact"
            else:
                given[name] = value
        return Word(layer.kind, canonical(layer.kind, given))


def call(block: Block, given: Mapping[str, Number]) -> Call:
    """A call, without the arguments that are the block's defaults."""
    stated = [(each.name, given[each.name]) for each in block.parameters]
    defaults = {each.name: each.default for each in block.parameters}
    return Call(block.name, tuple((n, v) for n, v in stated if v != defaults[n]))


def _pair(number: Number) -> Number | Pair:
    return Pair(number, number) if isinstance(number, int) else number
