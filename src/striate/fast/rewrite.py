"""Another tree of modules around the same layers, in which runs of them are one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

from torch import nn

from striate.containers import Chain, PartialConvolution

# What can run as one for all of these in a row, or None; of a single one, its other self.
Together = Callable[[Sequence[nn.Module]], nn.Module | None]
LONGEST = 3


def rewrite(model: nn.Module, together: Together) -> nn.Module:
    """A module around the model's layers, rewritten wherever `together` knows how.

    The parameters are the model's own. Names are not: what runs as one is called by all its parts,
    as `pool1+bn1+relu1`. A volume that is kept for later is never inside of such a run.
    """
    if isinstance(model, PartialConvolution) or not list(model.children()):
        return together([model]) or model
    made = copy(model)
    if not isinstance(model, Chain | nn.Sequential):
        made._modules = {n: each and rewrite(each, together) for n, each in model._modules.items()}
        return made
    names, keeps = flow(model)
    parts: dict[str, nn.Module | None] = {}
    at = 0
    while at < len(names):
        run, one = _longest(model, names[at:], keeps, together)
        parts["+".join(run)] = one
        at += len(run)
    if isinstance(made, Chain):
        last = {name.split("+")[-1]: name for name in parts}
        made.flow = tuple(parts)
        made.keeps = {last.get(name, name): kept for name, kept in keeps.items()}
        heads = ((n, each) for n, each in model.named_children() if n not in names)
        parts |= {name: rewrite(head, together) for name, head in heads}
    made._modules = parts
    return made


def flow(model: nn.Module) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of a sequence's children in order, and of those whose output is kept, as what."""
    if isinstance(model, Chain):
        return model.flow, model.keeps
    return tuple(model._modules), {}


def _longest(
    model: nn.Module, names: tuple[str, ...], keeps: dict[str, str], together: Together
) -> tuple[tuple[str, ...], nn.Module]:
    most = 1
    while most < min(LONGEST, len(names)) and names[most - 1] not in keeps:
        most += 1
    parts = [model.get_submodule(name) for name in names[:most]]
    for count in range(most, 1, -1):
        if (one := together(parts[:count])) is not None:
            return names[:count], one
    return names[:1], together(parts[:1]) or rewrite(parts[0], together)
