"""Images as the network gets them: fitted to its input and normalised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from striate.data import Images, Preparation, Splits, prepare
from striate.data import measure as measuring
from striate.data.measure import components, moments
from striate.errors import DataError, StriateError
from striate.layers import Volume
from striate.network import read

RANDOM = np.random.default_rng(0)


def images(*shape: int) -> Images:
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    return Images(pixels, np.arange(shape[0]) % 2, ("a", "b"))


def prepared(text: str, train: Images, normalisation: str = "channels") -> Preparation:
    return prepare(read(text), Splits("made", train, train, train), normalisation)


def fitted(pixels: np.ndarray, input: Volume) -> np.ndarray:
    """One image in the input volume, pixel by pixel: the slow way."""
    found = np.zeros(input)
    top, left = ((int(pixels.shape[axis]) - input[axis]) / 2 for axis in (0, 1))
    for row in range(input.height):
        for column in range(input.width):
            y, x = row + int(top), column + int(left)  # of an odd difference: towards the centre
            if 0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1]:
                found[row, column] = pixels[y, x]
    return found


@given(
    pixels=arrays(
        np.uint8, st.tuples(*[st.integers(1, n) for n in (3, 9, 9)], st.sampled_from([1, 3]))
    ),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_larger_images_are_cropped_smaller_ones_centred(
    pixels: np.ndarray, height: int, width: int
) -> None:
    """Each side by itself; grey is repeated; in numbers this is float32's (levels - mean) / s."""
    input = Volume(height, width, 3)
    mean, deviation = (0.1, 0.2, 0.3), (0.25, 0.5, 0.75)
    ready = Preparation(input, mean, deviation)(pixels)
    assert ready.shape == (len(pixels), 3, height, width)
    assert ready.dtype == torch.float32 and ready.is_contiguous()
    levels = np.stack([fitted(each, input) for each in pixels]).astype(np.float32)
    scale = np.float32(1) / (255 * np.array(deviation, dtype=np.float32))
    expected = (levels - np.array(mean, dtype=np.float32) * 255) * scale
    assert np.array_equal(ready.numpy(), expected.transpose(0, 3, 1, 2))


def test_smaller_images_are_measured_with_the_zeros_around() -> None:
    train = images(48, 4, 4, 1)
    ready = prepared("[7x4x1] fc-2", train)(train.pixels)
    assert ready.shape == (48, 1, 7, 4)
    assert ready.mean().item() == pytest.approx(0, abs=1e-5)
    assert ready.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_larger_images_are_measured_where_they_are_seen() -> None:
    train = images(20, 8, 9, 3)
    ready = prepared("[4x5x3] fc-2", train)(train.pixels)
    assert ready.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert ready.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_normalisations_do_what_their_names_say() -> None:
    train = images(20, 4, 4, 3)
    levels = torch.from_numpy(np.asarray(train.pixels).astype(np.float64)).permute(0, 3, 1, 2)
    expected = {
        "channels": (levels - levels.mean(dim=(0, 2, 3), keepdim=True))
        / levels.std(dim=(0, 2, 3), keepdim=True, correction=0),
        "mean": levels - levels.mean(dim=(0, 2, 3), keepdim=True),
        "mean-image": levels - levels.mean(dim=0, keepdim=True),
        "centred": levels / 255 - 0.5,
        "none": levels / 255,
    }
    for name, ready in expected.items():
        found = prepared("[4x4x3] fc-2", train, name)(train.pixels)
        assert torch.allclose(found, ready.float(), atol=1e-4), name
    with pytest.raises(StriateError, match="no normalisation 'centered': did you mean centred"):
        prepared("[4x4x3] fc-2", train, "centered")


def test_a_mean_image_is_of_the_input_and_grey_is_repeated_in_it() -> None:
    train = images(20, 4, 4, 1)
    preparation = prepared("[6x2x3] fc-2", train, "mean-image")
    assert preparation.mean_image is not None
    assert preparation.mean_image.shape == (6, 2, 3) and preparation.mean_image.dtype == np.float32
    assert torch.allclose(preparation(train.pixels).mean(dim=0), torch.zeros(3, 6, 2), atol=1e-4)


def test_measuring_in_parts_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    train = images(21, 5, 4, 3)
    whole = prepared("[4x4x3] fc-2", train, "mean-image"), components(train, 3)
    monkeypatch.setattr(measuring, "CHUNK", 130)
    parts = prepared("[4x4x3] fc-2", train, "mean-image"), components(train, 3)
    assert parts[0] == whole[0] and np.array_equal(parts[1], whole[1])


def test_means_and_deviations_are_of_exact_sums() -> None:
    """However many bright images there are."""
    pixels = RANDOM.integers(250, 256, (900, 3, 2, 1), dtype=np.uint8)
    whole = pixels.astype(np.int64)
    image, mean, deviation = moments(
        Images(pixels, np.arange(900) % 2, ("a", "b")), Volume(3, 2, 1)
    )
    assert np.array_equal(image * 900, whole.sum(axis=0))
    assert mean[0] == whole.sum() / whole.size
    assert deviation[0] == np.sqrt((whole**2).sum() / whole.size - mean[0] ** 2)


def test_of_a_huge_set_images_spread_over_it_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.repeat(np.arange(100, dtype=np.uint8), 4).reshape(100, 2, 2, 1)
    train = Images(pixels, np.arange(100) % 2, ("a", "b"))
    monkeypatch.setattr(measuring, "MOST", 40)
    assert prepared("[2x2x1] fc-2", train, "mean").mean[0] * 255 == pytest.approx(45)


def test_principal_components_make_up_the_covariance() -> None:
    """Their lengths are deviations; signs, which are arbitrary, are fixed."""
    colours = RANDOM.multivariate_normal([90] * 3, np.diag([900, 90, 9]) + 80, 4000)
    pixels = colours.clip(0, 255).astype(np.uint8).reshape(1000, 2, 2, 3)
    found = components(Images(pixels, np.arange(1000) % 2, ("a", "b")), 3)
    covariance = np.cov(pixels.reshape(-1, 3).T.astype(np.float64), bias=True)
    assert np.allclose(found @ found.T, covariance)
    assert np.allclose(found.T @ found, np.diag(np.linalg.eigvalsh(covariance)), atol=1e-6)
    assert (found.max(axis=0) >= -found.min(axis=0)).all()
    grey = components(images(10, 2, 2, 1), 3)
    assert np.allclose(grey[:, :2], 0, atol=1e-5) and np.ptp(grey[:, 2]) < 1e-6


def test_a_channel_that_never_changes_stays_finite() -> None:
    pixels = np.zeros((10, 2, 2, 3), dtype=np.uint8)
    pixels[..., 1] = 9
    same = Images(pixels, np.arange(10) % 2, ("a", "b"))
    for name in ("channels", "mean", "mean-image"):
        assert torch.allclose(prepared("[2x2x3] fc-2", same, name)(pixels), torch.zeros(()))


def test_read_only_pixels_tensors_and_views_are_the_same() -> None:
    """An array of a read-only map gives what an array does, and none is written to."""
    train = images(6, 4, 4, 3)
    preparation = prepared("[4x4x3] fc-2", train)
    pixels = np.array(train.pixels)
    expected = preparation(pixels)
    pixels.flags.writeable = False
    for same in (pixels, train.take(np.arange(6)).pixels, torch.tensor(pixels), pixels.copy()):
        assert torch.equal(preparation(same), expected)
    assert np.array_equal(pixels, np.asarray(train.pixels))
    assert preparation(pixels, "meta").device.type == "meta"


def test_scoring_leaves_nothing_behind_that_training_cannot_use() -> None:
    preparation = Preparation(Volume(2, 2, 1), (0.5,), (0.125,))
    with torch.inference_mode():
        preparation(np.zeros((1, 2, 2, 1), np.uint8))
    ready = preparation(np.zeros((1, 2, 2, 1), np.uint8))
    weight = torch.ones((), requires_grad=True)
    (ready * weight).sum().backward()
    assert weight.grad is not None and weight.grad.item() == pytest.approx(-16)


def test_preparations_are_equal_where_all_their_numbers_are() -> None:
    train = images(6, 4, 4, 3)
    first, second = (prepared("[4x4x3] fc-2", train, "mean-image") for _ in range(2))
    assert first == second and hash(first) == hash(second)
    assert first != replace(first, mean_image=None) != first
    assert first.mean_image is not None
    assert first != replace(first, mean_image=first.mean_image + 1)
    assert first != "first"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": (0.5, 0.5)}, "1 channels need as many means and deviations"),
        ({"deviation": (0.0,)}, "a deviation not above 0"),
        ({"mean": (float("nan"),)}, "a mean is not finite"),
        ({"mean_image": np.zeros((2, 3, 1), np.float32)}, "mean image is not a finite one of 2x2"),
        ({"mean_image": np.full((2, 2, 1), np.inf, np.float32)}, "is not a finite one"),
    ],
)
def test_what_cannot_be_computed_with_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(Preparation(Volume(2, 2, 1), (0.5,), (0.25,)), **fields)


@pytest.mark.parametrize(
    ("text", "train", "message"),
    [
        ("[4x4x1] fc-2", images(4, 5, 4, 3), r"5x4x3, .* takes 4x4x1: .* begin with \[4x4x3\]"),
        ("[4x4x2] fc-2", images(4, 5, 4, 1), r"5x4x1, .* takes 4x4x2: .* begin with \[4x4x1\]"),
        ("[4x4x1] fc-10", images(4, 4, 4, 1), "made has 2 classes, .* 1x1x10: .* end in fc-2"),
        ("[4x4x1] conv3-2", images(4, 4, 4, 1), "2 classes, but the network ends in .* 4x4x2"),
        ("[1x1x1] fc-2", images(1, 1, 1, 1), "made has 1 training image: too few"),
        ("[1x1x2] softmax", images(4, 1, 1, 2), "no weights or biases"),
    ],
)
def test_images_that_do_not_fit_are_refused(text: str, train: Images, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(text, train)
