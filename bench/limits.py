"""How far from the limit: training's FLOP against this machine's in the product of two matrices."""

from __future__ import annotations

from functools import cache
from statistics import mean

from striate.compute import Compute
from striate.network import Network
from striate.recipes import Recipe
from striate.schedules import side
from striate.steps import INPUT
from striate.timing.machine import Readings, rates
from striate.timing.rows import PER_MAC

MOMENTS = 256  # of a run, at which the size of its images is looked at


def flops_per_image(network: Network, *, frozen_first: bool = False) -> int:
    """Of a training step: each layer's multiply-adds forward, for the gradient of its weights, and
    for that of what it meets if anything before it learns; two FLOP each.

    Args:
        frozen_first: the first layer with weights is not trained, as one that whitens.
    """
    rows, learns = {row.name: row for row in network.account().rows}, {INPUT: False}
    frozen, total = frozen_first, 0
    for step in network.steps:
        if step.name not in rows:  # of a head
            continue
        row = rows[step.name]
        before, own = any(learns[each] for each in step.inputs), bool(row.parameters)
        if own and frozen:
            own = frozen = False
        learns[step.index] = own or before
        total += PER_MAC * row.macs * (1 + own + before)
    return total


def flops_of_run(network: Network, recipe: Recipe, images: int) -> float:
    """Of all epochs over so many training images, the first of which may be smaller."""
    height, width, depth = network.input

    @cache
    def at(rows: int, columns: int) -> int:
        sized = network.with_input((rows, columns, depth))
        return flops_per_image(sized, frozen_first=recipe.whiten)

    moments = [(moment + 0.5) / MOMENTS for moment in range(MOMENTS)]
    each = mean(at(side(recipe, now, height), side(recipe, now, width)) for now in moments)
    return each * images * recipe.epochs


def peak(threads: int) -> float:
    """FLOP/s in the product of two 2048x2048 bfloat16 matrices, measured now."""
    compute = Compute("cpu", "bfloat16", "channels_last", threads)
    return rates(compute, Readings(fresh=True)).products


def explained(limit: float) -> str:
    """A line under a table."""
    return (
        f"The peak is {limit / 1e12:.2f} TFLOP/s: the product of two 2048x2048 bfloat16 matrices, "
        "measured before."
    )
