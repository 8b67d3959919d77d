"""Views of images, each against what a person would cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.data import Images, Preparation
from striate.errors import DataError
from striate.evaluate import VIEWS, predict
from striate.layers import Volume

RANDOM = np.random.default_rng(0)
# Normalisation that does not keep zeros: what is added before it differs from what is after.
READY = Preparation(Volume(6, 9, 3), mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.1))


def stored(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(RANDOM.integers(0, 256, (4, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("size", [(6, 9), (4, 4), (8, 11), (8, 4), (6, 12)])
def test_views_fit_the_network_and_weigh_one(name: str, size: tuple[int, int]) -> None:
    """Whatever the size of the stored images; each view stands with its mirror."""
    found = VIEWS[name](stored(*size), READY)
    assert len(found) == {"1": 1, "flip": 2, "6": 6, "10": 10}[name]
    assert sum(weight for weight, _ in found) == pytest.approx(1)
    assert all(view.shape == (4, 3, 6, 9) and view.dtype == torch.float32 for _, view in found)
    for (weight, view), (other, mirror) in zip(found[::2], found[1::2], strict=False):
        assert weight == other and torch.equal(mirror, view.flip(3))


def test_the_first_of_the_six_and_the_last_of_the_ten_are_the_image_itself() -> None:
    for size in ((6, 9), (4, 4), (8, 11)):
        pixels = stored(*size)
        assert torch.equal(VIEWS["6"](pixels, READY)[0][1], READY(pixels))
        assert torch.equal(VIEWS["10"](pixels, READY)[-2][1], READY(pixels))


def test_six_views_shift_by_a_pixel_with_a_reflected_border() -> None:
    pixels = stored(6, 9)
    padded = np.pad(READY(pixels).numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    weights, views = zip(*VIEWS["6"](pixels, READY), strict=True)
    assert weights == (0.25, 0.25, 0.125, 0.125, 0.125, 0.125)
    assert np.array_equal(views[2].numpy(), padded[:, :, :-2, :-2])
    assert np.array_equal(views[4].numpy(), padded[:, :, 2:, 2:])


def test_ten_views_of_a_larger_image_are_its_corners_and_its_centre() -> None:
    pixels = stored(8, 12)
    views = [view for _, view in VIEWS["10"](pixels, READY)]
    cuts = [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]
    for view, (top, left) in zip(views[::2], cuts, strict=True):
        assert torch.equal(view, READY(pixels[:, top : top + 6, left : left + 9]))


def test_ten_views_of_an_image_that_is_no_larger_get_a_border_of_zeros() -> None:
    """An eighth of the side, after normalisation."""
    ready = Preparation(Volume(16, 24, 3), READY.mean, READY.deviation)
    pixels = stored(16, 24)
    padded = np.pad(ready(pixels).numpy(), ((0, 0), (0, 0), (2, 2), (3, 3)))
    views = [view.numpy() for _, view in VIEWS["10"](pixels, ready)]
    cuts = [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    for view, (top, left) in zip(views[::2], cuts, strict=True):
        assert np.array_equal(view, padded[:, :, top : top + 16, left : left + 24])


def test_a_mean_image_is_subtracted_from_each_crop() -> None:
    mean = RANDOM.random((6, 9, 3)).astype(np.float32)
    ready = Preparation(Volume(6, 9, 3), (0.5,) * 3, (1.0,) * 3, mean_image=mean)
    pixels = stored(8, 11)
    first = VIEWS["10"](pixels, ready)[0][1]
    expected = pixels[:, :6, :9].numpy() / 255 - mean
    assert np.allclose(first.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_six_views_need_a_border_to_reflect() -> None:
    ready = Preparation(Volume(1, 9, 3), READY.mean, READY.deviation)
    with pytest.raises(DataError, match="six views need an input of at least 2x2, not 1x9x3"):
        VIEWS["6"](stored(1, 9), ready)


@pytest.mark.parametrize("name", VIEWS)
def test_a_prediction_is_the_weighted_mean_over_views(name: str) -> None:
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Flatten(), nn.Linear(6 * 9 * 3, 5)) for _ in range(2)]
    pixels = stored(8, 11)
    images = Images(pixels.numpy(), np.array([0, 1, 2, 4]), tuple("abcde"))
    with torch.no_grad():
        expected = sum(
            weight / 2 * model(view).double().softmax(dim=1)
            for weight, view in VIEWS[name](pixels, READY)
            for model in models
        )
    found = predict(models, images, READY, views=name, batch=3)
    assert np.allclose(found.probabilities, expected)
    assert np.allclose(found.probabilities.sum(axis=1), 1)
