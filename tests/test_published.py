"""torchvision's and timm's weights under the zoo's names, from recorded lists of names and shapes.

tests/published.json is what their own classes have: bench/peers/published.py writes it anew,
and bench/published.py compares the scores.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from striate import zoo
from striate.transfer.published import published

FACTS = json.loads((Path(__file__).parent / "published.json").read_text("utf-8"))
OURS = {"alexnet": "alexnet-one-weird-trick", "googlenet": "googlenet-torchvision"}
OURS |= {f"resnet{depth}": f"resnet{depth}-torchvision" for depth in (50, 101, 152)}


def recorded(name: str) -> dict[str, Tensor]:
    """Tensors without values, of the names and shapes of a peer's own class."""
    listed = FACTS[name]
    if isinstance(listed, str):
        return recorded(listed)
    shapes = {key: map(int, shape.split("x")) for key, shape in listed.items()}
    return {key: torch.empty(*shape, device="meta") for key, shape in shapes.items()}


@cache
def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Of the zoo's network."""
    with torch.device("meta"):
        state = zoo.read(name).build().state_dict()
    return {key: tuple(each.shape) for key, each in state.items() if "num_batches" not in key}


@pytest.mark.parametrize("name", FACTS)
def test_every_tensor_has_its_place_and_its_shape(name: str) -> None:
    model = name.partition(":")[2].replace("_", "-")
    found = published(recorded(name))
    assert found is not None and found.network == zoo.read(OURS.get(model, model))
    expected = shapes(OURS.get(model, model))
    given = {key: tuple(each.shape) for key, each in found.weights.items()}
    assert {key: given[key] for key in expected} == expected
    left = given.keys() - expected.keys()
    assert all(key.startswith("aux") for key in left), left


def test_networks_of_both_libraries_are_recorded() -> None:
    libraries = [name.partition(":")[0] for name in FACTS]
    assert libraries.count("torchvision") == 15 and libraries.count("timm") == 13


def test_a_head_for_other_classes_or_none_is_the_same_network() -> None:
    weights = recorded("torchvision:resnet18")
    other = weights | {"fc.weight": torch.empty(5, 512), "fc.bias": torch.empty(5)}
    found = published(other)
    assert found is not None and found.network == zoo.read("resnet18")


def test_a_relative_of_a_family_is_of_no_network_here() -> None:
    """A wide or grouped ResNet has the same names, and other shapes."""
    weights = recorded("torchvision:resnet50")
    name = "layer1.0.conv2.weight"
    wide = weights | {name: torch.empty(128, 64, 3, 3, device="meta")}
    found = published(wide)
    assert found is not None and found.family == "ResNet" and found.network is None
    assert published({"conv1.weight": weights["conv1.weight"]}) is None


def test_googlenet_was_trained_on_other_pixels_than_its_relatives() -> None:
    prepared = {name: published(recorded(f"torchvision:{name}")) for name in ("googlenet", "vgg16")}
    assert prepared["googlenet"] is not None and prepared["googlenet"].mean == (0.5, 0.5, 0.5)
    assert prepared["vgg16"] is not None and prepared["vgg16"].mean == (0.485, 0.456, 0.406)


def test_names_that_only_look_like_a_familys_are_left_as_they_are() -> None:
    weights = recorded("torchvision:vgg11")
    odd = {"features.099.weight": torch.zeros(1), "features.٣.weight": torch.zeros(1)}
    found = published(weights | odd)
    assert found is not None and found.network == zoo.read("vgg11")
    assert odd.keys() <= found.weights.keys()
