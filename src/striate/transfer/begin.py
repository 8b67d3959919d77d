"""A network that begins with weights that are known: what fits is taken, the head is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from striate.containers import flow, heads
from striate.data import Preparation
from striate.errors import RunError
from striate.layers import Volume
from striate.network import Network
from striate.origin import Origin
from striate.rules import head
from striate.transfer.keep import keep
from striate.transfer.known import Known

HEADS = ("new", "keep")
UNCOUNTED = "num_batches_tracked"  # PyTorch counts batches; nothing reads that
WAYS = ("stride", "dilation", "groups", "padding")  # what a layer's weights do not show


def network_of(known: Known | None) -> Network:
    """The network that weights are of.

    Raises:
        RunError: that is not known.
    """
    if known is None or known.network is None:
        source = "WEIGHTS" if known is None else known.source
        raise RunError(
            f"{source} does not say of which network its weights are: name one that comes along, "
            "or a .net file, before --from"
        )
    return known.network


def fitted(network: Network, classes: tuple[str, ...]) -> Network:
    """The network with a score for each class.

    Raises:
        NotationError: its last layer is not written so that it could have another width.
    """
    if all(
        network.steps[end].volume.depth == len(classes)
        for end in (network.expansion.output, *network.expansion.head_outputs.values())
    ):
        return network
    return network.with_classes(len(classes))


def begin_with(
    known: Known, model: nn.Module, network: Network, classes: tuple[str, ...], wish: str | None
) -> Origin:
    """Give a model the weights that fit it, and say which. The others stay as they are.

    Args:
        model: of the network, changed in place.
        classes: that it will tell apart.
        wish: of HEADS. By default its last layer, and that of each auxiliary head, begins anew
            where the weights tell other classes apart, or nobody knows which, and another number.
            One that is kept has the scores of classes where their names stand now; those that are
            `renamed` go by the order of the others.

    Raises:
        RunError: nothing fits, or a head is to be kept that does not fit.
    """
    last = _heads(model)
    others = bool(known.classes) and known.classes != classes
    anew = wish == "new" or (others and wish != "keep")
    weights = {
        name: each for name, each in known.weights.items() if not (anew and _layer(name) in last)
    }
    rows = _rows(known.classes, classes)
    ends = _ends(model) if rows != sorted(rows) else set()
    for name, each in weights.items():
        if _layer(name) in ends and each.shape[:1] == (len(rows),):
            weights[name] = each[torch.tensor(rows)]
    kept = keep(weights, model)
    taken = [name for name in kept.taken if not name.endswith(UNCOUNTED)]
    fresh = {name: why for name, why in kept.anew.items() if not name.endswith(UNCOUNTED)}
    if not any(name.endswith("weight") and _layer(name) not in last for name in taken):
        raise RunError(f"no layer of {known.source} fits the network{_first(known, model)}")
    if wish == "keep" and (lost := last.intersection(map(_layer, fresh))):
        raise RunError(
            f"--head keep: {min(lost)} of {known.source} does not fit {len(classes)} classes"
        )
    layers = dict.fromkeys(map(_layer, fresh))
    own = model.state_dict()
    reason = "as asked for" if wish == "new" else "other classes"
    said = tuple(
        _said(layer, known, own, fresh, reason if layer in last else "") for layer in layers
    )
    unused = {_layer(name) for name in known.weights if name not in own}
    return Origin(
        source=known.source,
        sha256=known.sha256,
        taken=len(taken),
        tensors=len(taken) + len(fresh),
        anew=said,
        unused=tuple(sorted(unused)),
        other=_otherwise(known, network, {_layer(name) for name in taken}),
        head=wish or "",
    )


def renamed(known: Known, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Where a head is kept: the classes whose scores are others' now, each as `was is NOW now`."""
    before = (known.classes[row] for row in _rows(known.classes, classes))
    pairs = zip(before, classes, strict=False)  # there are none of others in number
    return tuple(f"{was} is {name} now" for was, name in pairs if was != name)


def _rows(before: tuple[str, ...], now: tuple[str, ...]) -> list[int]:
    """For each class the place that it had: by its name, or else the next that has none now.

    None where there are others in number.
    """
    if not len({*before}) == len(before) == len(now):
        return []
    left = (at for at, name in enumerate(before) if name not in now)
    return [before.index(name) if name in before else next(left) for name in now]


def preparation_for(known: Known, network: Network) -> Preparation | None:
    """What was done to the images that the weights were trained on, for a network's input.

    None where that is not known, or was done to other channels. A mean image of another size
    becomes its channels' means.
    """
    found = known.preparation
    if found is None or found.input.depth != network.input.depth:
        return None
    if found.input == network.input:
        return found
    return replace(found.of_channels, input=network.input)


def _heads(model: nn.Module) -> set[str]:
    """The names of the last layer with weights, and of those of auxiliary heads."""
    names = {id(each): name for name, each in model.named_modules()}
    found = [head(each) for each in (model, *heads(model))]
    return {names[id(each)] for each in found if each is not None}


def _ends(model: nn.Module) -> set[str]:
    """The names of the last layers with weights, and of all that stands behind them."""
    names = {each: name for name, each in model.named_modules()}
    last, found = _heads(model), set()
    for way in (flow(model), *([each] for each in heads(model))):
        layers = [names[each] for part in way for each in part.modules()]
        first = next((at for at, name in enumerate(layers) if name in last), len(layers))
        found |= {*layers[first:]}
    return found


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _said(
    layer: str, known: Known, own: Mapping[str, Tensor], fresh: Mapping[str, str], reason: str
) -> str:
    """A layer that begins anew, or the first of its tensors that does where its weights do not,
    with why; `reason` is that of a last layer that would fit.
    """
    name = f"{layer}.weight"
    was, now = known.weights.get(name), own.get(name)
    first = next(each for each in fresh if _layer(each) == layer)
    if was is None or now is None:
        return f"{layer} ({fresh[first]})"
    if name not in fresh:
        return f"{first} ({fresh[first]})"
    if reason and was.shape == now.shape:
        return f"{layer} ({reason})"
    if reason and was.shape[1:] == now.shape[1:]:
        return f"{layer} ({len(was)} -> {len(now)} classes)"
    return f"{layer} ({fresh[name]})"


def _first(known: Known, model: nn.Module) -> str:
    """The first layer of the network, and that of the weights, for a person to see why."""
    ours = {each: found for each, found in model.named_parameters() if found.dim() > 1}
    filters = {each: found for each, found in known.weights.items() if found.dim() > 1}
    if not ours or not filters:
        return ""
    name = next(iter(ours))
    other = name if name in filters else min(filters, key=lambda each: (-filters[each].dim(), each))
    here, there = ("x".join(map(str, each.shape)) for each in (ours[name], filters[other]))
    return f": its {other} is {there}, and the network begins with {name} of {here}"


def _otherwise(known: Known, network: Network, taken: set[str]) -> tuple[str, ...]:
    """The layers that take weights, and stride, pad or group in another way than they did there."""
    if known.network is None:
        return ()
    there = {step.name: step for step in known.network.steps}
    found = []
    for step in network.steps:
        if step.name not in taken or step.name not in there:
            continue
        for way in WAYS:
            was, now = (_way(way, each.layer, each.met) for each in (there[step.name], step))
            if was != now:
                found.append(f"{step.name} ({way} {was} there, {now} here)")
                break
    return tuple(found)


def _way(way: str, layer: object, met: Volume) -> object:
    value = getattr(layer, way, None)
    return value(met) if callable(value) else value
