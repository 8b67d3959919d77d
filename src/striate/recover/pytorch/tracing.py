"""A PyTorch module to a Graph: it is run, and every function of PyTorch's that it calls is noted.

It runs on fake tensors, which have shapes and no values, so that nothing is computed. Whatever
Python decides on the way from shapes and settings is decided, as it is in a real run: loops and
branches need no rewriting. What depends on values has none to depend on, and is refused. All of it
is read in float32 on the processor, wherever the module lies.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from striate.errors import Misfit, StriateError
from striate.layers import Identity, Volume
from striate.layers.settings import BadSetting
from striate.recover.faults import raised
from striate.recover.graph import Graph
from striate.recover.noting import Notes
from striate.recover.pytorch.registry import OPERATIONS
from striate.recover.values import FLAT, SPATIAL, Constant, Unknown, Value
from striate.steps import INPUT

MOST_CHANNELS = 100_000  # that a buffer may list
IMAGES = 61  # so that a number of images is not taken for a volume's side


def plain(tensor: Tensor) -> torch.dtype:
    """In which precision a tensor of a module is read."""
    return torch.float32 if tensor.is_floating_point() else tensor.dtype


def traced(module: nn.Module, input: Volume) -> Graph:
    """What a module computes from images of this volume, in evaluation mode.

    Raises:
        StriateError: it does not run on such images, or gives no volume.
    """
    tracer = Tracer(module, input)
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), _quiet():
            return tracer.run()
    except StriateError:
        raise
    except DataDependentOutputException as reason:
        raise StriateError(
            f"{type(module).__name__} asks for a value, as .item() and `if` do: "
            "it is read from shapes alone"
        ) from reason
    except Exception as reason:  # whatever the module's own code raises
        raise StriateError(
            f"{type(module).__name__} does not run on images of {input} (--input names others): "
            f"{raised(reason)}"
        ) from reason
    finally:
        for each, mode in modes.items():
            each.training = mode


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's own report of a call that fails: the error says it."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    disabled, log.disabled = log.disabled, True
    try:
        # What is compiled hides its functions, and warns of hooks that follow it.
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using `torch.compile")
            yield
    finally:
        log.disabled = disabled


class Tracer(Notes, TorchFunctionMode):
    """Notes calls while it is the mode, and what each tensor is."""

    def __init__(self, module: nn.Module, input: Volume) -> None:
        super().__init__(input)
        self.module = module
        self.names = {each: name for name, each in module.named_modules()}
        self.numbers = {
            name: each.flatten().tolist()
            for name, each in module.named_buffers()
            if each.dtype == torch.int64 and each.numel() <= MOST_CHANNELS and not each.is_meta
        }
        self.within: list[str] = []
        self.known: dict[int, Value | Constant] = {}
        # By their memory; all are kept, so that no identity is given to another.
        self.held: dict[int, list[Tensor]] = {}

    def run(self) -> Graph:
        tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        faked = {name: torch.empty(each.shape, dtype=plain(each)) for name, each in tensors}
        for name, each in faked.items():
            self.know(each, Constant(name, tuple(each.shape)))
        height, width, depth = self.input
        images = torch.empty(IMAGES, depth, height, width)
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
        self.held.setdefault(_memory(tensor), []).append(tensor)
        self.known[id(tensor)] = value

    def sharing(self, tensor: Tensor) -> list[Tensor]:
        """The other tensors that change where this one does: views of the same memory."""
        others = {
            id(each): each for each in self.held.get(_memory(tensor), ()) if each is not tensor
        }
        return [each for each in others.values() if not _apart(each, tensor)]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of an attribute, such as x.data
            name = getattr(func.__self__, "__name__", "")
        version = _version(first)
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        if tensors:
            self.noted(name, args, kwargs or {}, tensors)
        if first is not None and (name in WRITES or _version(first) != version):
            if name in ("__setitem__", "__set__"):
                self.spoiled(first, name, (args, kwargs))
            for other in self.sharing(first):
                self.spoiled(other, name, (args, kwargs))
        return result

    def noted(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor]
    ) -> None:
        met = [
            self.known.get(id(each), Constant("", tuple(each.shape)))
            for each in tree_leaves((args, kwargs))
            if isinstance(each, Tensor)
        ]
        met = met[:1] if name in LIKE else met
        for each in results:
            self.held.setdefault(_memory(each), []).append(each)
        if not any(isinstance(each, Value) for each in met):
            self.constants(name, met, results)
            return
        self.shapes = [tuple(each.shape) for each in results]
        begun = dict(self.nodes)
        try:
            operation = OPERATIONS.get(name)
            if operation is None or not all(each.is_floating_point() for each in results):
                raise Unknown
            given, named = tree_map_only(Tensor, self._value, (args, kwargs))
            found = operation(self, *given, **named)
            values = list(found) if isinstance(found, list) else [found]
            if len(values) != len(results):
                raise Unknown
            for value, shape in zip(values, self.shapes, strict=True):
                value.check(shape)
        except (Unknown, Misfit, BadSetting, TypeError, ValueError, AttributeError, LookupError):
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
    *("__getitem__", "view_as", "expand_as", "to", "float", "type_as", "unflatten", "data"),
}
# What asks of a further tensor nothing but how it is.
LIKE = {"view_as", "expand_as", "type_as", "to"}
# What changes a tensor in place, as inference tensors count no changes.
WRITES = {"__setitem__", "__set__", "__iadd__", "__imul__", "__isub__", "__itruediv__", "copy_"}


def _version(tensor: Tensor | None) -> int:
    """How often it was changed in place."""
    return 0 if tensor is None or tensor.is_inference() else tensor._version


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _apart(one: Tensor, other: Tensor) -> bool:
    """Whether two views of the same images are of different channels, as `chunk` gives them."""
    first, second = sorted((one, other), key=lambda each: each.storage_offset())
    if one.dim() < 2 or one.stride() != other.stride():
        return False
    images, channel, *_ = one.stride()
    inner = (
        sum((n - 1) * s for n, s in zip(each.shape[2:], each.stride()[2:], strict=True))
        for each in (one, other)
    )
    start = second.storage_offset() - first.storage_offset()
    last = start + second.shape[1] * channel
    return max(inner) < channel and first.shape[1] * channel <= start and last <= images
