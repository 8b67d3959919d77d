"""What a network comes to: its layers in order, and the parts that they make up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from striate.errors import Place
from striate.layers import Layer, Volume

INPUT = -1  # where a step's index stands, for the network's input


@dataclass(slots=True)
class Step:
    """One layer where it stands in the network. Not changed once the network is made.

    Attributes:
        index: its position in the order of computation.
        name: the dotted path, which is also the module's: `basic3.add1.branch1.conv2`.
        layer: the layer itself, its bias settled.
        stated: the layer as the text has it.
        inputs: indices of the steps whose volumes it meets; INPUT (-1) is the network's input.
        met: the volume it meets (of a join, the largest side of all along each axis).
        volume: its output volume.
        place: where its word stands in the text, if there is one.
    """

    index: int
    name: str
    layer: Layer
    stated: Layer
    inputs: tuple[int, ...]
    met: Volume
    volume: Volume
    place: Place | None = field(default=None, repr=False)


@dataclass(slots=True)
class Part:
    """Steps that belong together: the network, a block, a labelled group, a join, a branch.

    Attributes:
        name: the dotted path; empty for the network.
        kind: network, block, group, head, add, mul, concat or branch.
        title: how the text names it (`basic(64)`).
        children: steps and parts in order. Of a join: its branches, then its own step.
        entry: the step whose volume the part is given; INPUT for the network's input.
        exit: the step whose volume the part gives.
    """

    name: str
    kind: str
    title: str = ""
    children: list[Step | Part] = field(default_factory=list)
    entry: int = INPUT
    exit: int = INPUT
    counts: dict[str, int] = field(default_factory=dict, repr=False)
    taken: set[str] = field(default_factory=set, repr=False)

    def steps(self) -> Iterator[Step]:
        """All steps inside, in the order of computation."""
        for child in self.children:
            if isinstance(child, Step):
                yield child
            else:
                yield from child.steps()

    def name_for(self, base: str, numbered: bool = True) -> str:
        """A path for a new child: `conv1`, `conv2`; a label stands as it is."""
        if numbered:
            count = self.counts.get(base, 0) + 1
            while f"{base}{count}" in self.taken:
                count += 1
            self.counts[base] = count
            base = f"{base}{count}"
            self.taken.add(base)
        return f"{self.name}.{base}" if self.name else base


@dataclass(frozen=True)
class Expansion:
    """All that follows from a script: the steps in order, the tree of parts, the outputs."""

    steps: tuple[Step, ...]
    main: Part
    heads: dict[str, Part]
    output: int
    head_outputs: dict[str, int]
    labels: dict[str, int]
