"""Scores are exact counts, over processes too; predictions are means of probabilities."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate.data import Images, Preparation
from striate.errors import DataError, StriateError
from striate.evaluate import ScoresNotFinite, average, predict, score, shard, summarise
from striate.layers import Volume

CLASSES = 12


class Lookup(nn.Module):
    """Gives each image the scores in the row that its only pixel names."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)
        self.modes: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training or torch.is_grad_enabled())
        return self.rows[(images.flatten() * 255).round().long()]


PLAIN = Preparation(Volume(1, 1, 1), mean=(0.0,), deviation=(1.0,))


def numbered(labels: np.ndarray) -> Images:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Images(pixels, labels.astype(np.int64), tuple(map(str, range(CLASSES))))


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of 200 images; scores come from few values, so that many are equal."""
    chance = np.random.default_rng(1)
    rows = chance.integers(0, 6, (200, CLASSES)).astype(np.float32)
    return rows, chance.integers(0, CLASSES, 200)


@pytest.mark.parametrize("batch", [1, 7, 200, 256])
def test_a_score_is_what_a_person_would_count(batch: int) -> None:
    """Whatever the batch."""
    rows, labels = drawn()
    wrong1 = wrong5 = 0
    loss = 0.0
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        order = sorted(range(CLASSES), key=lambda each, row=row: (-row[each], each))
        wrong1 += order[0] != label
        wrong5 += label not in order[:5]
        loss += math.log(sum(math.exp(each) for each in row)) - row[label]
    found = score(Lookup(torch.from_numpy(rows)), numbered(labels), PLAIN, batch=batch)
    assert (found.count, found.top1_error, found.top5_error) == (200, wrong1 / 200, wrong5 / 200)
    assert found.loss == pytest.approx(loss / 200)


def test_a_network_that_says_the_same_of_all_is_right_by_chance_alone() -> None:
    found = score(Lookup(torch.zeros(120, CLASSES)), numbered(np.arange(120) % CLASSES), PLAIN)
    assert found.top1_error == pytest.approx(11 / 12)
    assert found.top5_error == pytest.approx(7 / 12)
    assert found.loss == pytest.approx(math.log(CLASSES))


def test_with_five_classes_no_top5_error_is_possible() -> None:
    images = Images(np.zeros((5, 1, 1, 1), np.uint8), np.arange(5), tuple("abcde"))
    assert score(Lookup(torch.zeros(1, 5)), images, PLAIN).top5_error == 0


@pytest.mark.parametrize("training", [True, False])
def test_scoring_neither_trains_nor_leaves_a_trace(training: bool) -> None:
    model = Lookup(torch.zeros(3, CLASSES)).train(training)
    score(model, numbered(np.arange(3)), PLAIN)
    assert model.modes == [False]
    assert model.training is training


def test_scores_that_are_not_numbers_are_an_error_and_restore_the_mode() -> None:
    rows = torch.zeros(3, CLASSES)
    rows[2, 4] = math.nan
    model = Lookup(rows).train()
    with pytest.raises(ScoresNotFinite, match="scores of images 2 and on are not finite"):
        score(model, numbered(np.arange(3)), PLAIN, batch=2)
    assert model.training


# -- over processes


@given(count=st.integers(0, 50), world=st.integers(1, 9))
def test_shares_are_all_positions_once_and_nearly_equal(count: int, world: int) -> None:
    shares = [shard(count, rank, world) for rank in range(world)]
    assert np.concatenate(shares).tolist() == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def scored_by_a_rank(rank: int, folder: Path) -> None:
    """What one of two processes gets: two scores, and an error that the other's share causes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2)
    rows, labels = drawn()
    found = [
        score(Lookup(torch.from_numpy(rows)), numbered(labels[:count]), PLAIN, batch=7)
        for count in (1, 199)
    ]
    rows[3] = math.nan
    try:
        score(Lookup(torch.from_numpy(rows)), numbered(labels), PLAIN, batch=2)
    except ScoresNotFinite as error:
        text = json.dumps([*map(asdict, found), str(error)])
        (folder / f"{rank}.json").write_text(text)
    dist.destroy_process_group()


def test_two_processes_count_as_one_does(tmp_path: Path) -> None:
    """Also of an odd number of images, and of fewer images than processes."""
    torch.multiprocessing.spawn(scored_by_a_rank, (tmp_path,), nprocs=2)
    rows, labels = drawn()
    for rank in (0, 1):
        *found, error = json.loads((tmp_path / f"{rank}.json").read_text())
        assert error == "the network's scores of images 2 and on are not finite"
        for count, other in zip((1, 199), found, strict=True):
            alone = asdict(score(Lookup(torch.from_numpy(rows)), numbered(labels[:count]), PLAIN))
            assert other.pop("loss") == pytest.approx(alone.pop("loss"), rel=1e-12)
            assert other == alone


# -- predictions


def test_predictions_of_one_network_are_its_softmax_and_give_its_score() -> None:
    rows, labels = drawn()
    images, model = numbered(labels), Lookup(torch.from_numpy(rows)).train()
    told: list[tuple[str, int, int]] = []
    found = predict([model], images, PLAIN, batch=64, tell=lambda *what: told.append(what))
    assert np.allclose(found.probabilities, torch.from_numpy(rows).softmax(dim=1).numpy())
    assert found.classes == images.classes and np.array_equal(found.labels, labels)
    assert model.training and not any(model.modes)
    assert told[0] == ("scoring", 0, 200) and told[-1] == ("scoring", 200, 200)
    summary, counted = summarise(found), score(model, images, PLAIN)
    assert summary.errors[1].fraction == counted.top1_error
    assert summary.errors[5].fraction == counted.top5_error
    assert summary.loss == pytest.approx(counted.loss)


def test_a_probability_too_small_for_a_float_keeps_its_rank_and_its_loss() -> None:
    rows = torch.tensor([[3000.0, 1000.0, 2000.0] + [0.0] * 9])
    found = predict([Lookup(rows)], numbered(np.array([1])), PLAIN)
    summary = summarise(found, tops=(1, 2, 3))
    assert summary.loss == pytest.approx(2000)
    assert [summary.errors[k].wrong for k in (1, 2, 3)] == [1, 1, 0]


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    """Of models together, or of predictions made one by one."""
    rows, labels = drawn()
    models = [Lookup(torch.from_numpy(np.roll(rows, each, axis=1))) for each in range(7)]
    images = numbered(labels)
    alone = [predict([model], images, PLAIN) for model in models]
    mean = np.mean([each.probabilities for each in alone], axis=0)
    assert np.allclose(predict(models, images, PLAIN).probabilities, mean)
    assert np.allclose(average(alone).probabilities, mean)
    with pytest.raises(DataError, match="same images and classes"):
        average([alone[0], predict(models[:1], numbered(labels[::-1].copy()), PLAIN)])


def test_predictions_that_are_not_numbers_are_an_error() -> None:
    rows = torch.zeros(3, CLASSES)
    rows[2, 4] = math.inf
    with pytest.raises(ScoresNotFinite, match="scores of images 2 and on are not finite"):
        predict([Lookup(rows)], numbered(np.arange(3)), PLAIN, batch=2)
    with pytest.raises(StriateError, match="there is no views '7'"):
        predict([Lookup(rows)], numbered(np.arange(3)), PLAIN, views="7")
