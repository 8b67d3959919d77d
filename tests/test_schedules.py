"""The rate over a run: ends, bounds, falls."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.recipes import Recipe, names, read
from striate.schedules import START, epochs_since_lowest, factor, plateau_factor, side

PART = st.floats(0, 1)
FINAL = st.floats(0, 1)
WARM = st.floats(0, 0.9)
STEP = Recipe(schedule="step", milestones=(0.5, 0.75))


@given(PART)
def test_constant_stays(progress: float) -> None:
    assert factor(Recipe(schedule="constant"), progress) == 1


@given(FINAL, WARM, st.lists(PART, min_size=2).map(sorted), st.sampled_from(["linear", "cosine"]))
def test_linear_and_cosine_fall_from_the_end_of_the_warm_up_to_their_final_value(
    final: float, warm: float, at: list[float], schedule: str
) -> None:
    recipe = Recipe(schedule=schedule, final=final, warm_up=warm)
    assert factor(recipe, warm) == 1
    assert factor(recipe, 1) == pytest.approx(final)
    found = [factor(recipe, progress) for progress in at if progress >= warm]
    assert all(final - 1e-12 <= each <= 1 for each in found)
    assert all(a >= b - 1e-12 for a, b in pairwise(found))


def test_their_values_halfway() -> None:
    assert factor(Recipe(schedule="linear"), 0.25) == 0.75
    assert factor(Recipe(schedule="cosine"), 0.25) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factor(Recipe(schedule="cosine", final=0.2), 0.5) == pytest.approx(0.6)
    assert factor(Recipe(schedule="linear", warm_up=0.5), 0.75) == 0.5


@given(st.floats(0.01, 0.9), PART, st.sampled_from(["constant", "step", "linear", "cosine"]))
def test_a_warm_up_rises_in_a_straight_line_from_0(warm: float, part: float, name: str) -> None:
    milestones = (0.95,) if name == "step" else None
    recipe = Recipe(schedule=name, milestones=milestones, warm_up=warm)
    assert factor(recipe, warm * part) == pytest.approx(part)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 1), (0.4999, 1), (0.5, 0.1), (0.7, 0.1), (0.75, 0.01), (1, 0.01)]
)
def test_step_multiplies_at_its_milestones(progress: float, expected: float) -> None:
    assert factor(STEP, progress) == pytest.approx(expected)


def test_step_takes_a_factor_for_each_milestone() -> None:
    recipe = replace(STEP, factor=(0.4, 0.5))
    assert [factor(recipe, at) for at in (0, 0.6, 0.8)] == pytest.approx([1, 0.4, 0.2])


@given(st.integers(1, 50), st.integers(0, 50))
def test_step_multiplies_every_so_often_and_is_not_late_for_rounding(count: int, of: int) -> None:
    done = min(of, count)
    recipe = Recipe(schedule="step", every=1 / count, factor=0.5)
    assert factor(recipe, done / count) == 0.5**done


@given(st.floats(0, 1), FINAL, st.lists(PART, min_size=2).map(sorted))
def test_one_cycle_rises_to_its_peak_and_falls_to_its_final_value(
    peak: float, final: float, at: list[float]
) -> None:
    recipe = Recipe(schedule="one-cycle", peak=peak, final=final)
    assert factor(recipe, peak) == 1
    assert peak == 0 or factor(recipe, 0) == START
    assert peak == 1 or factor(recipe, 1) == pytest.approx(final)
    rise = [factor(recipe, each) for each in at if each <= peak]
    fall = [factor(recipe, each) for each in at if each >= peak]
    assert all(a <= b + 1e-12 for a, b in pairwise(rise))
    assert all(a >= b - 1e-12 for a, b in pairwise(fall))
    assert all(min(START, final) - 1e-12 <= each <= 1 for each in rise + fall)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], 1),
        ([0.5, 0.4, 0.3, 0.2], 1),
        ([0.5, 0.6], 1),
        ([0.5, 0.6, 0.5], 0.1),
        ([0.5, 0.6, 0.7, 0.4], 0.1),
        ([0.5, 0.6, 0.7, 0.5, 0.5], 0.01),
        ([0.5, math.nan, math.nan], 0.1),
    ],
)
def test_plateau_divides_each_time_that_the_error_has_stalled(
    errors: list[float], expected: float
) -> None:
    """An error as low as the lowest is no better one."""
    recipe = Recipe(schedule="plateau", patience=2)
    assert plateau_factor(recipe, errors) == pytest.approx(expected)
    assert factor(recipe, 0.9) == 1


@given(st.lists(st.floats(0, 1)), st.integers(1, 5), st.floats(0.01, 0.9))
def test_plateau_never_raises_the_rate(errors: list[float], patience: int, by: float) -> None:
    """And falls no more often than every so many epochs."""
    recipe = Recipe(schedule="plateau", patience=patience, factor=by)
    found = [plateau_factor(recipe, errors[:count]) for count in range(len(errors) + 1)]
    assert all(a >= b for a, b in pairwise(found))
    assert sum(a > b for a, b in pairwise(found)) <= len(errors) / patience
    assert plateau_factor(Recipe(), errors) == 1


def test_epochs_since_the_lowest_error() -> None:
    assert [epochs_since_lowest(each) for each in ([], [0.5], [0.5, 0.4, 0.4, 0.6])] == [0, 0, 2]


@pytest.mark.parametrize("name", names())
def test_the_named_recipes_begin_at_their_rate_and_never_pass_it(name: str) -> None:
    recipe = read(name)
    found = [factor(recipe, step / 1000) for step in range(1001)]
    assert max(found) == 1 and min(found) >= 0
    assert found[0] == (1 if not recipe.warm_up else 0)


def test_lenet_falls_as_the_papers_global_rate() -> None:
    """Two passes at 0.0005, then 3, 3 and 4, and the rest at 0.00001."""
    recipe = read("lenet-1998")
    rates = [0.0005] * 2 + [0.0002] * 3 + [0.0001] * 3 + [0.00005] * 4 + [0.00001] * 8
    for number, rate in enumerate(rates):
        for inside in (0, 0.9):
            assert factor(recipe, (number + inside) / 20) == pytest.approx(rate / 0.0005)


@given(st.floats(0.1, 1), st.floats(0.01, 1), st.integers(1, 300), st.lists(PART).map(sorted))
def test_images_grow_in_steps_of_four_pixels_to_their_full_size(
    start: float, until: float, full: int, at: list[float]
) -> None:
    recipe = Recipe(grow_from=start, grow_until=until)
    sides = [side(recipe, progress, full) for progress in at]
    assert all(a <= b for a, b in pairwise(sides))
    assert all(each == full or each % 4 == 0 for each in sides)
    assert all(0 < each <= full for each in sides)
    assert side(recipe, until, full) == side(recipe, 1, full) == full


def test_the_sizes_of_a_growing_image() -> None:
    recipe = Recipe(grow_from=0.5)
    assert [side(recipe, at / 10, 32) for at in range(9)] == [16, 20, 20, 24, 24, 28, 28, 32, 32]
    assert side(Recipe(), 0, 33) == 33
