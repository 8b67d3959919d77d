"""What a step makes smaller, in parts and with heads, and with which weights a run is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import toy
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from striate.data import prepare
from striate.data.augment import augmentation
from striate.data.loader import Batches
from striate.evaluate import score
from striate.network import read
from striate.recipes import Recipe
from striate.records import Evaluated, Stepped
from striate.state import State, initial
from striate.train import train

LINEAR = read("[4x4x1] fc-3 softmax")
ONE_STEP = Recipe(epochs=1, batch=48, rule="sgd", schedule="constant", weight_decay=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.2},
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"mixup": 1.0, "cutmix": 1.0, "label_smoothing": 0.1},
    ],
)
def test_the_loss_is_the_cross_entropy_with_the_smoothed_and_mixed_labels(
    settings: dict[str, float],
) -> None:
    """Written out: the mean of -sum q log p, and a step of the rate along its gradient.

    Smoothing e spreads e evenly over all classes (Szegedy et al. 2015, section 7); mixing adds up
    the distributions of both labels (Zhang et al. 2018, section 2).
    """
    recipe = replace(ONE_STEP, **settings)  # type: ignore[arg-type]
    model, records, data, preparation = toy.trained(recipe, LINEAR)
    loaded = Batches(data.train, 48, recipe.seed)[0]
    batch = augmentation(recipe, preparation, data.train)(
        loaded.pixels, loaded.labels, loaded.samples, 1
    )
    right = smoothed(batch.labels, recipe.label_smoothing)
    if batch.others is not None and batch.share is not None:
        share = batch.share[:, None]
        right = share * right + (1 - share) * smoothed(batch.others, recipe.label_smoothing)
    start = initial(LINEAR, recipe)
    scores = start(batch.images)
    loss = -(right * log_softmax(scores, dim=1)).sum(dim=1).mean()
    loss.backward()
    (step,) = (record for record in records if isinstance(record, Stepped))
    assert step.loss == pytest.approx(loss.item(), rel=1e-5)
    assert step.wrong == int((scores.argmax(dim=1) != right.argmax(dim=1)).sum())
    for before, after in zip(start.parameters(), model.parameters(), strict=True):
        assert before.grad is not None
        expected = before - recipe.learning_rate * before.grad
        assert torch.allclose(expected, after, atol=1e-6)


def smoothed(labels: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * one_hot(labels, 3) + smoothing / 3


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.5}, {"clip": 0.01, "rule": "adam"}])
@pytest.mark.parametrize("parts", [2, 3, 100])
def test_a_batch_computed_in_parts_makes_the_same_step(
    settings: dict[str, object], parts: int
) -> None:
    """Without dropout and batch normalisation, and also where there are more parts than images."""
    network = read("[4x4x1] conv3-2 relu fc-3 softmax")
    recipe = Recipe(epochs=2, batch=17, learning_rate=0.1, **settings)  # type: ignore[arg-type]
    whole, told, _, _ = toy.trained(recipe, network)
    cut, told_of_parts, _, _ = toy.trained(replace(recipe, accumulate=parts), network)
    for ours, theirs in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    for one, other in zip(told, told_of_parts, strict=True):
        if isinstance(one, Stepped) and isinstance(other, Stepped):
            assert (one.images, one.wrong) == (other.images, other.wrong)
            assert one.loss == pytest.approx(other.loss, rel=1e-4)


def test_a_run_is_judged_by_the_average_of_its_weights_and_trains_on_with_the_weights() -> None:
    """As though the average were of a run without one: the steps are the same."""
    recipe = Recipe(epochs=3, batch=10, learning_rate=0.1)
    data = toy.splits()
    preparation = prepare(toy.NETWORK, data)
    plain, plain_records, _, _ = toy.trained(recipe)
    state = State(initial(toy.NETWORK, recipe), replace(recipe, average=0.9))
    last: list[Evaluated] = []
    for record in train(state, data, preparation):
        if isinstance(record, Evaluated):
            last = [record]
    assert toy.same_weights(state.model, plain)
    assert state.average is not None
    with state.averaged() as averaged:
        assert averaged is state.model and not toy.same_weights(averaged, plain)
        assert data.validation
        judged = score(averaged, data.validation, preparation)
    assert last[0].score == judged
    assert toy.same_weights(state.model, plain), "the weights are back"
    weights = state.weights()
    assert weights.keys() == plain.state_dict().keys()
    assert all(torch.equal(weights[name], each) for name, each in state.average.means.items())
    untouched = [record for record in plain_records if isinstance(record, Evaluated)][-1]
    assert untouched.score != judged


@pytest.mark.parametrize("weight", [0.3, 0.0, 2.0])
def test_the_auxiliary_heads_of_a_network_count_as_the_recipe_says(weight: float) -> None:
    """A head that reads the input and one further on, by the gradients of the sum written out."""
    network = read(
        "[4x4x1] x: conv3-2 relu y: conv3-2 relu fc-3 softmax\n"
        "head a from @x: fc-3 softmax\nhead b from @y: fc-3 softmax"
    )
    recipe = replace(ONE_STEP, auxiliary_weight=weight)
    model, records, data, preparation = toy.trained(recipe, network)
    start = initial(network, recipe)
    loaded = Batches(data.train, 48, 0)[0]
    scores = start.train()(preparation(loaded.pixels))
    labels = torch.from_numpy(loaded.labels)
    losses = {
        name: -log_softmax(each, dim=1).gather(1, labels[:, None]).mean()
        for name, each in scores.items()
    }
    assert losses.keys() == {"main", "a", "b"}
    (losses["main"] + weight * (losses["a"] + losses["b"])).backward()
    (step,) = (record for record in records if isinstance(record, Stepped))
    assert step.loss == pytest.approx(losses["main"].item(), rel=1e-5)
    for before, after in zip(start.parameters(), model.parameters(), strict=True):
        assert before.grad is not None
        assert torch.allclose(before - recipe.learning_rate * before.grad, after, atol=1e-6)
