"""Pictures of what a network is made of: its filters, its volumes, one unit."""

from __future__ import annotations

from PIL.Image import Image
from torch import Tensor

from striate.draw.sheet import sheet
from striate.errors import one_of
from striate.gallery.levels import (
    SQUARE,
    WRITTEN,
    Bytes,
    bound,
    framed,
    grey,
    numbered,
    signed,
)
from striate.gallery.look import Look, spread
from striate.see import Fields
from striate.see import filters as weights_of
from striate.see import maps as maps_of
from striate.see import neuron as neuron_of

ACROSS = 16  # pictures in a row
ROWS = 12
COLUMNS = 16  # layers
CHANNELS = 6  # of a neuron
SCALES = ("map", "layer", "network")
Rows = list[tuple[str, list[Bytes | None]]]


def filters(look: Look) -> Image:
    """A layer's filters: in colour where they meet an image of three channels, else a row each."""
    step = look.step(look.weighted())
    found = weights_of(look.model, step.name, step.met)
    largest, (count, depth, rows, columns) = bound(found), found.shape
    said = f"{step.name}: {count} filters of {rows}x{columns}x{depth}"
    title = [f"{said}, black {-largest:.3g}, white {largest:.3g}"]
    if depth in (1, 3) and step.met == look.run.network.input:
        units = look.units(step.name, count, count)
        tiles = [signed(found[unit], largest).transpose(1, 2, 0) for unit in units]
        return sheet(_rows("", tiles, units[0]), title=title, cell=48)
    if look.unit is not None:
        (unit,) = look.units(step.name, count, 1)
        tiles = [grey(each) for each in signed(found[unit], largest)]
        title.append(f"filter {unit}, by the channels that it meets")
        return sheet(_rows("channel", tiles), title=title, cell=48)
    shown = [
        (f"filter {unit}", [grey(each) for each in signed(found[unit, :ACROSS], largest)])
        for unit in look.units(step.name, count, ROWS)
    ]
    if count > ROWS or depth > ACROSS:
        title.append(f"the first {len(shown)} filters and {min(depth, ACROSS)} channels")
    return sheet(shown, title=title, cell=48)


def maps(look: Look) -> Image:
    """The lectures' picture: a column for each layer, a row for each map."""
    one_of("scale", look.scale, SCALES)
    steps = [look.step()] if look.layer else look.shown()
    found = maps_of(look.model, look.prepared[None], [step.name for step in steps])
    named = [(step, found[step.name][0]) for step in spread(steps, COLUMNS)]
    over = max(bound(volume) for _, volume in named)
    columns = [_column(volume, look.scale, over, all=bool(look.layer)) for _, volume in named]
    heads = [f"{step.name.rpartition('.')[2]}" for step, _ in named]
    if look.layer:
        rows: Rows = _rows("map", columns[0])
        heads = []
    else:
        rows = [
            (f"map {row}", [column[row] if row < len(column) else None for column in columns])
            for row in range(max(map(len, columns)))
        ]
    left_out = (
        f", {len(steps) - len(named)} layers between left out" if len(named) < len(steps) else ""
    )
    title = [
        f"what {look.run.path.name} makes of {look.said}{left_out}",
        f"grey is zero, black and white the largest absolute value of each {look.scale}",
        *([f"{look.layer}: {steps[0].volume}"] if look.layer else []),
    ]
    return sheet(rows, title=title, heads=heads)


def neuron(look: Look) -> Image:
    """One unit at one position: the image, what the unit meets, its filter, and their products."""
    step = look.step(look.convolutions()[0])
    unit = look.unit or 0
    row, column = look.at or (step.volume.height // 2, step.volume.width // 2)
    found = neuron_of(look.model, look.prepared, step.name, unit, row, column)
    box = Fields(look.run.network, step.name).box(row, column)
    products = found.patch * found.weights
    rows: Rows = [("image", [framed(look.photograph(look.prepared), box)])]
    for name, values in (("x", found.patch), ("w", found.weights), ("w times x", products)):
        some, largest = values[:CHANNELS], bound(values)
        rows.append((f"{name}, white {largest:.3g}", [numbered(each, largest) for each in some]))
    sums = [f"{float(each):+.3g}" for each in products[:CHANNELS].sum(dim=(1, 2))]
    depth = len(found.patch)
    title = [
        f"{step.name}, unit {unit}, at {row},{column}, of {look.said}: it sees rows {box.top} to "
        f"{box.bottom - 1} and columns {box.left} to {box.right - 1} of the image",
        f"w·x + b = {products.double().sum():.4f} + {found.bias:.4f} = {found.value:.4f}"
        f"  (the network computed {found.output:.4f})",
        *([f"the first {CHANNELS} of {depth} channels are drawn"] if depth > CHANNELS else []),
    ]
    height, width = found.patch.shape[1:]
    cell = max(64, SQUARE * max(height, width) if max(height, width) <= WRITTEN else 64)
    return sheet(rows, captions=[[], [], [], sums], title=title, cell=cell)


def _column(volume: Tensor, scale: str, network: float, *, all: bool) -> list[Bytes]:
    """A layer's maps, of a flat one its values as squares."""
    maps = volume if volume.dim() == 3 else volume[:, None, None]
    maps = maps if all else maps[:ROWS]
    largest = {"map": None, "layer": bound(volume), "network": network}[scale]
    return [grey(signed(each, largest)) for each in maps]


def _rows(what: str, tiles: list[Bytes], first: int = 0) -> Rows:
    """Pictures in rows, each after the number of its first."""
    starts = range(0, len(tiles), ACROSS)
    if len(starts) == 1:
        return [("", [*tiles])]
    return [(f"{what} {first + at}".strip(), [*tiles[at : at + ACROSS]]) for at in starts]
