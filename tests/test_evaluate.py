"""Scores are exact counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from striate.data import Images, Preparation
from striate.errors import RunError
from striate.evaluate import score
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


@pytest.mark.parametrize("batch", [1, 7, 200, 256])
def test_a_score_is_what_a_person_would_count(batch: int) -> None:
    """Whatever the batch; scores are drawn from few values, so that many are equal."""
    chance = np.random.default_rng(1)
    rows = chance.integers(0, 6, (200, CLASSES)).astype(np.float32)
    labels = chance.integers(0, CLASSES, 200)
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
    with pytest.raises(RunError, match="scores of images 2 and on are not finite"):
        score(model, numbered(np.arange(3)), PLAIN, batch=2)
    assert model.training
