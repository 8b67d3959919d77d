"""Network to torch.nn.Module: the only such mapping.

Names follow the text: the third convolution of a sequence is `conv3`, the second call of a block
`basic2`, a label names what it labels. A layer's name here is its row's name in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate import layers, modules
from striate.initialise import initialise
from striate.layers import Volume
from striate.network import Network
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
)


class ConvNet(modules.Chain):
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
            self.add_module(_attribute(name), head)

    def forward(self, images: Tensor, memory: Any = None) -> Any:
        memory = {} if memory is None else memory
        scores = _flat(self.recall(images, memory))
        if not (self.training and self.heads):
            return scores
        heads = {
            name: _flat(modules.run(self.get_submodule(_attribute(name)), memory[kept], memory))
            for name, kept in self.heads.items()
        }
        return {"main": scores, **heads}

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities (N, K): the softmax of the scores over the depth."""
        scores = self(images)
        return torch.softmax(scores["main"] if isinstance(scores, dict) else scores, dim=1)


def _flat(scores: Tensor) -> Tensor:
    return scores.flatten(1) if scores.dim() == 4 and scores.shape[2:] == (1, 1) else scores


def build(network: Network, initialisation: str = "he") -> ConvNet:
    """The plain module that a network describes.

    Args:
        network: any Network.
        initialisation: one of `striate.initialise.INITIALISATIONS`; draws from torch's generator.

    Raises:
        StriateError: the initialisation is not one of those named.
    """
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
        named = [(_attribute(child.name.rpartition(".")[2]), child) for child in part.children]
        taken = {name for name, _ in named}
        if part.kind == "network":
            taken |= {_attribute(name) for name in self.network.expansion.heads}
        for name, child in named:
            entry = child.entry if isinstance(child, Part) else child.inputs[0]
            if entry != at:
                children[_free(f"{name}_from", taken)] = modules.Recall(self.key(entry))
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
            children[_free("exit_from", {*taken, *children})] = modules.Recall(self.key(given))
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
            return modules.PartialConvolution(joined)
        return {"add": modules.Add, "concat": modules.Concat}[part.kind](joined)

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


def _attribute(name: str) -> str:
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
    if keeps or any(isinstance(child, modules.Routed) for child in children.values()):
        return modules.Chain(children, keeps)
    return _sequential(children)


def _sequential(children: dict[str, nn.Module]) -> nn.Sequential:
    made = nn.Sequential()
    for name, child in children.items():
        made.add_module(name, child)
    return made


# -- one entry for each kind of layer: (layer, volume met, whether that is flat) -> module


def module_for(step: Step, flat: bool) -> nn.Module:
    """The module of one layer where it stands."""
    return MODULES[type(step.layer)](step.layer, step.met, flat)


def _two(pair: layers.Pair) -> tuple[int, int]:
    """A plain tuple: what a module prints and what torch.export can take."""
    return pair.height, pair.width


def _conv(layer: layers.Conv, met: Volume, flat: bool) -> nn.Module:
    arguments = (met.depth, layer.filters, _two(layer.kernel), _two(layer.stride))
    options: dict[str, Any] = {
        "padding": _two(layer.padding(met)),
        "dilation": _two(layer.dilation),
        "groups": layer.groups,
        "bias": layer.bias == "yes",
    }
    extra = layer.made_up(met)
    if any(extra):
        made: nn.Module = modules.CeilConv2d(*arguments, extra=extra, **options)  # type: ignore[arg-type]
    else:
        made = nn.Conv2d(*arguments, **options)
    if layer.bias != "point":
        return made
    height, width = layer.positions(met)
    return _sequential({"conv": made, "point": modules.PointBias(height, width)})


def _deconv(layer: layers.Deconv, met: Volume, flat: bool) -> nn.Module:
    return nn.ConvTranspose2d(
        met.depth,
        layer.filters,
        _two(layer.kernel),
        _two(layer.stride),
        padding=_two(layer.pad),
        output_padding=_two(layer.extra),
        groups=layer.groups,
        bias=layer.bias == "yes",
        dilation=_two(layer.dilation),
    )


def _maxpool(layer: layers.MaxPool, met: Volume, flat: bool) -> nn.Module:
    if layer.whole:
        return nn.AdaptiveMaxPool2d(1)
    height, width = layer.slides(met)
    return nn.MaxPool2d(
        (height.kernel, width.kernel),
        (height.stride, width.stride),
        (height.padding, width.padding),
        tuple(layer.dilation),
        ceil_mode=layer.rounding == "ceil",
    )


def _avgpool(layer: layers.AvgPool, met: Volume, flat: bool) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1) if layer.whole else _average(layer, met, None)


def _average(layer: layers.Pool, met: Volume, divisor: int | None) -> nn.AvgPool2d:
    height, width = layer.slides(met)
    return nn.AvgPool2d(
        (height.kernel, width.kernel),
        (height.stride, width.stride),
        (height.padding, width.padding),
        ceil_mode=layer.rounding == "ceil",
        divisor_override=divisor,
    )


def _subsample(layer: layers.Subsample, met: Volume, flat: bool) -> nn.Module:
    return modules.Subsample(met.depth, _average(layer, met, 1))


def _batchnorm(layer: layers.BatchNorm, met: Volume, flat: bool) -> nn.Module:
    kind = nn.BatchNorm1d if flat else nn.BatchNorm2d
    made = kind(met.depth if not flat else met.size, eps=layer.eps, momentum=layer.momentum)
    if layer.scale == "no":
        made.register_parameter("weight", None)
    return made


def _lrn(layer: layers.LocalResponseNorm, met: Volume, flat: bool) -> nn.Module:
    """PyTorch divides alpha by n; the paper's formula, which the notation means, does not."""
    return nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)


MODULES: dict[type[layers.Layer], Callable[[Any, Volume, bool], nn.Module]] = {
    layers.Conv: _conv,
    layers.Deconv: _deconv,
    layers.MaxPool: _maxpool,
    layers.AvgPool: _avgpool,
    layers.Subsample: _subsample,
    layers.FullyConnected: lambda layer, met, flat: nn.Linear(
        met.size, layer.units, bias=layer.bias == "yes"
    ),
    layers.RadialBasis: lambda layer, met, flat: modules.RadialBasis(met.size, layer.units),
    layers.Flatten: lambda layer, met, flat: nn.Flatten(),
    layers.Relu: lambda layer, met, flat: nn.ReLU(),
    layers.LeakyRelu: lambda layer, met, flat: nn.LeakyReLU(layer.slope),
    layers.Tanh: lambda layer, met, flat: nn.Tanh(),
    layers.ScaledTanh: lambda layer, met, flat: modules.ScaledTanh(layer.amplitude, layer.slope),
    layers.Sigmoid: lambda layer, met, flat: nn.Sigmoid(),
    layers.Gelu: lambda layer, met, flat: nn.GELU(),
    layers.Silu: lambda layer, met, flat: nn.SiLU(),
    layers.Softmax: lambda layer, met, flat: nn.Softmax(dim=1),
    layers.Scale: lambda layer, met, flat: modules.Scale(layer.factor),
    layers.BatchNorm: _batchnorm,
    layers.LocalResponseNorm: _lrn,
    layers.Dropout: lambda layer, met, flat: nn.Dropout(layer.probability),
    layers.Identity: lambda layer, met, flat: nn.Identity(),
    layers.Pad: lambda layer, met, flat: nn.ZeroPad2d(
        (layer.border.width, layer.border.width, layer.border.height, layer.border.height)
    ),
    layers.Upsample: lambda layer, met, flat: nn.Upsample(
        scale_factor=tuple(map(float, layer.factor)), mode=layer.method
    ),
    layers.Take: lambda layer, met, flat: modules.Take(layer.channels),
    layers.Shortcut: lambda layer, met, flat: modules.PaddedShortcut(
        tuple(layer.stride), layer.filters - met.depth
    ),
}
