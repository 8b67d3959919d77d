"""What the lab keeps of a run, how often it looks, and what it says of the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import striate
from striate.data import Images
from striate.lab import curves, shown, timeline, vitals
from striate.lab.curves import Curve
from striate.lab.looks import Looks
from striate.lab.sentences import diagnosed
from striate.lab.some import some
from striate.lab.timeline import Timeline
from striate.see.maps import visible

# -- what is kept


def test_a_curve_stays_short_and_keeps_the_mean() -> None:
    curve = Curve()
    for x in range(50_000):
        curve.add(x, x % 7)
    points = curve.points()
    assert curves.MOST / 2 <= len(points) <= curves.MOST + 1
    assert points[:-1, 1].mean() == pytest.approx(3, abs=0.05)
    assert (np.diff(points[:, 0]) > 0).all()


def test_a_timeline_stays_short_and_even() -> None:
    kept = Timeline[int]()
    for seen in range(0, 320_000, 32):
        if kept.wants(seen):
            kept.keep(seen, seen)
    gaps = np.diff(list(kept))
    assert timeline.MOST / 2 <= len(list(kept)) <= timeline.MOST
    assert gaps.max() <= 4 * gaps.min()
    assert kept.at(100_000) == max(each for each in kept if each <= 100_000)
    assert kept.at(-1) is None


def test_looking_takes_its_share_of_the_time_and_the_dear_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock of its own: a dear way of 100 ms, a cheap one of 1 ms, steps of 10 ms."""
    now = [0.0]
    monkeypatch.setattr("striate.lab.looks.perf_counter", lambda: now[0])
    counts = {"dear": 0, "cheap": 0}

    def way(name: str, seconds: float) -> None:
        counts[name] += 1
        now[0] += seconds

    looks = Looks({"dear": lambda: way("dear", 0.1), "cheap": lambda: way("cheap", 0.001)})
    for _ in range(20_000):
        now[0] += 0.01
        looks.trained += 0.01
        if (topic := looks.due()) is not None:
            looks.look(topic)
    assert looks.cost < looks.share
    assert counts["dear"] > 15 and counts["cheap"] > 600


# -- what the numbers say


def test_the_sentences_name_what_is_wrong_with_their_evidence() -> None:
    falling = [2.3 * 0.99**n for n in range(200)]
    said = {
        "Nothing stands out.": diagnosed(falling, 10, 0.9, 0.88, []),
        "training exploded": diagnosed([2.3, math.nan], 10, None, None, []),
        "too high": diagnosed([2.3] * 20 + [9.0] * 20, 10, None, None, []),
        "still that of a guess": diagnosed([2.31] * 150, 10, None, None, []),
        "come to a halt": diagnosed([2.3] + [1.2] * 150, 10, None, None, []),
        "overfitting": diagnosed(falling, 10, 0.99, 0.7, []),
        "dead": diagnosed(falling, 10, 0.9, 0.9, [vitals.Reading("dead", "relu1", 0.6, False, "")]),
        "Updates are large": diagnosed(
            falling, 10, 0.9, 0.9, [vitals.Reading("update / weights", "conv1", 0.1, False, "")]
        ),
        "it learns slowly": diagnosed(
            falling, 10, 0.9, 0.9, [vitals.Reading("update / weights", "conv1", 1e-6, False, "")]
        ),
    }
    for words, sentences in said.items():
        assert any(words in each.says for each in sentences), words
        assert all(each.evidence for each in sentences)


def test_a_dead_unit_fires_on_no_image_and_a_sparse_one_is_alive() -> None:
    model = striate.read("[4x4x1] conv1-3 relu fc-2 softmax").build()
    with torch.no_grad():
        model.conv1.weight[:] = 1.0
        model.conv1.bias[:] = torch.tensor([-100.0, -2.0, 0.0])
    probe = torch.rand(8, 1, 4, 4)
    probe[3, 0, 2, 2] = 5.0  # the second fires at this place alone
    found = vitals.of_activations(model, probe, [name for name, _ in model.named_children()])
    (dead,) = (each for each in found if each.name == "dead")
    assert dead.value == pytest.approx(1 / 3)


def test_updates_are_measured_by_what_the_weights_did() -> None:
    before = {"conv1.weight": torch.ones(2, 3, 3, 3), "conv1.bias": torch.ones(2)}
    after = {"conv1.weight": torch.full((2, 3, 3, 3), 1.001), "conv1.bias": torch.ones(2)}
    (found,) = vitals.update_ratios(before, after)
    assert found.value == pytest.approx(1e-3, rel=1e-3) and found.good


def test_noise_has_a_roughness_of_one_and_a_plane_of_none() -> None:
    chance = torch.Generator().manual_seed(0)
    assert vitals.roughness(torch.randn(500, 3, 7, 7, generator=chance)) == pytest.approx(
        1, abs=0.05
    )
    assert vitals.roughness(torch.ones(4, 3, 5, 5)) == 0
    plane = torch.arange(7.0).expand(1, 1, 7, 7)
    assert (vitals.roughness(plane) or 1) < 0.2
    assert vitals.roughness(torch.ones(4, 3, 3, 3)) is None


# -- what is shown, in NumPy


def levels(values: Any, largest: Any) -> Any:
    return np.round(128 + 127 * np.clip(values / np.maximum(largest, 1e-30), -1, 1)).astype(
        np.uint8
    )


@pytest.mark.parametrize("scale", ["map", "layer", "network"])
def test_maps_and_gradients_are_bytes_around_the_grey_of_zero(scale: str) -> None:
    torch.manual_seed(0)
    model, image = striate.read("[8x8x1] conv3-4 relu fc-3 softmax").build(), torch.randn(1, 8, 8)
    layers = ["conv1", "relu1"]
    header, sent = shown.of_image(model, image, 2, layers, scale)
    conv1 = model.conv1(image[None])
    relu1 = conv1.relu()
    loss = torch.nn.functional.cross_entropy(model(image[None]), torch.tensor([2]))
    assert header["loss"] == pytest.approx(float(loss.detach()))
    maps = {"conv1": conv1, "relu1": relu1}
    values = {name: each[0].detach().numpy() for name, each in maps.items()}
    over = {name: np.abs(each).max() for name, each in values.items()}
    for name in layers:
        largest = {
            "map": np.abs(values[name]).max(axis=(1, 2), keepdims=True),
            "layer": over[name],
            "network": max(over.values()),
        }[scale]
        assert (sent[f"{name}/activations"] == levels(values[name], largest)).all()
    column = model.fc1.weight.detach().numpy()
    scores = (torch.softmax(model(image[None]), 1)[0] - torch.eye(3)[2]).detach().numpy()
    slope = (scores @ column).reshape(4, 8, 8)  # of the loss, at relu1
    lows = [each["gradients"][0] for each in header["layers"]]
    assert lows[1] == pytest.approx(float(slope.min()), rel=1e-4)
    assert lows[0] == pytest.approx(float((slope * (values["conv1"] > 0)).min()), rel=1e-4)


def test_filters_are_bytes_and_their_parameters_are_counted_as_one_counts() -> None:
    torch.manual_seed(0)
    network = striate.read("[8x8x1] conv3-4 bn relu fc-3 softmax")
    model = network.build()
    layers = {step.name: step.met for step in visible(network, model)}
    header, sent = shown.of_weights(model, layers)
    weight = model.conv1.weight.detach().numpy()
    assert (sent["conv1/weights"] == levels(weight, np.abs(weight).max())[:, 0]).all()
    column = model.fc1.weight.detach().numpy().reshape(3, 4, 8, 8)  # as the volume it meets
    drawn = levels(column, np.abs(column).max())[:, : shown.CHANNELS]
    assert (sent["fc1/weights"] == drawn.reshape(-1, 8, 8)).all()
    counts, _ = np.histogram(weight, bins=shown.BINS)
    assert sent["conv1/histogram"].sum() == counts.sum() == 36
    told = {each["name"]: each["parameters"] for each in header["layers"]}
    assert told == {
        "conv1": "4 · 1 · 3 · 3 = 36",
        "bn1": "4 + 4 = 8",
        "fc1": "3 · 256 + 3 = 771",
    }


def test_a_few_images_stand_for_all_classes_of_a_set_that_lies_class_by_class() -> None:
    labels = np.repeat(np.arange(10), 100)
    images = Images(np.zeros((1000, 1, 1, 1), dtype=np.uint8), labels, tuple("0123456789"))
    assert set(labels[some(images, 20)]) == set(range(10))
    assert list(some(images.take(np.arange(3)), 20)) == [0, 1, 2]
