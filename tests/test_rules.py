"""Update rules against the lectures' formulas; what is kept of them; limits and averages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from striate.average import Average
from striate.errors import RunError
from striate.network import read
from striate.recipes import Recipe
from striate.recipes.choices import RULES
from striate.rules import constrain, head, optimiser

PLAIN = Recipe(weight_decay=0.0)
NETWORK = read("[6x6x2] conv3-4 relu conv3-5 relu maxpool2 fc-3 softmax")
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9")
ANY_RULE = [pytest.param(r, marks=needs_muon if r == "muon" else ()) for r in RULES]


class One(nn.Module):
    """A layer of some values, in float64."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(1, len(values), bias=False, dtype=torch.float64)
        self.layer.weight.data = values.double().reshape(-1, 1).clone()


# -- the formulas, as the lectures write them: each yields what to add to w for the gradients sent


def sgd(e: float) -> Callable[[Tensor], Tensor]:
    return lambda g: -e * g


def momentum(e: float, m: float) -> Callable[[Tensor], Tensor]:
    v = torch.zeros(1, dtype=torch.float64)

    def step(g: Tensor) -> Tensor:
        nonlocal v
        v = m * v - e * g
        return v

    return step


def nesterov(e: float, m: float) -> Callable[[Tensor], Tensor]:
    v = torch.zeros(1, dtype=torch.float64)

    def step(g: Tensor) -> Tensor:
        nonlocal v
        before, v = v, m * v - e * g
        return -m * before + (1 + m) * v

    return step


def adagrad(e: float, eps: float) -> Callable[[Tensor], Tensor]:
    c = torch.zeros(1, dtype=torch.float64)

    def step(g: Tensor) -> Tensor:
        nonlocal c
        c = c + g**2
        return -e * g / (c.sqrt() + eps)

    return step


def rmsprop(e: float, r: float, eps: float) -> Callable[[Tensor], Tensor]:
    c = torch.zeros(1, dtype=torch.float64)

    def step(g: Tensor) -> Tensor:
        nonlocal c
        c = r * c + (1 - r) * g**2
        return -e * g / (c.sqrt() + eps)

    return step


def adam(e: float, b1: float, b2: float, eps: float) -> Callable[[Tensor], Tensor]:
    m, s, t = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), 0

    def step(g: Tensor) -> Tensor:
        nonlocal m, s, t
        m, s, t = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g**2, t + 1
        return -e * (m / (1 - b1**t)) / ((s / (1 - b2**t)).sqrt() + eps)

    return step


def adadelta(r: float, eps: float) -> Callable[[Tensor], Tensor]:
    mean, moved = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)

    def step(g: Tensor) -> Tensor:
        nonlocal mean, moved
        mean = r * mean + (1 - r) * g**2
        d = -((moved + eps) / (mean + eps)).sqrt() * g
        moved = r * moved + (1 - r) * d**2
        return d

    return step


FORMULAS: dict[str, tuple[Recipe, Callable[[], Callable[[Tensor], Tensor]]]] = {
    "sgd": (replace(PLAIN, rule="sgd", learning_rate=0.1), lambda: sgd(0.1)),
    "momentum": (replace(PLAIN, rule="momentum", learning_rate=0.1), lambda: momentum(0.1, 0.9)),
    "nesterov": (replace(PLAIN, rule="nesterov", learning_rate=0.1), lambda: nesterov(0.1, 0.9)),
    "adagrad": (replace(PLAIN, rule="adagrad", learning_rate=0.1), lambda: adagrad(0.1, 1e-8)),
    "rmsprop": (
        replace(PLAIN, rule="rmsprop", learning_rate=0.01, memory=0.9),
        lambda: rmsprop(0.01, 0.9, 1e-8),
    ),
    "adam": (replace(PLAIN, rule="adam", learning_rate=0.1), lambda: adam(0.1, 0.9, 0.999, 1e-8)),
    "adadelta": (replace(PLAIN, rule="adadelta", learning_rate=1.0), lambda: adadelta(0.95, 1e-6)),
}


@pytest.mark.parametrize("rule", FORMULAS)
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_a_rule_is_the_formula_of_the_lectures(rule: str, decay: float) -> None:
    """Eight steps on random gradients; L2 decay is added to the gradient."""
    recipe, formula = FORMULAS[rule]
    generator = torch.Generator().manual_seed(1)
    model = One(torch.randn(7, generator=generator))
    weights = model.layer.weight.detach().clone()
    ours, step = optimiser(model, replace(recipe, weight_decay=decay)), formula()
    for _ in range(8):
        gradient = torch.randn(7, 1, generator=generator, dtype=torch.float64)
        model.layer.weight.grad = gradient.clone()
        ours.step()
        weights = weights + step(gradient + decay * weights)
        assert torch.allclose(model.layer.weight, weights, rtol=1e-12, atol=1e-12)


def test_adamw_takes_its_decay_off_the_weights_whatever_rate_they_have() -> None:
    """Loshchilov and Hutter 2017, algorithm 2: the decay is no part of the gradient."""
    recipe = Recipe(rule="adamw", learning_rate=0.1, head_rate=0.3, weight_decay=0.2)
    model = One(torch.ones(3))
    ours, step, weights = optimiser(model, recipe), adam(0.3, 0.9, 0.999, 1e-8), torch.ones(3, 1)
    for number in range(5):
        gradient = torch.full((3, 1), 0.5 - number, dtype=torch.float64)
        model.layer.weight.grad = gradient.clone()
        ours.step()
        weights = weights * (1 - 0.1 * 0.2) + step(gradient)
        assert torch.allclose(model.layer.weight, weights.double(), atol=1e-6)


def newton_schulz(gradient: Tensor, steps: int) -> Tensor:
    """Jordan 2024, in bfloat16 as published: about the nearest orthogonal matrix."""
    found = gradient.bfloat16()
    if tall := len(found) > found.shape[1]:
        found = found.T
    found = found / (found.norm() + 1e-7)
    for _ in range(steps):
        product = found @ found.T
        found = 3.4445 * found + (-4.7750 * product + 2.0315 * product @ product) @ found
    return found.T if tall else found


@needs_muon
@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_muon_is_its_published_formula(renormalise: bool, format: torch.memory_format) -> None:
    """Momentum, Newton and Schulz, the rate; decay off the weights; all else by Nesterov."""
    recipe = Recipe(
        rule="muon",
        learning_rate=0.1,
        momentum=0.6,
        newton_schulz=3,
        other_momentum=0.8,
        bias_rate=0.05,
        weight_decay=0.02,
        renormalise=renormalise,
    )
    model = NETWORK.build().to(memory_format=format)  # type: ignore[call-overload]
    weights = {name: each.detach().clone() for name, each in model.named_parameters()}
    speeds = {name: torch.zeros_like(each) for name, each in weights.items()}
    last = nesterov(0.1, 0.8), nesterov(0.05, 0.8)
    ours = optimiser(model, recipe)
    for number in range(5):
        torch.manual_seed(number)
        for name, each in model.named_parameters():
            gradient = torch.randn(each.shape)
            each.grad = gradient.clone(
                memory_format=format if each.dim() == 4 else torch.preserve_format
            )
            weight = weights[name]
            if each.dim() == 4:
                if renormalise:
                    weight *= math.sqrt(len(weight)) / weight.norm()
                else:
                    weight *= 1 - 0.1 * 0.02
                speeds[name] = 0.6 * speeds[name] + gradient
                flat = (gradient + 0.6 * speeds[name]).flatten(1)
                longer = max(1.0, len(flat) / flat.shape[1]) ** 0.5
                weight -= 0.1 * longer * newton_schulz(flat, 3).float().view(weight.shape)
            elif name == "fc1.weight":
                weight += last[0](gradient + 0.02 * weight)
            elif name == "fc1.bias":
                weight += last[1](gradient + 0.1 / 0.05 * 0.02 * weight)
        ours.step()
        for name, each in model.named_parameters():
            if each.dim() == 4 or name.startswith("fc"):
                assert torch.allclose(each, weights[name], atol=0.01), name  # bfloat16's digits
    assert {type(rule).__name__ for rule in ours.rules} == {"Muon", "SGD"}


@needs_muon
def test_muon_changes_the_weights_of_a_model_that_changed_its_memory_format() -> None:
    model = NETWORK.build()
    ours = optimiser(model, Recipe(rule="muon"))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    model(torch.randn(2, 2, 6, 6)).sum().backward()
    ours.step()
    assert all(
        not torch.equal(before[n], each) for n, each in model.named_parameters() if "conv" in n
    )


def test_without_muon_the_message_says_which_pytorch_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(RunError, match=r"'muon' came with PyTorch 2\.9, and this is .* nesterov"):
        optimiser(NETWORK.build(), Recipe(rule="muon"))


# -- what is kept


@pytest.mark.parametrize("rule", ANY_RULE)
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_a_rule_that_was_saved_goes_on_to_the_bit(rule: str, format: torch.memory_format) -> None:
    """Saved after three steps and loaded into another model, in the saved tensors' own layout."""
    recipe = Recipe(rule=rule, learning_rate=0.05)
    torch.manual_seed(0)
    model = NETWORK.build().to(memory_format=format)  # type: ignore[call-overload]
    other = NETWORK.build("constant").to(memory_format=format)  # type: ignore[call-overload]
    first, second = optimiser(model, recipe), optimiser(other, recipe)
    descend(model, first, range(3))
    descend(other, second, range(2))
    kept = {name: each.contiguous().clone() for name, each in first.tensors().items()}
    assert all(
        each.shape in ((), model.get_parameter(n.rpartition("/")[0]).shape)
        for n, each in kept.items()
    )
    other.load_state_dict(model.state_dict())
    second.load(kept)
    descend(model, first, range(3, 6))
    descend(other, second, range(3, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    ours, theirs = first.tensors(), second.tensors()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def descend(model: nn.Module, ours: object, numbers: range) -> None:
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        ours.zero_grad()
        ours.set_rate(1 - number / 10)
        model(torch.randn(4, 2, 6, 6, generator=generator)).square().mean().backward()
        ours.step()


def test_before_the_first_step_nothing_need_be_kept() -> None:
    ours = optimiser(NETWORK.build(), Recipe())
    assert ours.tensors() == {}
    ours.load({})


def test_the_state_of_another_network_is_refused() -> None:
    ours = optimiser(NETWORK.build(), Recipe())
    for name, shape in (("conv9.weight/momentum_buffer", (4, 2, 3, 3)), ("conv1.weight/x", (4, 2))):
        with pytest.raises(RunError, match="of another network"):
            ours.load({name: torch.zeros(shape)})


# -- rates, and who decays


@pytest.mark.parametrize("rule", [each for each in ANY_RULE if each.values != ("adadelta",)])
def test_a_fixed_factor_behind_the_head_changes_nothing(rule: str) -> None:
    """A network learns as fast that divides its scores by 256: speed and airbench do.

    Adadelta finds its own rates, from steps of its epsilon's size on.
    """
    scaled, plain = (
        read(f"[6x6x2] conv3-4 relu maxpool2 fc-3 {end}").build().double()
        for end in ("scale(-0.00390625) softmax", "softmax")
    )
    plain.load_state_dict(scaled.state_dict())
    for each in head(plain).parameters():
        each.data *= -1 / 256
    epsilon = 1e-30 if rule in ("adagrad", "rmsprop", "adam", "adamw") else None
    recipe = Recipe(rule=rule, learning_rate=0.03, head_rate=0.02, weight_decay=0.01)
    recipe = recipe.changed(epsilon=epsilon) if epsilon else recipe
    images, generator = torch.randn(8, 2, 6, 6, dtype=torch.float64), torch.Generator()
    labels = torch.randint(3, (8,), generator=generator.manual_seed(0))
    rules = [optimiser(each, recipe) for each in (scaled, plain)]
    for _ in range(6):
        scores = [each(images) for each in (scaled, plain)]
        assert torch.allclose(*scores, rtol=1e-6, atol=1e-9)
        for each, ours in zip(scores, rules, strict=True):
            ours.zero_grad()
            nn.functional.cross_entropy(each, labels).backward()
            ours.step()


def test_each_kind_of_parameter_has_its_rate_and_its_decay() -> None:
    network = read("[6x6x1] conv3-2 bn relu fc-4 relu fc-3 softmax")
    recipe = Recipe(learning_rate=0.1, bias_rate=0.2, head_rate=0.3, decay_biases=False)
    model = network.build()
    ours = optimiser(model, recipe)
    ours.set_rate(0.5)
    found = {}
    for group in ours.rules[0].param_groups:
        for each in group["params"]:
            name = next(n for n, parameter in model.named_parameters() if parameter is each)
            found[name] = group["lr"], group["weight_decay"]
    assert found == {
        "conv1.weight": (0.05, 5e-4),
        "bn1.weight": (0.1, 0),
        "bn1.bias": (0.1, 0),
        "fc1.weight": (0.05, 5e-4),
        "fc1.bias": (0.1, 0),
        "fc2.weight": (0.15, 5e-4),
        "fc2.bias": (0.1, 0),
    }
    rates = [
        group["lr"]
        for group in optimiser(model, replace(recipe, bias_rate=None)).rules[0].param_groups
    ]
    assert sorted(set(rates)) == [0.1, 0.3], "a bias has its layer's rate"


def test_the_head_is_the_networks_own_and_no_auxiliary_one() -> None:
    model = read("[4x4x1] x: conv3-2 relu fc-3 softmax\nhead a from @x: fc-3 softmax").build()
    assert head(model) is model.get_submodule("fc1")


def test_frozen_parameters_are_left_out() -> None:
    model = NETWORK.build()
    model.get_parameter("conv1.weight").requires_grad_(False)
    assert "conv1.weight" not in optimiser(model, Recipe()).held
    model.requires_grad_(False)
    with pytest.raises(RunError, match="no parameter to train"):
        optimiser(model, Recipe())


# -- limits and averages


def test_weights_into_a_unit_are_shortened_to_the_limit_and_no_further() -> None:
    """Whichever way the weights of a kind of layer are laid out."""
    for layer in (
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.Linear(5, 3),
    ):
        layer.weight.data.normal_()
        before = layer.weight.detach().clone()
        constrain(layer, Recipe(max_norm=2.0))
        units, rows = into_units(layer, layer.weight), into_units(layer, before)
        for now, then in zip(units, rows, strict=True):
            assert torch.allclose(now, then * min(1.0, 2.0 / float(then.norm())), atol=1e-6)


def into_units(layer: nn.Module, weight: Tensor) -> list[Tensor]:
    if not isinstance(layer, nn.ConvTranspose2d):
        return [each.flatten() for each in weight]
    groups = weight.chunk(layer.groups)
    return [each.flatten() for part in groups for each in part.unbind(1)]


def test_filters_of_a_large_root_mean_square_are_brought_back_as_in_zfnet() -> None:
    model = NETWORK.build()
    with torch.no_grad():
        for each in model.parameters():
            each.fill_(0.5)
        model.get_parameter("conv2.weight")[0] = 0.05
    constrain(model, Recipe(max_rms=0.1))
    assert torch.allclose(model.get_parameter("conv1.weight"), torch.tensor(0.1))
    assert torch.allclose(model.get_parameter("conv2.weight")[1:], torch.tensor(0.1))
    assert bool((model.get_parameter("conv2.weight")[0] == 0.05).all())
    assert bool((model.get_parameter("fc1.weight") == 0.5).all()), "the paper's are convolutions"
    model.get_parameter("conv1.weight").data.zero_()
    constrain(model, Recipe(max_rms=0.1))
    assert bool((model.get_parameter("conv1.weight") == 0).all())


def test_the_average_of_the_weights_is_its_definition_and_goes_on_to_the_bit() -> None:
    model = read("[4x4x1] conv3-2 bn relu fc-3 softmax").build()
    average = Average(model, 0.8)
    expected = {name: each.clone() for name, each in average.tensors().items()}
    assert "bn1.running_mean" in expected and "bn1.num_batches_tracked" not in expected
    for number in range(6):
        for each in (*model.parameters(), model.get_buffer("bn1.running_mean")):
            torch.nn.init.normal_(each, generator=torch.Generator().manual_seed(number))
        if number == 3:
            kept = {name: each.clone() for name, each in average.tensors().items()}
            average = Average(model, 0.8)
            average.load(kept)
        average.update(model)
        for name, mean in expected.items():
            mean.mul_(0.8).add_(model.state_dict()[name], alpha=0.2)
    assert all(
        torch.allclose(expected[n], each, atol=1e-6) for n, each in average.tensors().items()
    )
    with pytest.raises(RunError, match="of another network"):
        average.load({})


def test_the_average_over_a_few_steps_is_the_plain_mean_of_their_weights() -> None:
    model = One(torch.full((1,), 100.0))
    average = Average(model, 0.99)
    for step, value in enumerate((1.0, 2.0, 6.0)):
        model.layer.weight.data.fill_(value)
        average.update(model, step)
    assert average.tensors()["layer.weight"].item() == pytest.approx(3)
