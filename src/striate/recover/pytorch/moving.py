"""PyTorch's functions that move values without changing them: views, permutations, parts, padding.

Most are no layer: they only say in which order the axes of the same volume stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.layers import Pair
from striate.notation.reader import MOST_ARGUMENTS
from striate.recover.pytorch.registry import named
from striate.recover.values import (
    CHANNELS,
    FLAT,
    GROUPED,
    LAST,
    LINE,
    SHUFFLED,
    SPATIAL,
    TOKENS,
    Constant,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


@named("contiguous", "clone", "detach", "to", "float", "type_as", "alias", "data", "type")
def _same(trace: Tracer, input: Value, *rest: Any, **options: Any) -> Value:
    input.check(trace.shapes[0])
    return input


@named("view", "reshape", "flatten", "unsqueeze", "squeeze", "unflatten", "view_as")
def _reshaped(trace: Tracer, input: Value, *rest: Any, **options: Any) -> Value:
    """The same values in another shape: what it is can be told from the shape alone."""
    shape, volume = trace.shapes[0][1:], input.volume
    if volume is None or input.stretched:
        raise Unknown
    if input.order == FLAT and shape == (volume.size, 1, 1):
        return trace.in_a_row(input).ordered(SPATIAL)
    one = volume[:2] == (1, 1)
    if input.order == SHUFFLED and shape == (volume.depth, *volume[:2]):
        node = trace.add(layers.Shuffle(groups=input.groups), [input])
        return trace.spatial(node)
    if input.shape() == shape and not (one and len(shape) == 3):
        return input
    last = {LAST: volume, TOKENS: (volume.height * volume.width, volume.depth)}
    for order in last if input.order in last else ():
        if shape == last[order]:
            return Value(input.node, order, volume)
    rows = {  # orders in which all values lie in memory as they do in N D H W
        SPATIAL: True,
        FLAT: True,
        LINE: True,
        GROUPED: True,
        LAST: one or volume.depth == 1,
        TOKENS: one or volume.depth == 1,
    }
    if not rows.get(input.order):
        raise Unknown
    if shape == (volume.size,):
        return Value(input.node, FLAT, volume)
    if shape == (volume.depth, *volume[:2]):
        return Value(input.node, SPATIAL, volume)
    if shape == (1, 1, volume.depth) and one:
        return Value(input.node, LAST, volume)
    if shape == (volume.depth, volume.height * volume.width):
        return Value(input.node, LINE, volume)
    if len(shape) == 4 and shape[2:] == volume[:2] and shape[0] * shape[1] == volume.depth:
        return Value(input.node, GROUPED, volume, shape[0])
    raise Unknown


@named("permute")
def _permuted(trace: Tracer, input: Value, *dims: Any) -> Value:
    axes = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return _turned(input, tuple(axes))


@named("transpose", "swapaxes", "swapdims")
def _swapped(trace: Tracer, input: Value, dim0: int, dim1: int) -> Value:
    axes = list(range(input.rank))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return _turned(input, tuple(axes))


@named("mT")
def _last_swapped(trace: Tracer, input: Value) -> Value:
    return _swapped(trace, input, -2, -1)


@named("movedim", "moveaxis")
def _moved(trace: Tracer, input: Value, source: int, destination: int) -> Value:
    axes = list(range(input.rank))
    axes.insert(destination % len(axes), axes.pop(source))
    return _turned(input, tuple(axes))


def _turned(input: Value, axes: tuple[int, ...]) -> Value:
    """The same volume with its axes in another order: where each one comes from."""
    volume = input.met(SPATIAL, LAST, LINE, TOKENS, GROUPED, SHUFFLED)
    axes = tuple(each % input.rank for each in axes)
    wanted = {
        (SPATIAL, (0, 2, 3, 1)): LAST,
        (LAST, (0, 3, 1, 2)): SPATIAL,
        (LINE, (0, 2, 1)): TOKENS,
        (TOKENS, (0, 2, 1)): LINE,
        (GROUPED, (0, 2, 1, 3, 4)): SHUFFLED,
        (SHUFFLED, (0, 2, 1, 3, 4)): GROUPED,
    }
    if axes == tuple(range(len(axes))):
        return input
    if (input.order, axes) not in wanted:
        raise Unknown
    return Value(input.node, wanted[input.order, axes], volume, input.groups)


@named("channel_shuffle", "native_channel_shuffle")
def _shuffled(trace: Tracer, input: Value, groups: int) -> Value:
    input.met(SPATIAL)
    return trace.spatial(trace.add(layers.Shuffle(groups=groups), [input]))


@named("index_select")
def _selected(trace: Tracer, input: Value, dim: int, index: Constant) -> Value:
    """Channels that a buffer lists."""
    input.met(SPATIAL, FLAT)
    input = trace.in_a_row(input)
    if dim != 1:
        raise Unknown
    return _taken(trace, input, trace.values(index))


def _taken(trace: Tracer, input: Value, channels: list[int]) -> Value:
    """Channels in this order, as long as a word can list them."""
    assert input.volume is not None
    if len(channels) > MOST_ARGUMENTS:
        raise Unknown
    layer = layers.Take(channels=tuple(each % input.volume.depth for each in channels))
    return trace.spatial(trace.add(layer, [input])).ordered(input.order)


@named("expand", "expand_as", "broadcast_to")
def _stretched(trace: Tracer, input: Value, *rest: Any, **options: Any) -> Value:
    volume = input.met(SPATIAL)
    shape = trace.shapes[0]
    if volume[:2] != (1, 1) or len(shape) != 4 or shape[1] != volume.depth:
        raise Unknown
    return Value(input.node, SPATIAL, volume, stretched=shape[2:] != (1, 1))


@named("chunk", "split", "tensor_split", "split_with_sizes", "unsafe_chunk")
def _parts(
    trace: Tracer, input: Value, sizes: Any = None, dim: int = 0, **options: Any
) -> list[Value]:
    """Cut along the depth; how wide each part is, its shape says."""
    input.met(SPATIAL, LAST, LINE, TOKENS)
    axis = CHANNELS[input.order]
    if dim % input.rank != axis:
        raise Unknown
    first, parts = 0, []
    for shape in trace.shapes:
        parts.append(_slice(trace, input, first, first + shape[axis]))
        first += shape[axis]
    return parts


def _slice(trace: Tracer, input: Value, first: int, stop: int) -> Value:
    assert input.volume is not None
    if (first, stop) == (0, input.volume.depth):
        return input
    node = trace.add(layers.Slice(first=first, stop=stop), [input])
    return trace.spatial(node).ordered(input.order)


@named("__getitem__")
def _got(trace: Tracer, input: Value, index: Any) -> Value:
    """Channels from one to another, listed channels, every second row and column, new axes."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if None in parts:
        if all(each is None or each is Ellipsis or each == slice(None) for each in parts):
            return _reshaped(trace, input)
        raise Unknown
    if parts and parts[0] is Ellipsis:
        parts = [slice(None)] * (input.rank + 1 - len(parts)) + parts[1:]
    input.met(SPATIAL, FLAT)
    rank = input.rank
    parts += [slice(None)] * (rank - len(parts))
    if len(parts) != rank or parts[0] != slice(None):
        raise Unknown
    if parts[2:] == [0, 0] and input.volume and input.volume[:2] == (1, 1):
        input, parts, rank = input.ordered(FLAT), parts[:2], 2
    found = input = trace.in_a_row(input)
    depth = input.met(SPATIAL, FLAT).depth
    if isinstance(parts[1], list) and all(isinstance(each, int) for each in parts[1]):
        found = _taken(trace, found, parts[1])
    elif isinstance(parts[1], slice):
        first, stop, step = parts[1].indices(depth)
        if step != 1 or stop <= first:
            raise Unknown
        found = _slice(trace, found, first, stop)
    else:
        raise Unknown
    return _strided(trace, found, *parts[2:]) if rank == 4 else found


def _strided(trace: Tracer, input: Value, rows: Any, columns: Any) -> Value:
    steps = []
    for part, side in zip((rows, columns), input.met(SPATIAL)[:2], strict=True):
        if not isinstance(part, slice):
            raise Unknown
        first, stop, step = part.indices(side)
        if first != 0 or stop != side:
            raise Unknown
        steps.append(step)
    if steps == [1, 1]:
        return input
    layer = layers.MaxPool(kernel=Pair(1, 1), stride=Pair(*steps), rounding="floor")
    return trace.spatial(trace.add(layer, [input]))


@named("pad")
def _padded(trace: Tracer, input: Value, pad: Any, mode: str = "constant", value: Any = 0) -> Value:
    input.met(SPATIAL)
    left, right, top, bottom, *others = list(pad) + [0] * (4 - len(pad))
    if mode != "constant" or value not in (0, None) or min(pad) < 0:
        raise Unknown
    if not any(pad):
        return input
    if any(others):
        return _widened(trace, input, list(pad))
    end = None if (left, top) == (right, bottom) else Pair(bottom, right)
    node = trace.add(layers.Pad(border=Pair(top, left), end=end), [input])
    return trace.spatial(node)


def _widened(trace: Tracer, input: Value, pad: list[int]) -> Value:
    """Channels of zeros behind the others, after every so many rows and columns: a shortcut."""
    if any(pad[:5]) or any(pad[6:]):
        raise Unknown
    stride, made = Pair(1, 1), trace.nodes.get(input.node)
    if made and isinstance(made.layer, layers.MaxPool) and made.layer.kernel == (1, 1):
        at = made.inputs[0]
        volume = trace.volume(at)
        stride, input = made.layer.stride or stride, Value(at, SPATIAL, volume)
    depth = input.met(SPATIAL).depth + pad[5]
    layer = layers.Shortcut(filters=depth, stride=stride, option="a")
    return trace.spatial(trace.add(layer, [input]))
