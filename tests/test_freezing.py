"""Frozen layers: they stay as they are to the bit, cost no gradient, and are computed once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from torch import nn

from striate import features as kept_features
from striate.compute import Compute
from striate.containers import Chain
from striate.data import Splits, prepare
from striate.data.folders import cache_folder
from striate.errors import RunError
from striate.features import Shortened, shortened
from striate.freezing import fixed, frozen
from striate.network import Network, read
from striate.recipes import Recipe
from striate.records import Evaluated, Featured, Record, Started, Stepped, Warned
from striate.state import State, initial
from striate.train import train

NET = read(
    "[4x4x1] conv3-4 bn relu add(conv3-4 bn | id) relu maxpool2 fc-6 relu dropout(0.5) fc-3 softmax"
)
SEEN = ["conv1", "bn1", "add1.branch1.conv1", "add1.branch1.bn1", "fc1"]  # frozen features
STILL = Recipe(epochs=2, batch=10, learning_rate=0.1, weight_decay=0.01, average=0.9)


def data(fingerprint: str = "") -> Splits:
    return replace(toy.splits(), fingerprint=fingerprint)


def trained(recipe: Recipe, network: Network = NET, splits: Splits | None = None) -> Trained:
    splits = splits or data()
    preparation = prepare(network, splits)
    model = initial(network, recipe)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    state = State(model, recipe)
    return before, state, list(train(state, splits, preparation))


Trained = tuple[dict[str, torch.Tensor], State, list[Record]]


@pytest.mark.parametrize(
    "change",
    [{}, {"flip": "random"}, {"mixup": 0.2}, {"accumulate": 2}, {"rule": "adam", "max_norm": 1.0}],
    ids=str,
)
@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_frozen_layers_do_not_change_by_a_bit(change: dict[str, object], engine: str) -> None:
    """Statistics of normalisations, their counts and the averaged weights neither."""
    recipe = replace(STILL, freeze="features", **change)  # type: ignore[arg-type]
    splits, compute = data(), Compute(engine=engine, memory_format="channels_last")
    preparation = prepare(NET, splits)
    model = compute.place(initial(NET, recipe))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    state = State(model, recipe)
    list(train(state, splits, preparation, compute=compute))
    for weights in (state.model.state_dict(), state.weights()):
        changed = {name for name, each in weights.items() if not torch.equal(each, before[name])}
        assert changed == {"fc2.weight", "fc2.bias"}
    assert all(each.grad is None for name, each in model.named_parameters() if "fc2" not in name)


def test_the_first_layers_stay_and_the_others_learn() -> None:
    before, state, _ = trained(replace(STILL, freeze=1))
    now = state.model.state_dict()
    same = {name for name, each in now.items() if torch.equal(each, before[name])}
    assert {name.partition(".")[0] for name in same} == {"conv1", "bn1"}
    trained_parameters = sum(
        each.numel() for each in state.model.parameters() if each.requires_grad
    )
    assert sum(each.weight.numel() for each in state.optimiser.held.values()) == trained_parameters


def names(model: nn.Module, modules: list[nn.Module]) -> list[str]:
    found = {id(each): name for name, each in model.named_modules()}
    return [found[id(each)] for each in modules if list(each.parameters(recurse=False))]


@pytest.mark.parametrize(
    ("text", "freeze", "frozen_layers", "parts"),
    [
        (str(NET), "features", SEEN, ["conv1", "bn1", "relu1", "add1", "relu2", "maxpool1"]),
        (str(NET), 2, SEEN[:4], ["conv1", "bn1", "relu1", "add1", "relu2", "maxpool1"]),
        (str(NET), 1, SEEN[:2], ["conv1", "bn1", "relu1"]),
        ("[4x4x1] conv3-4 relu dropout(0.5) avgpool fc-3", "features", ["conv1"], ["conv1"]),
        # What is recalled later cannot be left behind, and is computed with what recalls it.
        (
            "[4x4x1] conv1-2 a: conv3-4 relu conv3-4 relu add(id | @a conv1-4) avgpool fc-3",
            3,
            ["conv1", "a", "conv2"],
            ["conv1"],
        ),
    ],
)
def test_what_is_frozen_and_what_can_be_computed_once(
    text: str, freeze: int | str, frozen_layers: list[str], parts: list[str]
) -> None:
    recipe = Recipe(freeze=freeze)
    model = read(text).build()
    assert names(model, frozen(model, recipe)) == frozen_layers
    flow = model.flow[: fixed(model, recipe)]
    assert list(flow[: len(parts)]) == parts
    assert all("fc2" not in name and "dropout" not in name for name in flow)


@pytest.mark.parametrize("freeze", [3, 99])
def test_something_must_be_left_to_train(freeze: int) -> None:
    with pytest.raises(RunError, match=f"freeze={freeze} leaves nothing to train"):
        initial(read("[4x4x1] conv3-4 relu conv3-4 avgpool fc-3"), Recipe(freeze=freeze))


def test_a_network_of_one_layer_has_no_features() -> None:
    with pytest.raises(RunError, match="nothing to freeze: the network has 1 layers"):
        initial(read("[4x4x1] fc-3"), Recipe(freeze="features"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [("feature", "'features' or a number"), (0, "at least 1"), (-1, "at least 1")],
)
def test_settings_that_cannot_be(setting: int | str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        Recipe(freeze=setting)
    with pytest.raises(RunError, match="choose one"):
        Recipe(freeze=1, whiten=True)


# -- computed once


def test_features_give_the_same_training_as_images() -> None:
    """The loss of each step and the scores, within rounding; the order of images is the same."""
    recipe = replace(STILL, freeze="features", validation=0.2)
    network = read(str(NET).replace("dropout(0.5)", "id"))
    once, other = (trained(each, network) for each in (recipe, replace(recipe, brightness=1e-12)))
    assert isinstance(once[2][1], Featured) and isinstance(other[2][1], Warned)
    for kind, field in ((Stepped, "loss"), (Stepped, "wrong"), (Evaluated, "score")):
        first, second = (
            [getattr(each, field) for each in found[2] if isinstance(each, kind)]
            for found in (once, other)
        )
        if field == "score":
            first, second = ([each.loss for each in scores] for scores in (first, second))
        assert first == pytest.approx(second, rel=1e-4)


def test_features_are_kept_and_found_again() -> None:
    """By another run with another head; not where the weights, the images or their mean differ."""
    recipe = replace(STILL, freeze="features")
    splits = data("first")
    preparation = prepare(NET, splits)
    model = initial(NET, recipe)

    def found(**change: object) -> tuple[bool, Shortened]:
        given = {"splits": splits, "preparation": preparation, "model": model} | change
        made = shortened(
            given["model"],
            recipe,
            given["splits"],
            given["preparation"],
            Compute(),  # type: ignore[arg-type]
        )
        assert isinstance(made, Shortened)
        return made.kept, made

    computed, first = found()
    assert not computed
    with torch.no_grad():
        model.fc2.weight.zero_()
    again, second = found()
    assert again and np.array_equal(first.train.pixels, second.train.pixels)
    assert not found(splits=data("second"))[0]
    assert not found(preparation=replace(preparation, mean=(0.1,)))[0]
    with torch.no_grad():
        model.bn1.running_mean.add_(1)
    assert not found()[0]


def test_damaged_features_are_computed_again() -> None:
    recipe = replace(STILL, freeze="features")
    splits, preparation = data("damaged"), prepare(NET, data())
    model = initial(NET, recipe)
    first = shortened(model, recipe, splits, preparation, Compute())
    assert isinstance(first, Shortened)
    expected = np.array(first.train.pixels)
    for path in (cache_folder() / "features").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-5])
    second = shortened(model, recipe, splits, preparation, Compute())
    assert isinstance(second, Shortened) and np.array_equal(expected, second.train.pixels)


def test_without_room_they_are_computed_in_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "10")
    monkeypatch.setattr(kept_features, "IN_MEMORY", 10)
    _, _, records = trained(replace(STILL, freeze="features"), splits=data("no room"))
    assert isinstance(records[0], Started) and isinstance(records[1], Warned)
    assert "anew: they would take 0.0 GiB" in records[1].message


@pytest.mark.parametrize("setting", kept_features.STILL)
def test_whatever_changes_images_at_random_is_known(setting: str) -> None:
    """Each augmentation's usual value is the one that changes nothing."""
    assert getattr(Recipe(), setting) == kept_features.STILL[setting]


def test_the_rest_is_the_networks_own() -> None:
    recipe = replace(STILL, freeze="features")
    splits, model = data(), initial(NET, recipe)
    found = shortened(model, recipe, splits, prepare(NET, splits), Compute())
    assert isinstance(found, Shortened) and isinstance(found.rest, Chain)
    images = prepare(NET, splits)(splits.train.pixels[:])
    model.eval()
    with torch.inference_mode():
        whole, rest = model(images), found.rest(torch.from_numpy(np.array(found.train.pixels)))
    assert torch.allclose(whole, rest, atol=1e-6)
    assert Path(found.after).name == found.after == "relu3"
