"""Rates and image sizes over a run: pure functions of progress, or of the errors so far.

Progress is the fraction of the run's steps that are done, so that a schedule keeps its shape when
the epochs are changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from striate.recipes import Recipe

# Where one-cycle starts, as a part of its highest rate.
START = 1 / 25
GROWN = 0.7  # the progress at which images have their full size


def factor(recipe: Recipe, progress: float) -> float:
    """What the rates of a recipe are multiplied by at a step.

    Linear and cosine begin where the warm-up ends; the others are as they would be without one.
    The factor of `plateau` is in `plateau_factor`; here is its warm-up only.

    Args:
        progress: steps done of all steps, 0 to 1.

    Returns:
        0 to 1; more where `step` multiplies by more than 1.
    """
    warm = 1.0 if progress >= recipe.warm_up else progress / recipe.warm_up
    rest = max(0.0, (progress - recipe.warm_up) / (1 - recipe.warm_up))
    match recipe.schedule:
        case "step":
            return warm * _steps(recipe, progress)
        case "linear":
            return warm * _between(1.0, recipe.knob("final"), rest)
        case "cosine":
            return warm * _between(recipe.knob("final"), 1.0, (1 + math.cos(math.pi * rest)) / 2)
        case "one-cycle":
            return _one_cycle(recipe, progress)
    return warm


def plateau_factor(recipe: Recipe, errors: Iterable[float]) -> float:
    """What `plateau` has made of the rate after some epochs; 1 for other schedules.

    Each time that `patience` epochs have brought no error below the lowest so far, the rate is
    multiplied by `factor` and the epochs are counted anew.

    Args:
        errors: of validation, of each finished epoch.
    """
    found = 1.0
    if recipe.schedule != "plateau":
        return found
    lowest, waited = math.inf, 0
    for error in errors:
        waited = 0 if error < lowest else waited + 1
        lowest = min(lowest, error)
        if waited == recipe.knob("patience"):
            found, waited = found * recipe.knob("factor"), 0
    return found


def side(recipe: Recipe, progress: float, full: int) -> int:
    """The height or width of training images at a step, where they grow.

    In a straight line from `grow_from` of the full size to all of it at `grow_until`, in steps of
    four pixels, so that the sizes are few (Howard's progressive resizing, as in the DAWNBench entry
    of fast.ai, 2018).

    Args:
        progress: steps done of all steps, 0 to 1.
        full: of the network's input, in pixels.
    """
    until = GROWN if recipe.grow_until is None else recipe.grow_until
    if recipe.grow_from is None or progress >= until:
        return full
    part = _between(recipe.grow_from, 1.0, progress / until)
    return min(full, max(1, round(full * part / 4)) * 4)


def epochs_since_lowest(errors: Iterable[float]) -> int:
    """Epochs since the validation error was lowest: early stopping has patience for so many."""
    lowest, waited = math.inf, 0
    for error in errors:
        waited = 0 if error < lowest else waited + 1
        lowest = min(lowest, error)
    return waited


def _between(start: float, end: float, part: float) -> float:
    return start + (end - start) * part


def _steps(recipe: Recipe, progress: float) -> float:
    if recipe.every is not None:
        # 3 * 0.1 is a little more than 0.3
        return float(recipe.knob("factor") ** math.floor(progress / recipe.every + 1e-9))
    milestones = recipe.milestones or ()
    given = recipe.factor
    factors = given if isinstance(given, tuple) else (recipe.knob("factor"),) * len(milestones)
    return math.prod(each for at, each in zip(milestones, factors, strict=True) if progress >= at)


def _one_cycle(recipe: Recipe, progress: float) -> float:
    """Up and down in straight lines (Smith 2018, arXiv:1803.09820, section 4.1)."""
    peak = recipe.knob("peak")
    if progress < peak:
        return _between(START, 1.0, progress / peak)
    return _between(1.0, recipe.knob("final"), (progress - peak) / (1 - peak) if peak < 1 else 0.0)
