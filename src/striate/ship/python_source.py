"""A model as one readable PyTorch file: a plain nn.Module, layer by layer, without striate."""

from __future__ import annotations

import keyword
import re
import shlex
from collections import defaultdict
from pathlib import Path
from string import Template
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate import __version__, layers
from striate.data.preparation import shift_and_scale
from striate.ship.model import Model, borders
from striate.ship.python_layers import WRITERS
from striate.ship.stages import Plan, Stage, plan
from striate.steps import INPUT

TEMPLATE = Path(__file__).with_name("template.py.txt")
BESIDE = ".weights.safetensors"  # what the name of the file of weights ends in
WIDTH = 96
TAKEN = {*keyword.kwlist, *dir(nn.Module()), "x", "images", "self", "torch", "nn", "F"}


class Source(NamedTuple):
    """The text of the file, and the tensors that lie beside it."""

    text: str
    tensors: dict[str, Tensor]


def to_python(model: Model, weights: str) -> Source:
    """The file of a model.

    Batch normalisations stay layers of their own, so that it can be trained on.

    Args:
        weights: the name of the file of tensors, beside it.
    """
    made = plan(model.network, model.module, fold=False)
    writer = _Writer(made)
    writer.write()
    shift, scale = shift_and_scale(model.preparation, torch.device("cpu"))
    tensors = {**writer.tensors, "preparation.shift": shift, "preparation.scale": scale}
    text = Template(TEMPLATE.read_text("utf-8")).substitute(
        title=_indented(f"{model.network.name or model.name}, {len(model.classes)} classes", 0),
        version=__version__,
        notation=_indented(str(model.network), 4),
        weights=repr(weights),
        file=_indented(shlex.quote(f"{weights.removesuffix(BESIDE)}.py"), 0),
        classes=_listed([repr(name) for name in model.classes]),
        volume=", ".join(map(str, model.volume)),
        borders=repr(borders(model)),
        mode=repr("L" if model.volume.depth == 1 else "RGB"),
        layers="\n".join(writer.setup) or "        pass",
        given=writer.names[INPUT],
        steps="\n".join(writer.steps),
        scores=writer.scores,
    )
    return Source(text, {name: each.detach().clone() for name, each in tensors.items()})


def _indented(text: str, by: int) -> str:
    # A docstring: nothing in it may end it, or begin an escape.
    plain = text.replace("\\", "\\\\").replace('"""', "'''")
    return "\n".join(f"{' ' * by}{line}".rstrip() for line in plain.splitlines())


def _listed(items: list[str]) -> str:
    """A list over as many lines as it needs."""
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else '    '}{item},"
    return "\n".join(lines)


class _Writer:
    """Writes `__init__` and `forward`, line by line."""

    def __init__(self, made: Plan) -> None:
        self.plan = made
        self.setup: list[str] = []
        self.steps: list[str] = []
        self.tensors: dict[str, Tensor] = {}
        self.volumes, self.flat = made.volumes, made.flat
        self.taken = set(TAKEN)
        self.attributes = {each.index: self._identifier(each.name) for each in made.stages}
        self.names = self._names()
        self.scores = ""

    def _identifier(self, name: str) -> str:
        made = re.sub(r"\W", "_", name)
        while made in self.taken:
            made += "_"
        self.taken.add(made)
        return made

    def _names(self) -> dict[int, str]:
        """The variable of each volume: `x` where only the next line reads it."""
        readers: dict[int, list[int]] = defaultdict(list)
        for at, stage in enumerate(self.plan.stages):
            for index in stage.inputs:
                readers[index].append(at)
        readers[self.plan.output].append(len(self.plan.stages))
        names = {}
        for at, index in enumerate([INPUT, *(each.index for each in self.plan.stages)]):
            alone = readers[index] == [at]
            names[index] = "x" if alone else self.attributes.get(index, "images")
        return names

    def write(self) -> None:
        block = ""
        for stage in self.plan.stages:
            name = self.attributes[stage.index]
            code = WRITERS[type(stage.layer)](stage)
            given = [self._given(index, self._flat(stage, index)) for index in stage.inputs]
            if (top := stage.name.partition(".")[0] if "." in stage.name else "") != block:
                block = top
                self.steps += ["", f"        # {top}"] if top else [""]
            for part, expression in code.modules.items():
                self.setup.append(f"        self.{name}{part} = {expression}")
            for tensor, value in code.tensors.items():
                self.tensors[f"{name}{tensor}"] = value
            result = code.result.replace("{self}", f"self.{name}")
            for together, sign in (("{all}", ", "), ("{sum}", " + "), ("{product}", " * ")):
                result = result.replace(together, sign.join(given))
            result = result.replace("{0}", given[0])
            line = f"        {self.names[stage.index]} = {result}"
            self.steps.append(f"{line:<72}  # {stage.volume}")
        at = self.plan.output
        self.scores = self._given(at, self.flat[at] or self.volumes[at][:2] == (1, 1))

    def _flat(self, stage: Stage, index: int) -> bool:
        return self.flat[index] if isinstance(stage.layer, layers.Flatten) else stage.flat

    def _given(self, index: int, flat: bool) -> str:
        name = self.names[index]
        if flat == self.flat[index]:
            return name
        height, width, depth = self.volumes[index]
        return (
            f"{name}.flatten(1)" if flat else f"{name}.unflatten(1, ({depth}, {height}, {width}))"
        )
