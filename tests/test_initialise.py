"""How weights start: the schemes' formulas, and what identity and whitening do to an image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import RunError
from striate.initialise import INITIALISATIONS, initialise
from striate.network import read
from striate.recipes import recipe
from striate.whitening import first_convolution, whiten

LAYERS = {
    "3x3x3": nn.Conv2d(3, 2000, 3),
    "3x3x64": nn.Conv2d(64, 200, 3),
    "3x3x512": nn.Conv2d(512, 30, 3),
    "FC 4096": nn.Linear(4096, 40),
}


@pytest.mark.parametrize(
    ("layer", "deviation"),
    [("3x3x3", 0.27217), ("3x3x64", 0.058926), ("3x3x512", 0.020833), ("FC 4096", 0.022097)],
)
def test_he_draws_with_the_deviations_worked_out_by_hand(layer: str, deviation: float) -> None:
    torch.manual_seed(0)
    initialise(LAYERS[layer], "he")
    assert LAYERS[layer].weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert not LAYERS[layer].bias.any()


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    {
        "xavier": math.sqrt(2 / (27 + 18000)),
        "fan-in": math.sqrt(1 / 27),
        "small": 0.01,
        "lecun": 2.4 / 27 / math.sqrt(3),
        "constant": 0.0,
    }.items(),
)
def test_the_other_schemes_draw_with_the_deviation_of_their_formula(
    scheme: str, deviation: float
) -> None:
    """Of a 3x3 convolution of 3 channels with 2,000 filters."""
    torch.manual_seed(0)
    initialise(LAYERS["3x3x3"], scheme)
    assert LAYERS["3x3x3"].weight.std().item() == pytest.approx(deviation, rel=0.02, abs=1e-6)


def test_lecuns_are_spread_evenly_between_their_bounds() -> None:
    initialise(LAYERS["3x3x3"], "lecun")
    weights = LAYERS["3x3x3"].weight.abs() / (2.4 / 27)
    assert weights.max() <= 1 and weights.mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_identity_passes_the_input_on_in_each_groups_first_filters(
    groups: int, kernel: int
) -> None:
    """And the rest is drawn as PyTorch draws a convolution."""
    layer = nn.Conv2d(4, 300, kernel, padding=kernel // 2, groups=groups)
    initialise(layer, "identity")
    image = torch.randn(2, 4, 6, 5)
    volume = layer(image).unflatten(1, (groups, -1))
    assert torch.allclose(volume[:, :, : 4 // groups], image.unflatten(1, (groups, -1)), atol=1e-6)
    rest = layer.weight.unflatten(0, (groups, -1))[:, 4 // groups :]
    fan_in = 4 // groups * kernel**2
    assert rest.abs().max() <= 1 / math.sqrt(fan_in)
    assert rest.std().item() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.1)


def test_identity_with_fewer_filters_than_channels_passes_the_first_ones_on() -> None:
    layer = nn.Conv2d(4, 2, 3, padding=1)
    initialise(layer, "identity")
    image = torch.randn(2, 4, 6, 5)
    assert torch.allclose(layer(image), image[:, :2], atol=1e-6)


def test_a_recipe_knows_the_schemes_and_no_others() -> None:
    assert tuple(INITIALISATIONS) == recipe.INITIALISATIONS


# -- whitening


def images(count: int = 40) -> torch.Tensor:
    """Neighbouring pixels and the three channels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 3, 12, 12, generator=generator)
    return nn.functional.avg_pool2d(noise, 3, 1) + noise.mean(dim=1, keepdim=True)[:, :, 1:-1, 1:-1]


def test_whitened_outputs_are_uncorrelated_with_a_variance_of_1() -> None:
    """And the second half of the filters are the first's negatives."""
    layer = nn.Conv2d(3, 24, 2)
    initialise(layer, "he")
    whiten(layer, images(), epsilon=0.0)
    outputs = layer(images()).detach().transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(outputs[:12], correction=0), torch.eye(12), atol=1e-3)
    assert torch.equal(layer.weight[12:], -layer.weight[:12])
    assert not layer.weight.requires_grad and layer.bias.requires_grad


def test_epsilon_keeps_directions_without_variance_finite() -> None:
    layer = nn.Conv2d(1, 8, 2)
    whiten(layer, torch.ones(3, 1, 5, 5))
    assert layer.weight.isfinite().all()
    assert layer.weight.flatten(1).norm(dim=1).max().item() == pytest.approx(1 / math.sqrt(5e-4))


@pytest.mark.parametrize("filters", [1, 5, 6])
def test_fewer_filters_keep_the_directions_of_most_variance(filters: int) -> None:
    full, some = nn.Conv2d(3, 24, 2), nn.Conv2d(3, filters, 2)
    whiten(full, images())
    whiten(some, images())
    pairs = (filters + 1) // 2
    expected = torch.cat((full.weight[:pairs], full.weight[12 : 12 + filters - pairs]))
    assert torch.equal(some.weight, expected)
    sizes = full.weight[:12].flatten(1).norm(dim=1)
    assert bool((sizes.diff() >= 0).all()), "the most variance is divided by the most"


@pytest.mark.parametrize(
    ("layer", "count", "message"),
    [
        (nn.Conv2d(3, 25, 2), 5, "cannot fill 25 filters: a patch of 2x2x3 has 12 directions"),
        (nn.Conv2d(3, 6, 2, groups=3), 5, "without groups"),
        (nn.Conv2d(3, 6, 11), 5, "images as large as"),
        (nn.Conv2d(3, 6, 2), 0, "images as large as"),
    ],
)
def test_what_cannot_whiten_is_said(layer: nn.Conv2d, count: int, message: str) -> None:
    with pytest.raises(RunError, match=message):
        whiten(layer, images(count))


def test_the_first_convolution_of_a_network_is_found_or_missed() -> None:
    assert first_convolution(read("airbench").build()).out_channels == 24
    with pytest.raises(RunError, match="begins with a convolution"):
        first_convolution(read("two-layer").build())
