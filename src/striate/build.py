"""Network to torch.nn.Module: the only such mapping; kinds.py has the layers one by one.

Names follow the text: the third convolution of a sequence is `conv3`, the second call of a block
`basic2`, a label names what it labels. A layer's name here is its row's name in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate import containers, layers, modules
from striate.errors import StriateError
from striate.initialise import initialise
from striate.kinds import module_for
from striate.layers import Volume
from striate.network import Network
from striate.notation.words import word_of
from striate.notation.write import write_word
from striate.steps import INPUT, Part, Step

FLAT = (layers.FullyConnected, layers.RadialBasis, layers.Flatten)
SPATIAL = (
    layers.Conv,
    layers.Deconv,
    layers.Pool,
    layers.LocalResponseNorm,
    layers.Pad,
    layers.Upsample,
    layers.Shortcut,
    layers.GroupNorm,
    layers.Shuffle,
)


class ConvNet(containers.Chain):
    """The module of a network. Takes images (N, D, H, W), gives class scores.

    Scores are (N, K) where the last volume is 1x1xK, else (N, K, H, W). A final softmax is not
    applied: `probabilities` does that. In training, a network with further heads gives a dict of
    scores by the heads' names, its own under "main".
    """

    def __init__(
        self,
        children: Mapping[str, nn.Module],
        keeps: Mapping[str, str],
        heads: Mapping[str, tuple[str, nn.Module]],
    ) -> None:
        super().__init__(children, keeps)
        self.heads = {name: kept for name, (kept, _) in heads.items()}
        for name, (_, head) in heads.items():
            self.add_module(attribute(name), head)

    def forward(self, images: Tensor, memory: Any = None) -> Any:
        memory = {} if memory is None else memory
        scores = flat(self.recall(images, memory))
        if not (self.training and self.heads):
            return scores
        heads = {
            name: flat(containers.run(self.get_submodule(attribute(name)), memory[kept], memory))
            for name, kept in self.heads.items()
        }
        return {"main": scores, **heads}

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities (N, K): the softmax of the scores over the depth."""
        scores = self(images)
        return torch.softmax(scores["main"] if isinstance(scores, dict) else scores, dim=1)


def flat(scores: Tensor) -> Tensor:
    """Scores of one position, (N, K, 1, 1), as (N, K)."""
    return scores.flatten(1) if scores.dim() == 4 and scores.shape[2:] == (1, 1) else scores


def refuse_opaque(network: Network) -> None:
    """Refuse a network that can be counted in part and not built.

    Raises:
        StriateError: a step is opaque.
    """
    for step in network.steps:
        if isinstance(step.layer, layers.Opaque):
            at = f" at {step.place.line}:{step.place.column}" if step.place else ""
            raise StriateError(
                f"{step.name}, {write_word(word_of(step.layer))}{at}, cannot be built: it stands "
                "for what the notation cannot express; the layers around it can be counted alone"
            )


def build(network: Network, initialisation: str = "he") -> ConvNet:
    """The plain module that a network describes.

    Args:
        network: any Network.
        initialisation: one of `striate.initialise.INITIALISATIONS`; draws from torch's generator.

    Raises:
        StriateError: the initialisation is not one of those named, or a step is opaque.
    """
    refuse_opaque(network)
    builder = _Builder(network)
    children, keeps = builder.children(network.main)
    heads = {
        name: (builder.key(part.entry), builder.sequence(part))
        for name, part in network.expansion.heads.items()
    }
    net = ConvNet(children, keeps, heads)
    initialise(net, initialisation)
    return net


class _Builder:
    """Follows the parts; knows which volumes are flat, (N, K), and which are kept for later."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.flat: dict[int, bool] = {INPUT: False}
        self.remote = set(_remote(network))

    def sequence(self, part: Part) -> nn.Module:
        """A part's children one after the other."""
        return _chain(*self.children(part))

    def children(self, part: Part) -> tuple[dict[str, nn.Module], dict[str, str]]:
        children: dict[str, nn.Module] = {}
        keeps: dict[str, str] = {}
        if part.kind == "network" and INPUT in self.remote:
            keeps[""] = self.key(INPUT)
        at = part.entry
        named = [(attribute(child.name.rpartition(".")[2]), child) for child in part.children]
        taken = {name for name, _ in named}
        if part.kind == "network":
            taken |= {attribute(name) for name in self.network.expansion.heads}
        for name, child in named:
            entry = child.entry if isinstance(child, Part) else child.inputs[0]
            if entry != at:
                children[_free(f"{name}_from", taken)] = containers.Recall(self.key(entry))
            if isinstance(child, Part):
                children[name] = self.part(child)
                at = self.given(child.exit)
                if child.kind in layers.JOINS and at in self.remote:
                    keeps[name] = self.key(at)
                continue
            if self.network.apart(child):
                self.flat[child.index] = self.flat[entry]
                continue
            reshape = self.reshape(child, entry)
            if reshape is not None:
                children[_free(f"{name}_input", taken)] = reshape
            children[name] = module_for(child, self.flat[child.index])
            at = child.index
            if at in self.remote:
                keeps[name] = self.key(at)
        if (given := self.given(part.exit)) != at:
            children[_free("exit_from", {*taken, *children})] = containers.Recall(self.key(given))
        return children, keeps

    def given(self, index: int) -> int:
        """As the function of that name."""
        return _given(self.network, index)

    def part(self, part: Part) -> nn.Module:
        if part.kind not in layers.JOINS:
            return self.sequence(part)
        branches = [each for each in part.children if isinstance(each, Part)]
        made = [self.children(each) for each in branches]
        flat = [self.flat[each.exit] for each in branches]
        self.flat[part.exit] = all(flat)
        for each, (children, _), is_flat in zip(branches, made, flat, strict=True):
            if is_flat and not all(flat):
                children[_free("exit_shape", children)] = _unflatten(self.volume(each.exit))
        joined = [_chain(children, keeps) for children, keeps in made]
        if part.kind == "concat" and _partial(joined):
            return containers.PartialConvolution(joined)
        kinds = {"add": containers.Add, "mul": containers.Mul, "concat": containers.Concat}
        return kinds[part.kind](joined)

    def key(self, index: int) -> str:
        """The name under which a volume is kept for later: its step's."""
        return "" if index == INPUT else self.network.steps[index].name

    def volume(self, index: int) -> Volume:
        return self.network.input if index == INPUT else self.network.steps[index].volume

    def reshape(self, step: Step, entry: int) -> nn.Module | None:
        """What makes the volume flat or spatial, as the layer takes it; notes which it leaves."""
        was_flat = self.flat[entry]
        if isinstance(step.layer, FLAT):
            self.flat[step.index] = True
            dense = not isinstance(step.layer, layers.Flatten)
            return nn.Flatten() if dense and not was_flat else None
        spatial = isinstance(step.layer, SPATIAL)
        self.flat[step.index] = was_flat and not spatial
        return _unflatten(step.met) if was_flat and spatial else None


def _given(network: Network, index: int) -> int:
    """The step whose volume the module gives on: of a softmax apart, the one that it meets."""
    apart = index != INPUT and network.apart(network.steps[index])
    return network.steps[index].inputs[0] if apart else index


def _remote(network: Network) -> Iterable[int]:
    """The volumes that something other than the next word reads."""

    def walk(part: Part) -> Iterable[int]:
        at = part.entry
        for child in part.children:
            if isinstance(child, Part):
                if child.entry != at:
                    yield child.entry
                yield from walk(child)
                at = _given(network, child.exit)
            elif part.kind not in layers.JOINS:
                if child.inputs[0] != at:
                    yield child.inputs[0]
                at = _given(network, child.index)
            if part.kind in layers.JOINS:
                at = part.entry
        if (given := _given(network, part.exit)) != at and part.kind not in layers.JOINS:
            yield given

    yield from walk(network.main)
    for head in network.expansion.heads.values():
        yield head.entry
        yield from walk(head)


def attribute(name: str) -> str:
    """A label may be called `forward` or `train`; a child of a module may not: `forward_`."""
    return name + "_" * _taken().get(name.rstrip("_"), 0)


@cache
def _taken() -> dict[str, int]:
    """How many underscores set a name apart from those that torch's containers take themselves."""
    taken: dict[str, int] = {}
    for name in {*dir(ConvNet({}, {}, {})), *dir(nn.Sequential())}:
        stem = name.rstrip("_")
        taken[stem] = max(taken.get(stem, 0), len(name) - len(stem) + 1)
    return taken


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or one like it that is not taken; for modules that only reshape or recall."""
    while name in taken:
        name += "_"
    return name


def _unflatten(volume: Volume) -> nn.Module:
    return nn.Unflatten(1, (volume.depth, volume.height, volume.width))


def _partial(branches: list[nn.Module]) -> bool:
    """Whether each branch convolves some channels, each taken once, all in the same way."""
    ways = set()
    for branch in branches:
        parts = [each for each in branch.modules() if not isinstance(each, nn.Sequential)]
        if [type(each) for each in parts] != [modules.Take, nn.Conv2d]:
            return False
        take, conv = cast("tuple[modules.Take, nn.Conv2d]", parts)
        if len(set(take.taken)) < len(take.taken):  # its filters would have to be summed
            return False
        ways.add(
            (
                conv.kernel_size,
                conv.stride,
                conv.padding,
                conv.dilation,
                conv.groups,
                conv.bias is None,
            )
        )
    return len(ways) == 1 and all(groups == 1 for *_, groups, _ in ways)


def _chain(children: dict[str, nn.Module], keeps: dict[str, str]) -> nn.Module:
    """One after the other; plain where there is nothing to keep or recall."""
    if keeps or any(isinstance(child, containers.Routed) for child in children.values()):
        return containers.Chain(children, keeps)
    return containers.sequential(children)
