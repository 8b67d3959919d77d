"""A network recovered from someone else's model: its text, its weights, and what comes of them.

>>> from torch import nn
>>> from striate.recover import recover
>>> found = recover(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), (32, 32, 3))
>>> print(found.network)
[32x32x3]
conv3-8 relu
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from striate.build import ConvNet, attribute
from striate.data import Preparation
from striate.errors import StriateError
from striate.layers import Opaque, Softmax, Volume
from striate.network import Network
from striate.recover.elements import implied
from striate.recover.graph import Graph, simplified
from striate.recover.pytorch.tracing import plain, traced
from striate.recover.regions import without_unknown
from striate.recover.text import written
from striate.steps import Step

IMAGES = 2  # that outputs are compared on
LOGS = "it gives logarithms of probabilities: read as softmax, which gives the probabilities"
CLOSE = 1e-4  # of the largest output: what sums in another order may differ by in float32

Answers = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Recovered:
    """A network read from a model.

    Attributes:
        network: its text and all that follows from it.
        weights: the model's values under the names of the network's own tensors; empty where part
            of the network is opaque.
        parameters: how many of the model's are read in evaluation.
        unused: the model's other parameters, and how many values each has.
        answers: the model itself: images (N, D, H, W) to what it gives.
        aside: what of the source is no part of the network, a line each.
        preparation: of the images that the weights were trained on, where the source says so.
    """

    network: Network
    weights: Mapping[str, Tensor]
    parameters: int
    unused: Mapping[str, int]
    answers: Answers
    aside: tuple[str, ...] = ()
    preparation: Preparation | None = None

    @property
    def opaque(self) -> tuple[Step, ...]:
        """The steps that stand for what the notation cannot express."""
        return tuple(step for step in self.network.steps if isinstance(step.layer, Opaque))

    def module(self) -> ConvNet:
        """The network as a module, with the model's weights, in evaluation mode.

        Raises:
            StriateError: part of the network is opaque.
        """
        module = self.network.build()
        module.load_state_dict(dict(self.weights))
        return module.eval()

    @cached_property
    def difference(self) -> float | None:
        """The largest difference of outputs on random images, as a share of the largest output.

        None where part of the network is opaque: then there is nothing to run.
        """
        if self.opaque:
            return None
        chance = torch.Generator().manual_seed(0)
        height, width, depth = self.network.input
        images = torch.randn(IMAGES, depth, height, width, generator=chance)
        module = self.module()
        with torch.inference_mode():
            theirs = self.answers(images).flatten(1)
            last = self.network.steps[self.network.expansion.output]
            ours = module.probabilities(images) if self.network.apart(last) else module(images)
        ours = ours.flatten(1)
        if ours.shape != theirs.shape:
            return math.inf
        return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))

    @property
    def whole(self) -> bool:
        """Whether all came back: nothing opaque, every parameter, the same outputs."""
        counted = self.network.account().totals.parameters
        difference = self.difference
        return difference is not None and difference <= CLOSE and counted == self.parameters


def recover(
    module: nn.Module, input: tuple[int, int, int], *, front: Mapping[str, str] | None = None
) -> Recovered:
    """The network that a PyTorch module computes, in evaluation mode.

    Args:
        module: any module that takes images (N, D, H, W) and gives one volume, or scores (N, K).
            What it computes is read and compared in float32, whatever its precision and device.
        input: height, width and depth of an image.
        front: the front matter of the network's text.

    Raises:
        StriateError: it does not run on such images, gives something else, or has no values.
    """
    module = _bare(module)
    parameters = dict(module.named_parameters())
    tensors = {**parameters, **dict(module.named_buffers())}
    _readable(module, tensors)
    graph = traced(module, Volume(*input))

    def answers(images: Tensor) -> Tensor:
        modes = {each: each.training for each in module.modules()}
        values = {
            name: each.detach().to("cpu", plain(each), copy=True) for name, each in tensors.items()
        }
        try:
            images = images.clone()  # the module may change them
            with torch.compiler.set_stance("force_eager"):
                result = functional_call(module.eval(), values, (images,), tie_weights=True)
        finally:
            for each, mode in modes.items():
                each.training = mode
        given: Tensor = tree_leaves(result)[0]
        return given

    return rebuilt(graph, tensors, set(parameters), answers, front or {})


WRAPPERS = {  # modules that run another one, and where they keep it
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


def _bare(module: nn.Module) -> nn.Module:
    """Without what only says how it is run: compiled, or on several devices."""
    while (kept := WRAPPERS.get(type(module).__name__)) and hasattr(module, kept):
        module = getattr(module, kept)
    return module


def _readable(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raises StriateError where there is nothing to follow, or there are no values."""
    name = type(module).__name__
    if any(isinstance(each, torch.jit.ScriptModule) for each in module.modules()):
        raise StriateError(
            f"{name} is TorchScript, at least in part, whose functions cannot be followed: "
            "recover the module that it was made of, or export it as ONNX"
        )
    for tensor, each in tensors.items():
        if is_lazy(each):
            raise StriateError(f"{tensor} of {name} has no shape yet: run it once on images")
        if each.is_meta:
            raise StriateError(
                f"{tensor} of {name} has no values, as it lies on the meta device: "
                "module.to_empty(device='cpu') gives it some"
            )


def rebuilt(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    learned: Collection[str],
    answers: Answers,
    front: Mapping[str, str],
) -> Recovered:
    """What a graph and the values that it reads come to.

    Args:
        tensors: by the names that the graph's weights have.
        learned: the names among them that are parameters.
    """
    sizes = {name: each.numel() for name, each in tensors.items() if name in learned}
    last = graph.nodes[graph.output]
    if last.logs:
        nodes = {**graph.nodes, graph.output: replace(last, layer=Softmax())}
        graph = replace(graph, nodes=nodes)
        logarithms = answers
        answers = lambda images: logarithms(images).exp()  # noqa: E731
    graph = implied(without_unknown(simplified(graph), sizes))
    network, steps = written(graph, front)
    used = frozenset[str]().union(*(node.used for node in graph.nodes.values()))
    found = Recovered(
        network,
        {},
        sum(size for name, size in sizes.items() if name in used),
        {name: size for name, size in sizes.items() if name not in used},
        answers,
        (LOGS,) if last.logs else (),
    )
    if found.opaque:
        return found
    return replace(found, weights=_carried(graph, network, steps, tensors))


def _carried(
    graph: Graph, network: Network, steps: Mapping[int, Step], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The values of the source under our names."""
    weights = dict(network.build().state_dict())
    for index, step in steps.items():
        prefix = ".".join(map(attribute, step.name.split(".")))
        for name, weight in graph.nodes[index].weights.items():
            ours, theirs = f"{prefix}.{name}", tensors[weight.name].detach()
            theirs = theirs.t() if weight.transposed else theirs
            weights[ours] = theirs.reshape(weights[ours].shape).clone()
    return weights
