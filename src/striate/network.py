"""The Network: an immutable value, checked when it is made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.disk import text_of
from striate.errors import NotationError, Source
from striate.expand import expand
from striate.layers import Layer, Softmax, Volume
from striate.layers.settings import LARGEST
from striate.notation import read_script, read_volume, write_script
from striate.notation.words import word_of
from striate.steps import Expansion, Part, Step
from striate.tree import Script, Sequence

if TYPE_CHECKING:
    from striate.account import Account
    from striate.build import ConvNet
    from striate.draw.table import Table


@dataclass(frozen=True, repr=False)
class Network:
    """A ConvNet, from its text: `striate.read(...)`, or from a script made by a program.

    Two networks are equal where their canonical texts are. Making one works out every volume, and
    raises a NotationError where a layer does not fit, so that a Network in hand is a valid one.
    """

    script: Script
    expansion: Expansion = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(isinstance(side, int) and 1 <= side <= LARGEST for side in self.input):
            raise NotationError(f"{self.input} is no volume: its sides go from 1 to {LARGEST:,}")
        for key, value in self.script.front:
            one_line = value and value == value.strip() and "\n" not in value
            if not (one_line and re.fullmatch(r"[a-z_][a-z0-9_ -]*", key)):
                raise NotationError(f"front matter cannot hold {key!r}: {value!r}")
        object.__setattr__(self, "expansion", expand(self.script))

    @classmethod
    def parse(cls, text: str, source: str = "text") -> Network:
        """The network that a text writes; `source` is what messages call the text."""
        return cls(read_script(Source(text, source)))

    @classmethod
    def of(cls, input: tuple[int, int, int], *layers: Layer, name: str = "") -> Network:
        """A plain sequence: `Network.of((32, 32, 3), Conv(kernel=(3, 3), filters=8), Relu())`."""
        front = (("name", name),) if name else ()
        return cls(Script(Volume(*input), tuple(word_of(layer) for layer in layers), front=front))

    @property
    def front(self) -> dict[str, str]:
        """The front matter: name, paper, year and whatever else the text says."""
        return dict(self.script.front)

    @property
    def name(self) -> str | None:
        return self.front.get("name")

    @property
    def input(self) -> Volume:
        return self.script.input

    @cached_property
    def output(self) -> Volume:
        """The volume of the last word."""
        return self.steps[self.expansion.output].volume

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every layer in the order of computation, heads last."""
        return self.expansion.steps

    @property
    def main(self) -> Part:
        """The tree of parts that the steps make up, heads apart."""
        return self.expansion.main

    @property
    def body(self) -> Sequence:
        return self.script.body

    def __str__(self) -> str:
        return write_script(self.script).rstrip("\n")

    def __repr__(self) -> str:
        volumes = f"{self.input} -> {self.output}"
        name = f" {self.name}" if self.name else ""
        return f"<Network{name}: {volumes}, {len(self.steps):,} layers>"

    def with_input(self, input: tuple[int, int, int] | str) -> Network:
        """The same words on another input volume; the text's own checks are left out."""
        from striate.notation.edit import without_checks

        volume = read_volume("x".join(map(str, input)) if isinstance(input, tuple) else str(input))
        return Network(without_checks(self.script, volume))

    def with_classes(self, classes: int) -> Network:
        """The network with a last layer of so many units, and the same of its further heads.

        Raises:
            NotationError: the text does not end in such a layer, written out; or it does not fit.
        """
        from striate.notation.edit import with_classes

        script = with_classes(self.script, classes)
        if script is None:
            raise NotationError(
                f"{self.name or 'the network'} does not end in a layer of its own, whose width "
                f"could be {classes}: let its text end in fc-{classes} softmax"
            )
        return Network(script)

    def account(self, **options: Any) -> Account:
        """Rows and totals: see `striate.account.account`."""
        from striate.account import account

        return account(self, **options)

    def table(self, **options: Any) -> Table:
        """The table: in a terminal by rich, in a notebook as HTML."""
        from striate.draw.table import Table

        return Table(self.account(**options))

    def build(self, initialisation: str = "he") -> ConvNet:
        """The plain torch.nn.Module: see `striate.build.build`."""
        from striate.build import build

        return build(self, initialisation)

    def apart(self, step: Step) -> bool:
        """Whether a step is a final softmax, kept apart from the class scores.

        One whose probabilities something else reads is a layer like any other.
        """
        return isinstance(step.layer, Softmax) and step.index in self._ends

    @cached_property
    def _ends(self) -> frozenset[int]:
        """The steps that are one output each and that nothing else reads."""
        found = self.expansion
        outputs = [found.output, *found.head_outputs.values()]
        read = {index for step in self.steps for index in step.inputs}
        read |= {head.entry for head in found.heads.values()}
        return frozenset(each for each in outputs if outputs.count(each) == 1) - read


def read(source: str | Path) -> Network:
    """The network at a path, in the zoo, or in a text.

    A source with a bracket or a line break in it is a text; else an existing path or one that ends
    in .net is a file, one that ends in .onnx is read as `striate.recover` does; else it is a name
    in the zoo.

    Raises:
        NotationError: the text is no network, or there is no such file or name.
        StriateError: an ONNX file holds no network that can be read.
    """
    from striate import zoo

    text = str(source)
    if isinstance(source, str) and ("[" in text or "\n" in text):
        return Network.parse(text)
    if text.endswith(".onnx"):
        from striate.recover.sources import recovered

        return recovered(text).network
    if os.path.isfile(os.path.join(text, "run.json")):
        hints = (f"its text is {text}/network.net; --from {text} begins with its weights too",)
        raise NotationError(f"{text} is a run, and no network", hints=hints)
    if isinstance(source, Path) or text.endswith(".net") or "/" in text or os.path.isfile(text):
        return Network.parse(text_of(Path(source), NotationError), text)
    return zoo.read(text)
