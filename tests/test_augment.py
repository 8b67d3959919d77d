"""Augmentation: each change against its definition, image by image, and all of them together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest, norm
from torch import Tensor

from striate.data import Images, Preparation
from striate.data.augment import Augmentation, Batch, augmentation
from striate.data.augment.colour import brightened, contrasted, lit
from striate.data.augment.geometry import (
    AREA_DRAWS,
    alternated,
    areas,
    cropped,
    flipped,
    shifted,
    windows,
)
from striate.data.augment.mixing import cut_mixed, cut_out, mixed_up, partners
from striate.data.augment.resample import by_products, resampled
from striate.data.order import draws
from striate.errors import RunError
from striate.layers import Volume
from striate.recipes import Recipe

RANDOM = np.random.default_rng(0)
MANY = 2000
ALMOST_1 = 1 - 2**-53

counts = st.integers(0, 5)
sides = st.integers(1, 9)
seeds = st.integers(0, 99)


def images(count: int, height: int = 6, width: int = 5, depth: int = 3) -> Tensor:
    return torch.from_numpy(RANDOM.normal(size=(count, height, width, depth)))


def chance(count: int, each: int, seed: int = 0) -> np.ndarray:
    return draws(seed, 1, np.arange(count), each)


def ramps(count: int, height: int, width: int) -> Tensor:
    """Images that say where their pixels are: the rows' centres, then the columns'."""
    places = np.moveaxis(np.mgrid[:height, :width] + 0.5, 0, 2)
    return torch.from_numpy(np.ascontiguousarray(places)).expand(count, -1, -1, -1)


# -- where the network looks


@given(count=counts, height=sides, width=sides, seed=seeds)
def test_a_flip_mirrors_half_of_the_images(count: int, height: int, width: int, seed: int) -> None:
    given, drawn = images(count, height, width), chance(count, 1, seed)
    found = flipped(given, drawn)
    for before, after, (draw,) in zip(given, found, drawn, strict=True):
        assert np.array_equal(after, before.numpy()[:, ::-1] if draw < 0.5 else before)


def test_alternating_flips_show_both_sides_in_any_two_epochs() -> None:
    given, drawn = images(MANY, 1, 2, 1), chance(MANY, 1)
    first, second, third = (alternated(given, drawn, epoch) for epoch in (1, 2, 3))
    assert torch.equal(second, first.flip(2)) and torch.equal(third, first)
    assert torch.equal(first, flipped(given, drawn))
    assert abs((first == given)[:, 0, 0, 0].double().mean() - 0.5) < 0.03


@given(
    count=counts,
    height=sides,
    width=sides,
    most=st.integers(0, 4),
    seed=seeds,
    padding=st.sampled_from(["zeros", "reflect"]),
)
def test_a_shift_pads_and_crops(
    count: int, height: int, width: int, most: int, seed: int, padding: str
) -> None:
    if padding == "reflect":
        most = min(most, height - 1, width - 1)
    given, drawn = images(count, height, width), chance(count, 2, seed)
    found = shifted(given, drawn, most, padding)
    for before, after, (down, right) in zip(given, found, drawn, strict=True):
        mode: Any = {"zeros": "constant", "reflect": "reflect"}[padding]
        around = np.pad(before.numpy(), ((most, most), (most, most), (0, 0)), mode=mode)
        y, x = int(down * (2 * most + 1)), int(right * (2 * most + 1))
        assert np.array_equal(after, around[y : y + height, x : x + width])


def test_all_shifts_and_crops_are_equally_frequent() -> None:
    given = torch.arange(9, dtype=torch.uint8).reshape(1, 3, 3, 1).expand(9000, -1, -1, -1)
    middle = cropped(given, chance(9000, 2), (1, 1))
    assert middle.dtype == torch.uint8
    assert np.bincount(middle.flatten(), minlength=9).tolist() == pytest.approx([1000] * 9, rel=0.1)
    middle = shifted(given, chance(9000, 2), 1)[:, 1, 1, 0]
    assert np.bincount(middle, minlength=9).tolist() == pytest.approx([1000] * 9, rel=0.1)
    corners = np.array([[0, 0], [ALMOST_1, ALMOST_1]])
    assert cropped(given[:2], corners, (2, 2))[..., 0].tolist() == [
        [[0, 1], [3, 4]],
        [[4, 5], [7, 8]],
    ]


def triangle(image: np.ndarray, box: list[int], size: tuple[int, int]) -> np.ndarray:
    """A rectangle of one image, scaled pixel by pixel: the slow way.

    Each pixel is the mean of those whose centres are nearer than a pixel of the larger of the two
    grids, in proportion to how near they are, down and across.
    """
    top, left, height, width = box
    part = image[top : top + height, left : left + width]
    for axis, (have, wanted) in enumerate(zip((height, width), size, strict=True)):
        step = have / wanted
        centres = (np.arange(wanted)[:, None] + 0.5) * step
        near = np.maximum(0, 1 - abs(np.arange(have) + 0.5 - centres) / max(step, 1))
        weights = near / near.sum(axis=1, keepdims=True)
        part = np.moveaxis(np.tensordot(weights, part, (1, axis)), 0, axis)
    return part


@given(height=sides, width=sides, size=st.tuples(sides, sides), depth=st.integers(1, 5), seed=seeds)
def test_rectangles_are_scaled_with_the_triangle_filter(
    height: int, width: int, size: tuple[int, int], depth: int, seed: int
) -> None:
    """Products of whole batches do so; so does the kernel for bytes, within its rounding."""
    drawn = chance(3, 4, seed)
    least = (drawn[:, 2:] * [height, width]).astype(int) + 1
    corners = (drawn[:, :2] * (np.array([height, width]) - least + 1)).astype(int)
    boxes = np.hstack((corners, least))
    given = torch.from_numpy(RANDOM.integers(0, 256, (3, height, width, depth), dtype=np.uint8))
    exact, rounded = resampled(given.double(), boxes, size), resampled(given, boxes, size)
    assert rounded.dtype == (torch.uint8 if depth <= 4 else torch.float32)
    assert torch.allclose(by_products(given, boxes, size).double(), exact, atol=1e-3)
    for position, box in enumerate(boxes.tolist()):
        expected = triangle(given[position].double().numpy(), box, size)
        assert np.allclose(exact[position], expected, atol=1e-9)
        assert abs(rounded[position].numpy() - expected).max() <= 1.5


def test_an_image_made_smaller_shows_no_pattern_that_is_not_in_it() -> None:
    """Lines a pixel wide, at a third of their size, become grey."""
    lines = torch.zeros(1, 96, 96, 1, dtype=torch.uint8)
    lines[:, ::2] = 200
    box = np.array([[0, 0, 96, 96]])
    for found in (resampled(lines, box, (32, 32)), by_products(lines, box, (32, 32))):
        assert (found.float() - 100).abs().max() <= 12


def test_scale_jitter_cuts_windows_that_fit_the_scaled_image() -> None:
    """The shorter side, 400 here, is scaled to S; so a window is 24 * 400 / S stored pixels high,
    or the nearest whole number of them.
    """
    boxes = windows((400, 500), chance(MANY, 3), (24, 20), (30, 60))
    found = resampled(ramps(MANY, 400, 500), boxes, (24, 20)).numpy()
    step = (found[:, 20, 0, 0] - found[:, 3, 0, 0]) / 17
    assert np.allclose((found[:, 0, 16, 1] - found[:, 0, 3, 1]) / 13, step, atol=0.05)
    assert kstest(400 / step, "uniform", (30, 30)).pvalue > 0.01
    middle = (found[:, 20, 0, 0] + found[:, 3, 0, 0]) / 2
    top, bottom = middle - 12 * step, middle + 12 * step
    assert top.min() > -0.1 and bottom.max() < 400.1
    assert kstest(top / (400 - (bottom - top)), "uniform").pvalue > 0.01
    given, drawn = images(3, 9, 8), chance(3, 3)
    whole = resampled(given, windows((9, 8), drawn, (6, 5), (8, 8)), (6, 5))
    assert torch.equal(whole, cropped(given, drawn, (6, 5))), "not scaled at all"


@pytest.mark.parametrize(("height", "width"), [(640, 640), (480, 800), (900, 400)])
def test_random_areas_have_the_area_and_aspect_asked_for(height: int, width: int) -> None:
    """But for the rounding of their sides to whole pixels."""
    boxes = areas((height, width), chance(MANY, AREA_DRAWS), (0.2, 0.5))
    found = resampled(ramps(MANY, height, width), boxes, (16, 16))
    row = (found[:, 13, 0, 0] - found[:, 2, 0, 0]) / 11
    column = (found[:, 0, 13, 1] - found[:, 0, 2, 1]) / 11
    area, aspect = row * column * 256 / height / width, column / row
    assert kstest(area, "uniform", (0.2, 0.3)).pvalue > (0.01 if height == width else 0)
    assert area.min() > 0.199 and area.max() < 0.501
    assert aspect.min() > 0.747 and aspect.max() < 1.34
    for axis, (step, side) in enumerate(((row, height), (column, width))):
        middle = found[:, 2:14, 2:14, axis].mean(dim=(1, 2))
        assert (middle - 8 * step).min() > -0.1 and (middle + 8 * step).max() < side + 0.1
        if height == width:
            free = ((middle - 8 * step) / (side - 16 * step)).numpy()
            assert kstest(free, "uniform").pvalue > 0.01


def test_an_area_that_never_fits_becomes_the_largest_centred_one() -> None:
    """The whole of a square; of a long image the part with the nearest aspect."""
    drawn = chance(2, AREA_DRAWS)
    assert areas((8, 8), drawn, (1, 1), (1, 1)).tolist() == [[0, 0, 8, 8]] * 2
    assert areas((8, 40), drawn, (1, 1), (0.5, 2)).tolist() == [[0, 12, 8, 16]] * 2
    assert areas((8, 40), drawn, (1, 1), (5, 5)).tolist() == [[0, 0, 8, 40]] * 2


# -- light and colour


def test_colour_noise_is_normal_along_the_principal_components() -> None:
    components = np.array([[3.0, 1, 0], [0, 2, 1], [1, 0, 5]])
    given = images(MANY, 2, 2).double()
    drawn = chance(MANY, 3)
    noise = (lit(given, drawn, 0.1, components) - given).numpy()
    assert np.allclose(noise, noise[:, :1, :1]), "all pixels of an image alike"
    assert np.allclose(noise[:, 0, 0], 0.1 * norm.ppf(drawn) @ components.T)
    expected = 0.01 * components @ components.T
    assert np.allclose(np.cov(noise[:, 0, 0].T), expected, atol=0.02)
    extremes = np.array([[0.0] * 3, [ALMOST_1] * 3])
    assert lit(given[:2], extremes, 0.1, components).isfinite().all()


def test_brightness_is_added_and_contrast_multiplied() -> None:
    given, drawn = images(MANY), chance(MANY, 1)
    change = (brightened(given, drawn, 0.2) - given)[:, 0, 0, 0]
    assert kstest(change, "uniform", (-51, 102)).pvalue > 0.01
    assert torch.allclose(brightened(given, drawn, 0.2) - given, change[:, None, None, None])
    found, mean = contrasted(given, drawn, 0.2), given.mean(dim=(1, 2, 3), keepdim=True)
    factor = torch.from_numpy(0.8 + 0.4 * drawn)[:, :, None, None]
    assert torch.allclose(found - mean, (given - mean) * factor)


def test_at_zero_strength_nothing_changes() -> None:
    given = images(7)
    assert torch.equal(shifted(given, chance(7, 2), 0), given)
    assert torch.equal(cropped(given, chance(7, 2), (6, 5)), given)
    assert torch.equal(lit(given, chance(7, 3), 0, np.eye(3)), given)
    assert torch.equal(brightened(given, chance(7, 1), 0), given)
    assert torch.equal(contrasted(given, chance(7, 1), 0), given)
    assert torch.equal(cut_out(given, chance(7, 2), 0), given)


# -- hidden and mixed


@given(count=counts, height=sides, width=sides, side=st.integers(0, 12), seed=seeds)
def test_cutout_blanks_a_square_cut_at_the_border(
    count: int, height: int, width: int, side: int, seed: int
) -> None:
    given, drawn = images(count, height, width), chance(count, 2, seed)
    found = cut_out(given, drawn, side)
    for before, after, (down, right) in zip(given, found, drawn, strict=True):
        top, left = int(down * height) - side // 2, int(right * width) - side // 2
        expected = before.clone()
        expected[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
        assert torch.equal(after, expected)


@given(count=counts, seed=seeds, alpha=st.sampled_from([0.001, 0.2, 1, 8, 1000]))
def test_mixup_is_the_weighted_mean_of_neighbours(count: int, seed: int, alpha: float) -> None:
    given, labels = images(count), torch.arange(count)
    found, share = mixed_up(given, chance(count, 1, seed), alpha)
    others = partners(labels)
    for position in range(count):
        other = position if position == count - 1 and count % 2 else position ^ 1
        assert others[position] == other
        own = share[position]
        assert 0 <= own <= 1
        assert torch.allclose(found[position], own * given[position] + (1 - own) * given[other])
    if count % 2:
        assert share[-1] == 1 and torch.equal(found[-1], given[-1])


def test_shares_have_the_beta_distribution() -> None:
    for alpha in (0.2, 1, 3):
        _, share = mixed_up(images(MANY, 1, 1), chance(MANY, 1), alpha)
        assert kstest(share, beta(alpha, alpha).cdf).pvalue > 0.01


@given(count=counts, height=sides, width=sides, seed=seeds)
def test_cutmix_puts_a_rectangle_of_the_neighbour_in(
    count: int, height: int, width: int, seed: int
) -> None:
    """And the share is that of the pixels that stayed, exactly."""
    own = torch.arange(count, dtype=torch.float64)[:, None, None, None]
    given = own.expand(-1, height, width, 2)
    found, share = cut_mixed(given, chance(count, 3, seed), 1.0)
    stayed = found[..., 0] == own[..., 0]
    assert torch.equal(found[..., 0], found[..., 1])
    assert torch.allclose(stayed.double().mean(dim=(1, 2)), share)
    if count % 2:
        assert share[-1] == 1
    for position in range(count - count % 2):
        inside = ~stayed[position]
        assert (found[position, ..., 0][inside] == position ^ 1).all()
        rows, columns = inside.any(dim=1).sum(), inside.any(dim=0).sum()
        assert inside.sum() == rows * columns


def test_cutmix_keeps_the_share_drawn_where_nothing_is_cut_off() -> None:
    drawn = np.array([[0.75, 0.5, 0.5], [0.36, 0.5, 0.5]])
    _, share = cut_mixed(images(2, 100, 100), drawn, 1.0)
    assert share.tolist() == pytest.approx([0.75, 0.36])


# -- all together

INPUT = Volume(8, 8, 3)
PREPARATION = Preparation(INPUT, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
COLOURS = np.array([[10.0, 0, 40], [0, 10, 50], [-10, 0, 30]])
SETTINGS: list[dict[str, Any]] = [
    {"flip": "random"},
    {"flip": "alternating"},
    {"shift": 2},
    {"shift": 2, "padding": "reflect"},
    {"scale": (9.0, 9.0)},
    {"scale": (9.0, 18.0)},
    {"area": (0.1, 1.0)},
    {"area": (0.1, 0.5), "aspect": (0.2, 5.0)},
    {"lighting": 0.1, "colours": COLOURS},
    {"brightness": 0.2},
    {"contrast": 0.2},
    {"cutout": 4},
]
MIXING: list[dict[str, Any]] = [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 0.5}]
EVERYTHING: dict[str, Any] = {
    name: value
    for each in [*SETTINGS[1:6], *SETTINGS[8:], MIXING[2]]
    for name, value in each.items()
}
COUNT = 12
PIXELS = RANDOM.integers(0, 256, (COUNT, 9, 10, 3), dtype=np.uint8)
LABELS = RANDOM.integers(0, 10, COUNT)
SAMPLES = RANDOM.permutation(1000)[:COUNT]


def augmenting(colours: np.ndarray | None = None, **settings: Any) -> Augmentation:
    return Augmentation(PREPARATION, Recipe(**settings), colours)


def made(
    settings: dict[str, Any], which: slice | list[int] = slice(None), epoch: int = 1, **more: Any
) -> Batch:
    each = augmenting(**settings, **more)
    return each(PIXELS[which], LABELS[which], SAMPLES[which], epoch)


def test_without_settings_a_batch_is_prepared_to_the_bit() -> None:
    for shape in ((8, 8, 3), (9, 10, 3), (5, 12, 3), (7, 7, 1)):
        pixels = RANDOM.integers(0, 256, (4, *shape), dtype=np.uint8)
        batch = Augmentation(PREPARATION)(pixels, LABELS[:4], SAMPLES[:4], 1)
        assert torch.equal(batch.images, PREPARATION(pixels))
        assert batch.labels.tolist() == LABELS[:4].tolist()
        assert batch.others is None and batch.share is None


@pytest.mark.parametrize("settings", [*SETTINGS, *MIXING, EVERYTHING], ids=str)
def test_each_setting_changes_images_by_seed_epoch_and_sample_alone(
    settings: dict[str, Any],
) -> None:
    batch = made(settings)
    assert batch.images.shape == (COUNT, 3, 8, 8) and batch.images.dtype == torch.float32
    assert batch.labels.tolist() == LABELS.tolist()
    assert torch.equal(made(settings).images, batch.images)
    for other in (made({}), made(settings, epoch=2), made(settings, seed=1)):
        assert not torch.equal(other.images, batch.images)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_image_is_changed_the_same_in_any_batch(settings: dict[str, Any]) -> None:
    batch, which = made(settings), [5, 0, 11]
    assert torch.equal(made(settings, which).images, batch.images[which])


@pytest.mark.parametrize("settings", [*MIXING, EVERYTHING], ids=str)
def test_a_batch_cut_at_even_positions_is_mixed_the_same(settings: dict[str, Any]) -> None:
    batch = made(settings)
    halves = made(settings, slice(0, 6)), made(settings, slice(6, COUNT))
    assert torch.equal(torch.cat([each.images for each in halves]), batch.images)
    for name in ("labels", "others", "share"):
        assert torch.equal(
            torch.cat([getattr(each, name) for each in halves]), getattr(batch, name)
        )
    assert batch.others is not None
    assert batch.others.tolist() == LABELS.reshape(-1, 2)[:, ::-1].ravel().tolist()


def test_one_setting_more_leaves_the_chances_of_others_alone() -> None:
    """Of a shift after a flip, the flip is the one without the shift."""
    both, flip = made({"flip": "random", "shift": 2}), made({"flip": "random"})
    flipped = flip.images.permute(0, 2, 3, 1)
    expected = shifted(flipped, draws(0, 1, SAMPLES, 2, stream=6), 2)
    assert torch.equal(both.images, expected.permute(0, 3, 1, 2))


def test_with_both_mixings_each_image_has_one_of_them() -> None:
    both = made({"mixup": 0.4, "cutmix": 0.5})
    one, other = made({"mixup": 0.4}), made({"cutmix": 0.5})
    same = [
        (torch.equal(both.images[each], one.images[each]), torch.equal(both.images[each], image))
        for each, image in enumerate(other.images)
    ]
    assert all(map(any, same)) and {(True, False), (False, True)} <= set(same)


@pytest.mark.parametrize("settings", [*SETTINGS, *MIXING, EVERYTHING], ids=str)
def test_all_runs_where_the_images_lie(settings: dict[str, Any]) -> None:
    """A device that computes nothing refuses to be mixed with another."""
    each = augmenting(**settings)
    batch = each(PIXELS, LABELS, SAMPLES, 1, "meta")
    assert batch.images.device.type == batch.labels.device.type == "meta"
    assert batch.images.shape == (COUNT, 3, 8, 8)


def test_smaller_images_are_centred_before_they_are_cut() -> None:
    pixels = np.full((2, 4, 8, 3), 255, dtype=np.uint8)
    for settings in ({"area": (1.0, 1.0), "aspect": (1.0, 1.0)}, {"scale": (8.0, 8.0)}):
        batch = augmenting(**settings)(pixels, LABELS[:2], SAMPLES[:2], 1)
        assert torch.allclose(batch.images, PREPARATION(pixels), atol=1e-4)


def test_a_batch_comes_in_parts_that_make_it_up() -> None:
    for settings in ({}, {"mixup": 0.2}):
        batch = made(settings, slice(0, 11))
        assert [len(part.labels) for part in batch.parts(4)] == [3, 3, 3, 2]
        assert len(batch.parts(20)) == 11
        for name in ("images", "labels", "others", "share"):
            whole = getattr(batch, name)
            parts = [getattr(part, name) for part in batch.parts(4)]
            assert parts == [None] * 4 if whole is None else torch.equal(torch.cat(parts), whole)


def test_a_recipe_says_what_is_done() -> None:
    train = Images(PIXELS, LABELS, tuple("abcdefghij"))
    recipe = Recipe(seed=3, flip="random", shift=1, lighting=0.1, area=(0.5, 1.0), mixup=0.2)
    found = augmentation(recipe, PREPARATION, train)
    assert found.colours is not None and found.colours.shape == (3, 3)
    expected = Augmentation(PREPARATION, recipe, found.colours)
    ours, theirs = (each(PIXELS, LABELS, SAMPLES, 1) for each in (found, expected))
    assert torch.equal(ours.images, theirs.images)
    assert augmentation(Recipe(), PREPARATION, train).colours is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"scale": (7.0, 16.0)},
            "scale begins at 7 pixels, but from images of 9x10x3 .* at least 8",
        ),
        ({"shift": 8, "padding": "reflect"}, "a shift of 8 pixels needs padding 'zeros'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    train = Images(PIXELS, LABELS, tuple("abcdefghij"))
    with pytest.raises(RunError, match=message):
        augmentation(Recipe(**settings), PREPARATION, train)
