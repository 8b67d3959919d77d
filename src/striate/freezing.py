"""Layers that are not trained: a recipe's `freeze`. They stay as they are to the bit.

A frozen layer computes as in evaluation: normalisations by the statistics that they have, and
without dropout. After the last frozen weights what has none belongs to it too, up to a dropout,
which works on: it is there for the layer behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from striate.containers import Chain, Recall, Routed, flow, heads
from striate.errors import RunError
from striate.initialise import FILTERS
from striate.recipes import Recipe
from striate.recipes.recipe import FEATURES


def freeze(model: nn.Module, recipe: Recipe) -> None:
    """Let the recipe's frozen layers take no gradient: before an update rule is made.

    Raises:
        RunError: no layer would be left to train.
    """
    for each in frozen(model, recipe):
        for parameter in each.parameters(recurse=False):
            parameter.requires_grad_(False)


def rest(model: nn.Module, recipe: Recipe) -> None:
    """Let the frozen layers compute as in evaluation: after each `model.train()`."""
    for each in frozen(model, recipe):
        each.training = False


def frozen(model: nn.Module, recipe: Recipe) -> list[nn.Module]:
    """The modules, one for each layer, that the recipe freezes, in the order of computation.

    With `features`, auxiliary heads are frozen too: nothing that they could teach is trained.

    Raises:
        RunError: as for `freeze`.
    """
    if not recipe.freeze:
        return []
    layers = [each for part in flow(model) for each in _layers(part)]
    weighted = [at for at, each in enumerate(layers) if isinstance(each, FILTERS)]
    count = len(weighted) - 1 if isinstance(recipe.freeze, str) else recipe.freeze
    if not 0 < count < len(weighted):
        raise RunError(
            f"recipe: freeze={recipe.freeze} leaves nothing to train or nothing to freeze: the "
            f"network has {len(weighted)} layers with weights, of which one has to be trained"
        )
    found = layers[: weighted[count]]
    last = max(at for at, each in enumerate(found) if list(each.parameters(recurse=False)))
    for at in range(last + 1, len(found)):
        if isinstance(found[at], nn.Dropout):
            found = found[:at]
            break
    if recipe.freeze == FEATURES:
        found += [each for head in heads(model) for each in _layers(head)]
    return found


def fixed(model: Chain, recipe: Recipe) -> int:
    """How many of a network's parts, from the first on, are frozen and can be computed once.

    0 where none has weights. No later part looks back into them.
    """
    still = {id(each) for each in frozen(model, recipe)}
    count = 0
    for part in flow(model):
        if not all(id(each) in still for each in _layers(part)):
            break
        count += 1
    while count and _looks_back(model, count):
        count -= 1
    weights = any(list(part.parameters()) for part in flow(model)[:count])
    return count if weights else 0


def _looks_back(model: Chain, count: int) -> bool:
    """Whether a part from that on recalls a volume that was kept before."""
    before, after = flow(model)[:count], flow(model)[count:]
    kept = {model.keeps[name] for name in ("", *model.flow[:count]) if name in model.keeps}
    chains = (each for part in before for each in part.modules() if isinstance(each, Chain))
    kept |= {name for chain in chains for name in chain.keeps.values()}
    modules = (each for part in after for each in part.modules())
    return any(isinstance(each, Recall) and each.name in kept for each in modules)


def _layers(part: nn.Module) -> Iterator[nn.Module]:
    """The modules that compute, or have weights or statistics of their own, in order."""
    for each in part.modules():
        own = [*each.parameters(recurse=False), *each.buffers(recurse=False)]
        if own or not (list(each.children()) or isinstance(each, Routed)):
            yield each
