"""The loop: what it tells, what it computes, and that it does so again; the recipe it follows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy
from torch import nn
from torch.nn.functional import cross_entropy

from striate.data import prepare, shuffled
from striate.diagnosis import NotFinite
from striate.errors import RunError
from striate.evaluate import score
from striate.network import read
from striate.recipes import Recipe
from striate.records import Ended, EpochEnded, Evaluated, Started, Stepped
from striate.state import State, initial
from striate.train import train

Run = Callable[..., subprocess.CompletedProcess[str]]
RECIPE = Recipe(epochs=3, batch=10, learning_rate=0.1)


def test_training_tells_what_happens_in_order() -> None:
    model, records, data, preparation = toy.trained(RECIPE)
    epoch = [Stepped] * 5 + [EpochEnded, Evaluated]
    assert [type(record) for record in records] == [Started, *epoch * 3, Ended]
    started, *_, evaluated, ended = records
    assert isinstance(started, Started) and isinstance(evaluated, Evaluated)
    assert (started.training, started.validation, started.steps_per_epoch) == (48, 12, 5)
    assert started.parameters == sum(each.numel() for each in model.parameters())
    assert data.validation and evaluated.score == score(model, data.validation, preparation)
    assert ended == Ended(3, 15, ended.best_epoch, early=False, seconds=ended.seconds)
    assert [record.seconds for record in records] == sorted(record.seconds for record in records)


def test_without_validation_all_images_are_trained_on() -> None:
    _, records, data, _ = toy.trained(replace(RECIPE, validation=0))
    assert [type(record) for record in records] == [
        Started,
        *([Stepped] * 6 + [EpochEnded]) * 3,
        Ended,
    ]
    started, ended = records[0], records[-1]
    assert isinstance(started, Started) and isinstance(ended, Ended)
    assert (started.training, started.validation, data.validation) == (60, 0, None)
    assert (ended.epochs, ended.best_epoch) == (3, 3)


def test_an_epoch_sees_every_image_once_in_batches_as_equal_as_can_be() -> None:
    """48 images in batches of at most 10, and no rest of a single one."""
    _, records, _, _ = toy.trained(RECIPE)
    for epoch in (1, 2, 3):
        steps = [each for each in records if isinstance(each, Stepped) and each.epoch == epoch]
        ended = next(e for e in records if isinstance(e, EpochEnded) and e.epoch == epoch)
        assert [step.images for step in steps] == [10, 10, 10, 9, 9]
        assert ended.error == sum(step.wrong for step in steps) / 48
        assert ended.loss == pytest.approx(sum(step.loss * step.images for step in steps) / 48)


def test_the_same_seed_gives_the_same_weights_to_the_bit() -> None:
    """Dropout included, and whatever was drawn before; another seed gives others."""
    first, _, _, _ = toy.trained(RECIPE)
    torch.rand(5)
    again, _, _, _ = toy.trained(RECIPE)
    other, _, _, _ = toy.trained(replace(RECIPE, seed=1))
    assert toy.same_weights(first, again)
    assert not toy.same_weights(first, other)


def test_a_network_learns() -> None:
    model, _, data, preparation = toy.trained(replace(RECIPE, epochs=20))
    assert score(model, data.test, preparation).top1_error <= 0.1


@pytest.mark.parametrize("clip", [0.5, 1e9])
def test_the_update_is_the_formula_of_the_lectures(clip: float) -> None:
    """Gradient, decay, momentum and a falling rate, written out for a linear classifier."""
    recipe = Recipe(epochs=2, batch=16, learning_rate=0.5, weight_decay=0.01, clip=clip)
    model, _, data, preparation = toy.trained(recipe, read("[4x4x1] fc-3 softmax"))
    start = initial(read("[4x4x1] fc-3 softmax"), recipe)
    weights = [each.detach().clone().requires_grad_() for each in start.parameters()]
    speeds = [torch.zeros_like(each) for each in weights]
    images = preparation(data.train.pixels).flatten(1)
    labels = torch.from_numpy(data.train.labels)
    for step in range(6):
        batch = shuffled(48, 0, step // 3 + 1)[step % 3 * 16 :][:16]
        loss = cross_entropy(images[batch] @ weights[0].T + weights[1], labels[batch])
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.cat([each.flatten() for each in gradients]).norm()
        for weight, speed, gradient in zip(weights, speeds, gradients, strict=True):
            shortened = gradient * min(1.0, clip / float(norm))
            speed.mul_(0.9).add_(shortened + 0.01 * weight.detach())
            weight.data -= 0.5 * (1 - (step + 0.5) / 6) * speed
    for ours, theirs in zip(weights, model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_auxiliary_heads_are_trained_along() -> None:
    """Their losses count 0.3 each (Szegedy et al. 2014, section 5)."""

    class Headed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.side = nn.Linear(16, 3), nn.Linear(16, 3)

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor] | torch.Tensor:
            main = self.main(images.flatten(1))
            return {"main": main, "side": self.side(images.flatten(1))} if self.training else main

    data = toy.splits()
    preparation = prepare(toy.NETWORK, data)
    model = Headed()
    with torch.no_grad():
        model.side.weight.copy_(model.main.weight)
        model.side.bias.copy_(model.main.bias)
    before = model.main.weight.detach().clone()
    recipe = Recipe(epochs=1, batch=48, rule="sgd", weight_decay=0)
    list(train(State(model, recipe), data, preparation))
    main, side = model.main.weight - before, model.side.weight - before
    assert torch.allclose(side, 0.3 * main, atol=1e-6)
    assert main.abs().max() > 1e-3


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched() -> None:
    """The step, the layer where it begins and the likely reason are named."""
    data = toy.splits()
    preparation = prepare(toy.NETWORK, data)
    recipe = replace(RECIPE, learning_rate=1e37)
    state = State(initial(toy.NETWORK, recipe), recipe)
    seen = 0
    with pytest.raises(
        NotFinite, match=r"is not finite at step \d+ \(epoch 1\): .* 1e\+37"
    ) as error:
        for record in train(state, data, preparation):
            if isinstance(record, Stepped):
                seen, kept = record.step, [each.clone() for each in state.model.parameters()]
    assert error.value.step == seen + 1 >= 2
    assert any(name in str(error.value) for name, _ in state.model.named_modules() if name)
    assert all(torch.equal(a, b) for a, b in zip(kept, state.model.parameters(), strict=True))


def test_training_imports_no_display(python: Run) -> None:
    code = (
        "import striate.train, striate.runs, sys; assert not {'rich', 'click'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_train_and_score_as_commands(run: Run, tmp_path: Path) -> None:
    """A run made by one process is scored the same by another."""
    text = "[8x8x1] conv3-8 relu maxpool2 fc-10 softmax"
    folder = str(tmp_path / "run")
    options = ("--data", "digits", "--epochs", "2", "--set", "lr=0.01", "--run", folder)
    done = run("train", text, *options, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch ") == 2, "a line each without a terminal"
    error, where = done.stdout.splitlines()
    assert where == f"run {folder}"

    scored = run("score", folder, "--format", "json", OMP_NUM_THREADS="1")
    found = json.loads(scored.stdout)
    assert error == f"test error {found['top1_error']:.2%} (top-1, 359 images)"
    assert found["count"] == 359 and found["top5_error"] <= found["top1_error"] < 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[8x8x1] rbf-10", "nothing to learn"),
        (
            "[8x8x1] x: relu fc-10 softmax\nhead a from @x: fc-5",
            "its head a ends in a volume of 1x1x5",
        ),
        ("[8x8x1] fc-2000000000 fc-10", "memory ran out: a step of 64 images needs"),
    ],
)
def test_what_cannot_be_trained_is_said(run: Run, tmp_path: Path, text: str, message: str) -> None:
    """Without a traceback, and without a run folder that would stand in the way."""
    folder = tmp_path / "run"
    ran = run("train", text, "--data", "digits", "--run", str(folder))
    assert ran.returncode == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not folder.exists()


def test_images_grow_while_a_network_trains() -> None:
    """Steps of smaller images, and in the end the same network scores whole ones."""
    network = read("[8x8x1] conv3-4 bn relu avgpool fc-3 softmax")
    recipe = Recipe(epochs=5, batch=16, grow_from=0.5, grow_until=0.6)
    splits = toy.splits()
    preparation = prepare(network, splits)
    state = State(initial(network, recipe), recipe)
    seen: list[int] = []
    state.model.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    sizes = [seen[-1] for r in train(state, splits, preparation) if isinstance(r, Stepped)]
    assert sizes[0] == 4 and sizes[-1] == 8
    assert sizes == sorted(sizes)


def test_images_cannot_grow_for_a_network_of_one_size() -> None:
    recipe = Recipe(grow_from=0.5)
    with pytest.raises(RunError, match=r"grow_from=0.5 trains on images of 16x16, and the network"):
        initial(read("[32x32x1] conv3-4 relu fc-3 softmax"), recipe)
    with pytest.raises(RunError, match="does not fit them"):
        initial(read("[32x32x1] conv3-4 conv17-2(pad=0) avgpool fc-3 softmax"), recipe)


def test_a_whitening_bias_is_trained_for_as_long_as_the_recipe_says() -> None:
    """And a run that goes on after that does so to the same bits."""
    network = read("[4x4x1] white: conv2-4(pad=0) relu fc-3 softmax")
    recipe = Recipe(epochs=4, batch=16, whiten=True, whiten_bias_epochs=2)
    data = toy.splits()
    preparation = prepare(network, data)

    def fresh() -> tuple[State, Callable[[], list[float]]]:
        state = State(initial(network, recipe, data.train, preparation), recipe)
        bias = state.model.get_submodule("white").bias
        return state, lambda: bias.tolist()  # type: ignore[union-attr, operator]

    whole, bias = fresh()
    biases = [bias()]
    for record in train(whole, data, preparation):
        if isinstance(record, EpochEnded):
            biases.append(bias())
            if record.epoch == 3:
                kept = {name: each.clone() for name, each in whole.tensors().items()}
                progress = deepcopy(vars(whole.progress))
    assert biases[0] != biases[1] != biases[2] == biases[3] == biases[4]
    assert all(
        each.requires_grad is (name != "white.weight")
        for name, each in whole.model.named_parameters()
    )
    second, bias = fresh()
    second.load(kept, progress)
    records = list(train(second, data, preparation))
    assert isinstance(records[0], Started) and records[0].parameters == 4 + 3 * 36 + 3
    assert toy.same_weights(second.model, whole.model) and bias() == biases[2]
