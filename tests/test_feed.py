"""What training is fed: the same batches, however they are made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import quick

from striate.data import Images, Preparation, feed, load
from striate.data.ahead import ahead
from striate.data.augment import Augmentation, Batch, augmentation
from striate.data.device import Resident, on, resident
from striate.data.feed import feed as fed
from striate.data.loader import Batches
from striate.data.preparation import Layout
from striate.data.stream import Streamed
from striate.errors import DataError
from striate.evaluate import score
from striate.layers import Volume
from striate.ranks import Ranks
from striate.recipes import Recipe

RANDOM = np.random.default_rng(0)
PREPARATION = Preparation(Volume(8, 8, 3), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
RECIPES: list[dict[str, Any]] = [
    {},
    {"flip": "alternating", "shift": 2, "padding": "reflect"},
    {"flip": "random", "shift": 1, "cutout": 3, "contrast": 0.2},
    {"area": (0.2, 1.0)},
    {"scale": (9.0, 16.0), "mixup": 0.4, "cutmix": 1.0},
]


def images(count: int, *volume: int) -> Images:
    pixels = RANDOM.integers(0, 256, (count, *(volume or (9, 10, 3))), dtype=np.uint8)
    return Images(pixels, np.arange(count) % 4, tuple("abcd"))


def one_by_one(batches: Batches, changes: Augmentation, first: int, end: int) -> Iterator[Batch]:
    for number in range(first, end):
        samples, pixels, labels = batches[number]
        yield changes(pixels, labels, samples, batches.epoch(number))


def same(first: Batch, second: Batch) -> bool:
    return all(
        ours is theirs is None or torch.equal(ours, theirs)
        for name in ("images", "labels", "others", "share")
        for ours, theirs in [(getattr(first, name), getattr(second, name))]
    )


@quick
@given(
    settings=st.sampled_from(RECIPES),
    size=st.integers(2, 30),
    first=st.integers(0, 9),
    at_once=st.integers(1, 3000),
    piece=st.integers(1, 1000),
    rank=st.sampled_from([(0, 1), (0, 2), (1, 2)]),
)
def test_batches_are_the_same_however_many_are_made_at_once(
    settings: dict[str, Any],
    size: int,
    first: int,
    at_once: int,
    piece: int,
    rank: tuple[int, int],
) -> None:
    """Across the ends of epochs, from anywhere on, of any share: as they are one by one."""
    from striate.data.augment import pipeline

    recipe = Recipe(batch=size, seed=2, **settings)
    changes = augmentation(recipe, PREPARATION, (train := images(41)))
    batches = Batches(train, size, recipe.seed, Ranks(*rank).share)
    end = first + 2 * batches.per_epoch + 1
    expected = list(one_by_one(batches, changes, first, end))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "AT_ONCE", at_once * 8)
        patch.setattr(pipeline, "PIECE", piece)
        found = list(fed(batches, changes, first, end))
    assert len(found) == len(expected) and all(map(same, found, expected))


@pytest.mark.parametrize("settings", RECIPES, ids=str)
def test_the_layout_is_the_one_asked_for_and_changes_no_number(settings: dict[str, Any]) -> None:
    """But for bfloat16's rounding, which comes last."""
    recipe = Recipe(batch=20, **settings)
    train = images(40)
    changes, batches = augmentation(recipe, PREPARATION, train), Batches(train, 20, 0)
    (plain,) = fed(batches, changes, 0, 1)
    assert plain.images.is_contiguous() and plain.images.dtype == torch.float32
    for dtype in (torch.float32, torch.bfloat16):
        layout = Layout(dtype, torch.channels_last)
        (found,) = fed(batches, changes, 0, 1, layout=layout)
        assert found.images.dtype == dtype and found.images.shape == (20, 3, 8, 8)
        assert found.images.is_contiguous(memory_format=torch.channels_last)
        assert same(found, replace(plain, images=plain.images.to(dtype)))


@pytest.mark.parametrize("settings", RECIPES, ids=str)
def test_images_that_lie_on_the_device_give_the_same(settings: dict[str, Any]) -> None:
    """And are whole to everybody else: chosen, cut, counted, scored."""
    train = images(40)
    there = on(train, "cpu")
    assert isinstance(there.pixels[np.array([3, 1])], torch.Tensor)
    assert np.array_equal(np.asarray(there.pixels), train.pixels)
    chosen, numbers = there.take(np.array([7, 2, 9])), np.array([2, 0])
    assert np.array_equal(chosen.pixels[numbers], np.asarray(train.pixels)[[9, 7]])
    assert np.array_equal(np.asarray(chosen.pixels), np.asarray(train.pixels)[[7, 2, 9]])
    recipe = Recipe(batch=7, **settings)
    changes = augmentation(recipe, PREPARATION, train)
    ours, theirs = (list(fed(Batches(each, 7, 0), changes, 0, 9)) for each in (there, train))
    assert all(map(same, ours, theirs))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    assert score(model, there, PREPARATION) == score(model, train, PREPARATION)


def test_only_a_gpu_is_given_the_images_to_keep() -> None:
    train = images(4)
    assert resident(train, "cpu") is train
    assert isinstance(on(train, "cpu").pixels, Resident)


def test_the_network_has_its_threads_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        train = images(40)
        for _ in fed(Batches(train, 7, 0), augmentation(Recipe(), PREPARATION, train), 0, 3):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# -- photos, decoded as they are needed


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of several sizes, in two classes, that are decoded on demand."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "0")
    for number in range(24):
        coarse = RANDOM.integers(60, 200, (4, 5, 3), dtype=np.uint8)
        size = (50 + number, 40)[:: 1 - 2 * (number % 2)]
        place = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(place)
    return tmp_path / "photos"


@pytest.mark.parametrize("settings", [{"area": (0.3, 1.0)}, {"scale": (16.0, 24.0)}], ids=str)
def test_parts_of_photos_are_those_of_the_photos_decoded_before(
    photos: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what scaling once instead of twice keeps; by any number of workers, to the bit."""
    input = Volume(14, 14, 3)
    recipe = Recipe(batch=6, flip="random", **settings)
    preparation = Preparation(input, (0.0,) * 3, (1 / 255,) * 3)  # levels
    streamed = load(photos, input=input).train
    assert isinstance(streamed.pixels.store, Streamed)  # type: ignore[attr-defined]
    monkeypatch.delenv("STRIATE_CACHE_LIMIT")
    stored = load(photos, input=input).train
    changes = augmentation(recipe, preparation, stored)
    ours, again, theirs = (
        list(fed(Batches(each, 6, 0), changes, 0, 6, workers=workers))
        for each, workers in ((streamed, 0), (streamed, 2), (stored, 0))
    )
    assert all(map(same, ours, again))
    for part, whole in zip(ours, theirs, strict=True):
        assert torch.equal(part.labels, whole.labels)
        away = (part.images - whole.images).abs()
        assert away.mean() < 2 and away.max() < 20


def test_a_photo_that_goes_is_named(photos: Path) -> None:
    input = Volume(14, 14, 3)
    train = load(photos, input=input).train
    changes = augmentation(
        Recipe(batch=6, area=(0.3, 1.0)), replace(PREPARATION, input=input), train
    )
    for place in (photos / "a").iterdir():
        place.write_bytes(b"")
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"\.png: the file is empty"):
            list(fed(Batches(train, 6, 0), changes, 0, 4, workers=workers))


# -- ahead


def working() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "ahead"]


@given(st.lists(st.integers(), max_size=9), st.integers(1, 4))
def test_items_come_in_their_order(items: list[int], most: int) -> None:
    assert list(ahead(iter(items), most)) == items
    assert not working()


def test_no_more_is_made_than_was_asked_for() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    found = ahead(numbers(), 3)
    for expected in range(20):
        assert next(found) == expected
        assert len(made) <= expected + 4
    found.close()  # type: ignore[attr-defined]
    assert not working()


def test_an_error_comes_in_its_turn() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise DataError("a file has gone")

    found = ahead(failing())
    assert next(found) == 1
    with pytest.raises(DataError, match="a file has gone"):
        next(found)
    assert not working() and list(found) == []


def test_a_reader_that_leaves_ends_what_is_made() -> None:
    """Also one that is forgotten; what made the items is closed, in its own thread."""
    closed: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(threading.current_thread().name)

    for leave in ("close", "forget", "never begin"):
        found = ahead(numbers())
        if leave != "never begin":
            assert next(found) == 0
        if leave == "close":
            found.close()  # type: ignore[attr-defined]
        del found
        assert not working()
    assert closed == ["ahead"] * 2
