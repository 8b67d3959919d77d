"""Times of every module of a network while it trains, forward and backward.

Any loop can run under them: they hang on PyTorch's hooks for all modules, and on the nodes of the
autograd graph. A module's time is its own, without that of the modules inside it, and without that
of the hooks. A backward pass is timed node by node, each counted for the module that made it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules import module as hooks
from torch.utils.weak import WeakIdKeyDictionary

from striate.fast.computed import Computed
from striate.fast.normed import Normed
from striate.modules import Subsample
from striate.timing.calls import Call, Met
from striate.timing.machine import now

WHOLE = (Subsample, Normed, Computed)  # computed as one, whatever modules they call


@dataclass
class Timed:
    """A step's times by the modules' names, in seconds."""

    forward: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    backward: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: list[Call] = field(default_factory=list)


@dataclass
class _Frame:
    name: str
    module: nn.Module
    met: tuple[Met, ...]
    began: float
    within: float = 0.0
    inner: list[Met] = field(default_factory=list)
    called: bool = False


class Timers:
    """`with Timers(device) as timers`: train, and after each step take `timers.taken()`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.step = Timed()
        self._names: dict[int, str] = {}
        self._inside: set[int] = set()
        self._frames: list[_Frame] = []
        self._claimed: set[Node] = set()
        self._keys = WeakIdKeyDictionary()
        self._numbers = count()
        self._hooking = 0.0
        self._handles: list[Any] = []

    def __enter__(self) -> Timers:
        before, after = hooks.register_module_forward_pre_hook, hooks.register_module_forward_hook
        self._handles = [before(self._begin), after(self._end)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._handles:
            each.remove()

    def taken(self) -> Timed:
        """The times of the step that is done; the next one begins."""
        done, self.step = self.step, Timed()
        self._claimed, self._keys = set(), WeakIdKeyDictionary()
        return done

    def pass_over(self, tensor: Tensor) -> None:
        """Leave what made a tensor out of the time of the module that is given it."""
        if tensor.grad_fn is not None:
            self._claimed.add(tensor.grad_fn)

    def _begin(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        came = now(self.device)
        if not torch.is_grad_enabled():
            return
        if not self._frames:
            self._names, self._inside = _names(module)
        else:
            self._frames[-1].called = True
        name = self._names.get(id(module), self._frames[-1].name if self._frames else "")
        met = tuple(self._met(each) for each in _tensors(given))
        self._frames.append(_Frame(name, module, met, came - self._hooking))
        self._hooking += now(self.device) - came

    def _end(self, module: nn.Module, given: tuple[Any, ...], got: Any) -> None:
        came = now(self.device)
        if not self._frames or self._frames[-1].module is not module:
            return
        frame = self._frames.pop()
        spent = came - self._hooking - frame.began
        outputs = list(_tensors(got))
        gave = tuple(self._met(each) for each in outputs)
        self.step.forward[frame.name] += spent - frame.within
        inner = frame.called and not isinstance(module, WHOLE)
        met = tuple(frame.inner) if inner else frame.met
        if id(module) not in self._inside:
            self.step.calls.append(
                Call(frame.name, module, met, gave, _viewed(given, outputs), inner)
            )
        if self._frames:
            self._frames[-1].within += spent
            self._frames[-1].inner += gave
        self._claim(frame.name, outputs)
        self._hooking += now(self.device) - came

    def _met(self, tensor: Tensor) -> Met:
        if tensor not in self._keys:
            self._keys[tensor] = next(self._numbers)
        last = tensor.dim() == 4 and not tensor.is_contiguous()
        return Met(
            tuple(tensor.shape), tensor.dtype, last, tensor.requires_grad, self._keys[tensor]
        )

    def _claim(self, name: str, outputs: Iterable[Tensor]) -> None:
        """Time the nodes behind the outputs that are nobody's yet, for this module."""
        waiting = [each.grad_fn for each in outputs if each.grad_fn is not None]
        while waiting:
            node = waiting.pop()
            if node in self._claimed:
                continue
            self._claimed.add(node)
            began: list[float] = []
            node.register_prehook(partial(self._came, began))
            node.register_hook(partial(self._went, name, began, self.step))
            waiting += [after for after, _ in node.next_functions if after is not None]

    def _came(self, began: list[float], gradients: object) -> None:
        began.append(now(self.device))

    def _went(
        self, name: str, began: list[float], step: Timed, after: object, before: object
    ) -> None:
        step.backward[name] += now(self.device) - began.pop()


def _names(root: nn.Module) -> tuple[dict[int, str], set[int]]:
    """The modules' paths by identity, and those inside whole ones, which have those's names."""
    found: dict[int, str] = {}
    inside: set[int] = set()
    for name, module in root.named_modules():
        found.setdefault(id(module), name)
        if isinstance(module, WHOLE):
            within = {id(each) for each in module.modules()} - {id(module)}
            found |= dict.fromkeys(within, name)
            inside |= within
    return found, inside


def _viewed(given: tuple[Any, ...], outputs: list[Tensor]) -> bool:
    """Whether a module gives another view of its input's memory: flatten, where it can."""
    memories = {each.untyped_storage().data_ptr() for each in _tensors(given)}
    return all(
        each._is_view() and each.untyped_storage().data_ptr() in memories for each in outputs
    )


def _tensors(given: Any) -> Iterator[Tensor]:
    """The tensors among what a module is given or gives; a memory of volumes is left aside."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, tuple | list):
        for each in given:
            yield from _tensors(each)
