"""A PyTorch module to a Graph: it is run, and every function of PyTorch's that it calls is noted.

It runs on fake tensors, which have shapes and no values, so that nothing is computed. Whatever
Python decides on the way from shapes and settings is decided, as it is in a real run: loops and
branches need no rewriting. What depends on values has none to depend on, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from striate.errors import Misfit, StriateError
from striate.layers import Identity, Volume
from striate.layers.settings import BadSetting
from striate.recover.graph import Graph
from striate.recover.noting import Notes
from striate.recover.pytorch.registry import OPERATIONS
from striate.recover.values import FLAT, SPATIAL, Constant, Unknown, Value
from striate.steps import INPUT

MOST_CHANNELS = 100_000  # that a buffer may list
IMAGES = 2  # so that a number of images is not taken for a volume's side


def traced(module: nn.Module, input: Volume) -> Graph:
    """What a module computes from images of this volume, in evaluation mode.

    Raises:
        StriateError: it does not run on such images, or gives no volume.
    """
    tracer = Tracer(module, input)
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
            return tracer.run(fake)
    except StriateError:
        raise
    except Exception as reason:  # whatever the module's own code raises
        lines = str(reason).strip().splitlines() or [""]
        raise StriateError(
            f"{type(module).__name__} does not run on images of {input}: "
            f"{type(reason).__name__}: {lines[0][:300]}"
        ) from reason
    finally:
        for each, mode in modes.items():
            each.training = mode


class Tracer(Notes, TorchFunctionMode):
    """Notes calls while it is the mode, and what each tensor is."""

    def __init__(self, module: nn.Module, input: Volume) -> None:
        super().__init__(input)
        self.module = module
        self.names = {each: name for name, each in module.named_modules()}
        self.numbers = {
            name: each.flatten().tolist()
            for name, each in module.named_buffers()
            if each.dtype == torch.int64 and each.numel() <= MOST_CHANNELS
        }
        self.within: list[str] = []
        self.known: dict[int, Value | Constant] = {}
        self.held: list[Any] = []  # so that no tensor's identity is given to another

    def run(self, fake: FakeTensorMode) -> Graph:
        tensors: dict[str, Tensor] = {
            **dict(self.module.named_parameters()),
            **dict(self.module.named_buffers()),
        }
        faked: dict[str, Tensor] = {name: fake.from_tensor(each) for name, each in tensors.items()}
        for name, each in faked.items():
            self.know(each, Constant(name, tuple(each.shape)))
        kind = next((p.dtype for p in self.module.parameters()), torch.float32)
        height, width, depth = self.input
        images = torch.empty(IMAGES, depth, height, width, dtype=kind)
        self.know(images, Value(INPUT, SPATIAL, self.input))
        with self.followed(), self:
            result = functional_call(self.module, faked, (images,), tie_weights=True)
        return self.ended(result)

    def ended(self, result: Any) -> Graph:
        given = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        found = self.known.get(id(given[0])) if len(given) == 1 else None
        if not isinstance(found, Value):
            several = f"{len(given)} tensors" if len(given) != 1 else "nothing of its input"
            raise StriateError(f"{type(self.module).__name__} gives {several}, where one is wanted")
        if found.volume is None or found.order not in (SPATIAL, FLAT) or found.stretched:
            raise StriateError(
                f"{type(self.module).__name__} gives values of {tuple(given[0].shape)}: "
                "no volume and no scores of classes"
            )
        found = self.in_a_row(found)
        output = found.node if found.node != INPUT else self.add(Identity(), [found])
        kinds = {name: type(each).__name__ for each, name in self.names.items()}
        return Graph(self.input, self.nodes, output, kinds)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Knows within which module a call is made."""

        def enter(module: nn.Module, _: Any) -> None:
            self.within.append(self.names.get(module, ""))

        def leave(module: nn.Module, *_: Any) -> None:
            self.within.pop()

        hooks = nn.modules.module
        handles = [
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for each in handles:
                each.remove()

    # -- what tensors are

    def know(self, tensor: Tensor, value: Value | Constant) -> None:
        self.held.append(tensor)
        self.known[id(tensor)] = value

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        version = first._version if first is not None else 0
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        tensors = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        if tensors:
            self.noted(name, args, kwargs or {}, tensors)
        if first is not None and first._version != version:  # it was changed in place
            if name == "__setitem__":
                self.spoiled(first, name, (args, kwargs))
            if first._base is not None:
                self.spoiled(first._base, name, (args, kwargs))
        return result

    def noted(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        met = [
            self.known.get(id(each), Constant("", tuple(each.shape)))
            for each in tree_leaves((args, kwargs))
            if isinstance(each, Tensor)
        ]
        self.held += results
        if not any(isinstance(each, Value) for each in met):
            self.constants(name, met, results)
            return
        self.shapes = [tuple(each.shape) for each in results]
        begun = dict(self.nodes)
        try:
            operation = OPERATIONS.get(name)
            if operation is None:
                raise Unknown
            given, named = tree_map_only(Tensor, self._value, (args, kwargs))
            found = operation(self, *given, **named)
            values = list(found) if isinstance(found, list) else [found]
            if len(values) != len(results):
                raise Unknown
            for value, shape in zip(values, self.shapes, strict=True):
                value.check(shape)
        except (Unknown, Misfit, BadSetting, TypeError, ValueError):
            self.nodes = begun
            values = [self.lost(name, met, shape) for shape in self.shapes]
        for tensor, value in zip(results, values, strict=True):
            self.know(tensor, value)

    def _value(self, tensor: Tensor) -> Value | Constant:
        return self.known.get(id(tensor), Constant("", tuple(tensor.shape)))

    def constants(self, name: str, met: list[Value | Constant], results: list[Tensor]) -> None:
        """Tensors that no image makes; one that is a parameter in another shape is that one."""
        only = met[0] if len(met) == 1 and name in RESHAPES else None
        used = frozenset[str]().union(*(each.used for each in met if isinstance(each, Constant)))
        for each in results:
            same = isinstance(only, Constant) and only.size == each.numel()
            label = only.name if same and isinstance(only, Constant) else ""
            self.know(each, Constant(label, tuple(each.shape), used))

    def lost(self, name: str, met: list[Value | Constant], shape: tuple[int, ...]) -> Value:
        """What has no layer."""
        values = [each for each in met if isinstance(each, Value)]
        used = frozenset[str]().union(*(each.used for each in met if isinstance(each, Constant)))
        return self.unknown(name.strip("_"), values, used, shape, IMAGES)

    def spoiled(self, tensor: Tensor, name: str, given: Any) -> None:
        """A tensor of which a part was written: it is something else from now on."""
        met = [self._value(each) for each in tree_leaves(given) if isinstance(each, Tensor)]
        met.append(self._value(tensor))
        if any(isinstance(each, Value) for each in met):
            self.know(tensor, self.lost(name, met, tuple(tensor.shape)))

    # -- what operations ask for

    def values(self, constant: Constant) -> list[int]:
        """The whole numbers of a buffer; raises Unknown where it is none."""
        if constant.name not in self.numbers:
            raise Unknown
        return self.numbers[constant.name]

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each for each in self.within if each))


# What gives the values of one tensor in another shape.
RESHAPES = {
    *("view", "reshape", "unsqueeze", "squeeze", "flatten", "contiguous", "clone", "detach"),
    *("__getitem__", "view_as", "expand_as", "to", "float", "type_as", "unflatten"),
}
