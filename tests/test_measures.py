"""What is counted of predictions, against scikit-learn, SciPy and slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, top_k_accuracy_score

from striate.evaluate import Predictions, Rate, summarise
from striate.evaluate.measures import calibration

CLASSES = 8
NAMES = tuple("abcdefgh")


def drawn(count: int = 500, classes: int = CLASSES) -> Predictions:
    """Predictions that are often right."""
    chance = np.random.default_rng(3)
    labels = chance.integers(0, classes, count)
    scores = chance.normal(0, 1.5, (count, classes))
    scores[np.arange(count), labels] += 2
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return Predictions(logs, labels, NAMES[:classes])


@given(st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_interval_is_wilsons(counts: tuple[int, int]) -> None:
    wrong, count = counts
    low, high = Rate(wrong, count).interval
    expected = binomtest(wrong, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= wrong / count <= high <= 1


def test_nothing_counted_says_nothing() -> None:
    assert math.isnan(Rate(0, 0).fraction)
    assert Rate(0, 0).interval == (0, 1)


def test_errors_loss_and_confusion_are_scikit_learns() -> None:
    found = drawn()
    summary = summarise(found, tops=(1, 2, 5, 8, 20))
    said = found.log_probabilities.argmax(axis=1)
    everyone = np.arange(CLASSES)
    for k in (1, 2, 5):
        right = top_k_accuracy_score(found.labels, found.probabilities, k=k, labels=everyone)
        assert summary.errors[k].fraction == pytest.approx(1 - right)
    assert summary.errors[8].wrong == summary.errors[20].wrong == 0
    assert summary.loss == pytest.approx(log_loss(found.labels, found.probabilities))
    matrix = confusion_matrix(found.labels, said, labels=everyone)
    assert np.array_equal(summary.confusion, matrix)
    for label, rate in enumerate(summary.per_class):
        assert rate.count == (found.labels == label).sum()
        assert rate.wrong == ((found.labels == label) & (said != label)).sum()


def test_of_equal_probabilities_the_lower_class_comes_first() -> None:
    same = Predictions(np.full((3, 3), -math.log(3)), np.array([0, 1, 2]), tuple("abc"))
    summary = summarise(same, tops=(1, 2, 3))
    assert [summary.errors[k].wrong for k in (1, 2, 3)] == [2, 1, 0]
    assert summary.confusion[:, 0].tolist() == [1, 1, 1]


def test_the_calibration_error_is_that_of_the_paper() -> None:
    """Guo et al. 2017, equation 3, as a loop over images."""
    found = drawn()
    members: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(found.probabilities.tolist(), found.labels.tolist(), strict=True):
        confidence = max(row)
        place = next(m for m in range(1, 16) if confidence <= m / 15)
        members.setdefault(place, []).append((confidence, row.index(confidence) == label))
    expected = 0.0
    for each in members.values():
        confidence = sum(c for c, _ in each) / len(each)
        accuracy = sum(right for _, right in each) / len(each)
        expected += len(each) / len(found) * abs(accuracy - confidence)
    assert summarise(found).calibration_error == pytest.approx(expected)


def test_bins_hold_their_upper_ends() -> None:
    logs = np.log([[0.5, 0.5], [1.0, 1e-300], [0.75, 0.25]])
    bins = calibration(Predictions(logs, np.array([0, 0, 1]), ("a", "b")), bins=4)
    assert [each.rate.count for each in bins] == [0, 1, 1, 1]
    assert [each.rate.wrong for each in bins] == [0, 0, 1, 0]
    assert bins[2].confidence == pytest.approx(0.75)
    assert (bins[2].low, bins[2].high) == (0.5, 0.75)


def test_a_network_that_is_always_right_and_sure_is_calibrated() -> None:
    logs = np.where(np.eye(3), 0.0, -1000.0)
    summary = summarise(Predictions(logs, np.arange(3), tuple("abc")))
    assert (summary.calibration_error, summary.loss) == (0, 0)
    assert summary.mistakes == () and summary.confused == ()


def test_mistakes_come_with_the_most_confident_first() -> None:
    found = drawn()
    summary = summarise(found)
    shown = [each.probability for each in summary.mistakes]
    assert shown == sorted(shown, reverse=True) and len(shown) == 48
    for each in summary.mistakes:
        row = found.probabilities[each.position]
        assert each.true == NAMES[found.labels[each.position]] != each.said
        assert each.said == NAMES[row.argmax()] and each.probability == row.max()


def test_what_is_most_often_mistaken_comes_first() -> None:
    summary = summarise(drawn())
    counts = [each.count for each in summary.confused]
    off = summary.confusion - np.diag(summary.confusion.diagonal())
    assert counts == sorted(off.ravel().tolist(), reverse=True)[: len(counts)]
    first = summary.confused[0]
    assert off[NAMES.index(first.true), NAMES.index(first.said)] == off.max()
