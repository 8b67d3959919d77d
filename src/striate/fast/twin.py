"""What trains a model on a CPU: its twin, in which norms, sums and activations run as one."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from torch import Tensor, nn

from striate.containers import Add, Chain, Memory, Routed, added, run
from striate.fast.computed import Computed
from striate.fast.convolved import Convolved, suits
from striate.fast.normed import ACTIVATIONS, Normed
from striate.fast.pooled import Pooled, poolable
from striate.fast.rewrite import flow, rewrite

ORDER = ("pool", "norm", "activation")


def twin(model: nn.Module) -> nn.Module:
    """A module that computes what the model does, with its parameters and statistics.

    The model is what is saved and looked at; the twin is what trains it.
    """
    return rewrite(model, _together)


def _together(parts: Sequence[nn.Module]) -> nn.Module | None:
    """A sum and an activation as one; or pool, norm and activation, of which some may lack."""
    first, *rest = parts
    if suits(first) and not rest:
        return Convolved(first)  # type: ignore[arg-type]
    if poolable(first) and not rest and _kind(first) != "pool":
        return Pooled(first)  # type: ignore[arg-type]
    if type(first) in (nn.Conv2d, nn.Linear) and not rest:
        return Computed(first)  # type: ignore[arg-type]
    if type(first) is Add and (not rest or (len(rest) == 1 and _kind(rest[0]) == "activation")):
        return _summed(first, rest[0] if rest else None)
    if type(first) is nn.ReLU and len(rest) == 1 and _kind(rest[0]) == "pool":
        parts = (*rest, first)  # the largest of what is above zero: the order does not matter
    places = {_kind(part): part for part in parts}
    if list(places) == ["activation"]:
        return None  # PyTorch's own is as good
    if len(places) < len(parts) or [each for each in ORDER if each in places] != list(places):
        return None
    return Normed(*(places.get(each) for each in ORDER))  # type: ignore[arg-type]


def _kind(part: nn.Module) -> str | None:
    """The place of a layer in ORDER, if the kernels know it."""
    if type(part) in ACTIVATIONS and getattr(part, "approximate", "none") == "none":
        return "activation"
    if type(part) is nn.BatchNorm2d and part.track_running_stats and part.momentum is not None:
        return "norm"
    if isinstance(part, nn.MaxPool2d):
        settings = part.kernel_size, part.stride, part.padding, part.dilation, part.ceil_mode
        return "pool" if settings == ((2, 2), (2, 2), (0, 0), (1, 1), False) else None
    return None


class NormedSum(Routed):
    """A sum of which one branch's last step, a normalisation, is one with it and the activation.

    Args:
        branches: in their order in the text, one of them without its normalisation.
        at: which one.
        last: the normalisation and the activation.
    """

    def __init__(self, branches: Sequence[nn.Module], at: int, last: Normed) -> None:
        super().__init__()
        self.branches, self.at, self.last = nn.ModuleList(branches), at, last

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        outputs = [run(each, volume, memory) for each in self.branches]
        branch = outputs.pop(self.at)
        out: Tensor = self.last(branch, added(*outputs))
        return out


def _summed(add: Add, activation: nn.Module | None) -> nn.Module | None:
    """The sum as one with the normalisation at the end of its first branch that has one."""
    branches = list(add.children())
    for at, branch in enumerate(branches):
        if not isinstance(branch, Chain | nn.Sequential):
            continue
        names, keeps = flow(branch)
        if len(names) < 2 or names[-1] in keeps:
            continue
        norm = branch.get_submodule(names[-1])
        if _kind(norm) != "norm":
            continue
        shorter = copy(branch)
        shorter._modules = {n: each for n, each in branch._modules.items() if n != names[-1]}
        if isinstance(shorter, Chain):
            shorter.flow = names[:-1]
        branches[at] = shorter
        last = Normed(None, norm, activation)  # type: ignore[arg-type]
        return NormedSum([rewrite(each, _together) for each in branches], at, last)
    return None
