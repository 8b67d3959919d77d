"""Copies of weights in bfloat16: the rules' arithmetic, the same bits after a pause, no traces."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import striate
from striate.compute import Compute
from striate.data import Images, Splits, prepare
from striate.diagnosis import NotFinite
from striate.fast import kernels
from striate.fast.computed import Computed
from striate.fast.halves import LEAST, RULES, Halves, total_norm
from striate.fast.twin import twin
from striate.recipes import Recipe
from striate.records import Stepped
from striate.rules import optimiser
from striate.state import State, initial
from striate.train import train

pytestmark = pytest.mark.skipif(
    not kernels.available() or not hasattr(Tensor, "grad_dtype"),
    reason="there is no C++ compiler, or PyTorch knows no grad_dtype",
)

# The first convolution is small, the second of stride 2, the third by sides, the fourth 1x1.
NETWORK = striate.read(
    "[8x8x3] conv3-64 bn relu conv3-64/2(floor) relu conv3-64 relu conv1-512 relu "
    "fc-64 relu fc-4 softmax"
)
RECIPE = Recipe(epochs=1, batch=8, learning_rate=0.01, rule="momentum", clip=5.0)
FAST = Compute("cpu", "bfloat16", "channels_last", 1, "fused")


def data() -> Splits:
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    images = Images(pixels, np.arange(64) % 4, tuple("abcd"))
    return Splits("noise", images, images.take(np.arange(8)), images)


def fresh(recipe: Recipe) -> State:
    return State(FAST.place(initial(NETWORK, recipe)), recipe)


def stepped(state: State, count: int, compute: Compute = FAST) -> list[float]:
    """Take so many steps, and leave the loop there."""
    splits = data()
    losses = []
    loop = train(state, splits, prepare(NETWORK, splits), compute=compute)
    for record in loop:
        if isinstance(record, Stepped):
            losses.append(record.loss)
            if len(losses) == count:
                break
    loop.close()  # type: ignore[attr-defined]
    return losses


def by(rule: str) -> Recipe:
    return RECIPE.changed(rule=rule, learning_rate=0.01)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_an_update_is_pytorchs_with_the_gradient_as_it_was_rounded(rule: str, decay: float) -> None:
    recipe = by(rule).changed(weight_decay=decay)
    model = NETWORK.build()
    other = deepcopy(model)
    ours, theirs = optimiser(model, recipe), optimiser(other, recipe)
    module = twin(model)
    ours.keep(Halves(module))
    assert ours.halves and len(ours.halves.of) == 4
    chance = torch.Generator().manual_seed(0)
    for _ in range(4):
        for weight, copy in zip(model.parameters(), other.parameters(), strict=True):
            slope = torch.randn(weight.shape, generator=chance).bfloat16()
            if weight in ours.halves.of:
                weight.grad_dtype = torch.bfloat16
                weight.grad = slope.clone()
            else:
                weight.grad = slope.float()
            copy.grad = slope.float()
        ours.step()
        theirs.step()
    for weight, copy in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, copy, rtol=2e-6, atol=1e-6)
    for weight, half in ours.halves.of.items():
        assert torch.equal(half.copy, weight.detach().bfloat16())
        assert weight.grad is not None and weight.grad.dtype == torch.bfloat16
    mine, their = ours.tensors(), theirs.tensors()
    assert mine.keys() == their.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], their[name], rtol=2e-6, atol=1e-6)


def test_every_kind_of_layer_with_large_weights_has_a_copy_and_only_those() -> None:
    module = twin(NETWORK.build())
    Halves(module)
    layers = [each for each in module.modules() if isinstance(each, Computed)]
    assert len(layers) == 6
    assert [each.copied is not None for each in layers] == [
        each.layer.weight.numel() >= LEAST for each in layers
    ]


def test_copies_train_as_autocast_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the rounding of gradients; and what is not kept in copies is as it was."""
    found = stepped(fresh(RECIPE), 8)
    monkeypatch.setattr(Compute, "halves", lambda self, recipe: False)
    expected = stepped(fresh(RECIPE), 8)
    assert found[0] == expected[0], "the same weights give the same loss to the bit"
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("rule", ["momentum", "adamw"])
def test_a_run_that_paused_goes_on_to_the_same_bits(rule: str) -> None:
    recipe = by(rule)
    whole = fresh(recipe)
    losses = stepped(whole, 7)
    first = fresh(recipe)
    before = stepped(first, 3)
    kept = {name: each.clone() for name, each in first.tensors().items()}
    second = fresh(recipe)
    second.load(kept, vars(first.progress))
    assert before + stepped(second, 4) == losses
    expected = whole.tensors()
    assert all(torch.equal(each, expected[name]) for name, each in second.tensors().items())


def test_a_weight_that_something_else_changes_is_copied_anew() -> None:
    """As `max_norm` does after each step, and whoever loads weights."""
    module = twin(NETWORK.build())
    for weight, half in Halves(module).of.items():
        half()
        with torch.no_grad():
            weight.mul_(2)
        assert torch.equal(half().detach(), weight.detach().bfloat16())


def test_nothing_is_left_behind_when_training_ends_or_is_given_up() -> None:
    state = fresh(RECIPE)
    stepped(state, 2)
    assert state.optimiser.halves is None
    for weight in state.model.parameters():
        assert weight.dtype == weight.grad_dtype == torch.float32
        assert weight.grad is None or weight.grad.dtype == torch.float32


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = fresh(RECIPE)
    stepped(state, 1)
    kept = {name: each.clone() for name, each in state.model.state_dict().items()}
    plain = torch.autograd.backward

    def broken(*given: Any) -> None:
        plain(*given)
        weight = max(state.model.parameters(), key=lambda each: each.numel())
        assert weight.grad is not None and weight.grad.dtype == torch.bfloat16
        weight.grad.view(-1)[5] = float("inf")

    monkeypatch.setattr(torch.autograd, "backward", broken)
    with pytest.raises(NotFinite):
        stepped(state, 2)
    parameters = dict(state.model.named_parameters())
    assert all(torch.equal(kept[name], each) for name, each in parameters.items())


@pytest.mark.usefixtures("threads_as_before")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_norm_of_gradients_in_bfloat16_is_that_of_their_values(threads: int) -> None:
    torch.set_num_threads(threads)
    chance = torch.Generator().manual_seed(0)
    gradients = [
        torch.randn(77, 133, generator=chance).bfloat16(),
        torch.randn(5, generator=chance),
    ]
    gradients.append(torch.randn(8, 3, 5, 7, generator=chance).bfloat16().transpose(1, 3))
    expected = torch.cat([each.double().flatten() for each in gradients]).norm()
    assert float(total_norm(gradients)) == pytest.approx(float(expected), rel=1e-5)
    assert float(total_norm(iter([]))) == 0


def test_several_parts_of_a_batch_or_other_rules_keep_no_copies() -> None:
    assert FAST.halves(RECIPE)
    assert not FAST.halves(RECIPE.changed(accumulate=2))
    assert not FAST.halves(by("muon"))
    assert not replace(FAST, precision="float32").halves(RECIPE)
    assert not replace(FAST, engine="eager").halves(RECIPE)
