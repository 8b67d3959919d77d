"""Update rules, by PyTorch's own optimisers, with a rate for each kind of parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

from striate.containers import flow
from striate.errors import RunError
from striate.fast.halves import Halves
from striate.initialise import FILTERS
from striate.modules import Scale
from striate.recipes import Recipe

# Rules whose steps grow with the gradient; `others` is what Muon leaves alone.
IN_PROPORTION = ("sgd", "momentum", "nesterov", "others")


class Held(NamedTuple):
    """A parameter, what a rule holds of it, and that rule.

    Muon takes matrices only: of its filters it holds (filters, values) views. Other rules hold the
    parameter itself.
    """

    weight: nn.Parameter
    given: nn.Parameter
    rule: Optimizer


class Optimiser:
    """The update rule of a recipe at work on a model: make one with `optimiser`.

    Attributes:
        held: the trained parameters by name.
        rules: PyTorch's optimisers, each with its groups of parameters; two for Muon.
    """

    def __init__(self, held: dict[str, Held], renormalise: bool) -> None:
        self.held, self.renormalise = held, renormalise
        self.halves: Halves | None = None  # where some weights have copies in bfloat16
        self.rules = list(dict.fromkeys(each.rule for each in held.values()))
        self._matrices = [each for each in held.values() if each.given is not each.weight]
        self._rates = [group["lr"] for group in self._groups()]

    def set_rate(self, factor: float) -> None:
        """Every group's rate becomes `factor` times the one that the recipe gives it."""
        for group, rate in zip(self._groups(), self._rates, strict=True):
            group["lr"] = rate * factor

    def keep(self, halves: Halves | None) -> None:
        """From now on update these copies with their weights; with None, no copies any more."""
        if self.halves:
            self.halves.close()
        self.halves = halves

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for each in self.held.values():
            each.weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their gradients; those that have none stay as they are."""
        for weight, matrix, _ in self._matrices:
            matrix.data = _matrix(weight.data, weight)  # anew: the model may have been moved
            matrix.grad = None if weight.grad is None else _matrix(weight.grad, weight)
            if self.renormalise and matrix.grad is not None:
                matrix.mul_(math.sqrt(len(matrix)) / matrix.norm().clamp(min=1e-12))
        for rule in self.rules:
            taken = self.halves.step(rule) if self.halves else {}
            rule.step()
            for weight, gradient in taken.items():
                weight.grad = gradient
        for _, matrix, _ in self._matrices:
            matrix.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All that the rules remember, by PARAMETER/WHAT; not copied."""
        return {
            f"{name}/{what}": tensor if given is weight else _shaped(tensor, weight)
            for name, (weight, given, rule) in self.held.items()
            for what, tensor in rule.state.get(given, {}).items()
            if tensor is not None
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what `tensors` gave: the steps are then those that would have followed.

        Raises:
            RunError: they are of another network.
        """
        for _, given, rule in self.held.values():
            rule.state[given].clear()
        for key, tensor in tensors.items():
            name, _, what = key.rpartition("/")
            held = self.held.get(name)
            if held is None or (tensor.dim() and tensor.shape != held.weight.shape):
                raise RunError(f"the update rule's state is of another network: {key} fits nothing")
            weight, given, rule = held
            if tensor.dim():  # laid out as the parameter, so that sums run in the same order
                kept = torch.empty_like(weight.data, dtype=tensor.dtype).copy_(tensor)
                rule.state[given][what] = kept if given is weight else _matrix(kept, weight)
            else:  # a count of steps, which PyTorch keeps where it made it
                rule.state[given][what] = tensor.clone()

    def _groups(self) -> Iterator[dict[str, Any]]:
        return (group for rule in self.rules for group in rule.param_groups)


def optimiser(model: nn.Module, recipe: Recipe) -> Optimiser:
    """The recipe's update rule for those parameters of a model that are to be trained.

    Filters are the weights of convolutions and fully connected layers, the head is the last layer
    of these, and all else counts as biases. A bias has its layer's rate unless the recipe has a
    `bias_rate`.

    Where a fixed factor c follows the head, as in `fc-10 scale(0.1)`, the recipe's rates and decay
    are of its weights times c, which the scores come from: its own rates are 1/c² of the recipe's,
    or 1/c for rules whose steps do not grow with the gradient.

    Args:
        model: the plain module, before anything is wrapped around it.

    Raises:
        RunError: this PyTorch does not have the rule, or there is nothing to train.
    """
    groups: dict[tuple[str, str, float, float], list[nn.Parameter]] = {}
    named: dict[str, tuple[nn.Parameter, nn.Parameter, str]] = {}
    for name, kind, rate, factor, weight in _kinds(model, recipe):
        matrix = recipe.rule == "muon" and kind == "filter"
        given = nn.Parameter(_matrix(weight.data, weight)) if matrix else weight
        rule = "others" if recipe.rule == "muon" and not matrix else recipe.rule
        groups.setdefault((rule, kind, rate, factor), []).append(given)
        named[name] = weight, given, rule
    if not named:
        raise RunError("the network has no parameter to train")
    settings: dict[str, list[dict[str, Any]]] = {}
    for (rule, kind, rate, factor), parameters in groups.items():
        rate /= factor**2 if rule in IN_PROPORTION else abs(factor)
        decay = _decay(recipe, kind, rate, factor)
        group = {"params": parameters, "lr": rate, "weight_decay": decay}
        settings.setdefault(rule, []).append(group)
    rules = {rule: _rule(rule, recipe, found) for rule, found in settings.items()}
    held = {name: Held(weight, given, rules[rule]) for name, (weight, given, rule) in named.items()}
    return Optimiser(held, bool(recipe.renormalise))


def head(model: nn.Module) -> nn.Module | None:
    """The last layer with weights of a model; of a network, not one of its auxiliary heads'."""
    layers = [each for part in flow(model) for each in part.modules() if isinstance(each, FILTERS)]
    return layers[-1] if layers else None


def _factor(model: nn.Module) -> float:
    """What fixed factors behind the head make of its scores."""
    found = 1.0
    for part in reversed(flow(model)):
        if isinstance(part, Scale):
            found *= part.factor
        elif any(isinstance(each, FILTERS) for each in part.modules()):
            return found if isinstance(part, FILTERS) and found else 1.0
    return 1.0


@torch.no_grad()
def constrain(model: nn.Module, recipe: Recipe) -> None:
    """Shorten the weights into each unit to the recipe's limits: call it after each step.

    `max_norm` limits the norm of the weights into a unit (Srivastava et al. 2014, section 5.1),
    `max_rms` the root mean square of a convolution's filter (Zeiler and Fergus 2013, section 3).
    """
    if recipe.max_norm is None and recipe.max_rms is None:
        return
    for layer in model.modules():
        if not isinstance(layer, FILTERS) or not layer.weight.requires_grad:
            continue
        weight, into = layer.weight.data, tuple(range(1, layer.weight.dim()))
        if isinstance(layer, nn.ConvTranspose2d):  # (inputs, outputs of a group, height, width)
            weight, into = torch.unflatten(weight, 0, (layer.groups, -1)), (1, 3, 4)
        norm = torch.linalg.vector_norm(weight, dim=into, keepdim=True)
        values = weight.numel() // norm.numel()
        limit = math.inf if recipe.max_norm is None else recipe.max_norm
        if recipe.max_rms is not None and not isinstance(layer, nn.Linear):
            limit = min(limit, recipe.max_rms * math.sqrt(values))
        weight.mul_((limit / norm).clamp(max=1.0))


def _kinds(
    model: nn.Module, recipe: Recipe
) -> Iterator[tuple[str, str, float, float, nn.Parameter]]:
    """Name, kind, rate and factor behind it of each parameter that is trained, and itself."""
    filters = {id(each.weight) for each in model.modules() if isinstance(each, FILTERS)}
    last = head(model)
    of_head = set() if last is None else {id(each) for each in last.parameters()}
    behind = _factor(model)
    for name, each in model.named_parameters():
        rate = recipe.learning_rate
        if id(each) in of_head and recipe.head_rate is not None:
            rate = recipe.head_rate
        kind = "filter"
        if id(each) not in filters:
            kind, rate = "bias", rate if recipe.bias_rate is None else recipe.bias_rate
        elif id(each) in of_head:
            kind = "head"
        if each.requires_grad:
            yield name, kind, rate, behind if id(each) in of_head else 1.0, each


def _decay(recipe: Recipe, kind: str, rate: float, factor: float) -> float:
    """The decay of a group with its own rate, as its rule wants it."""
    if kind == "bias" and not recipe.decay_biases:
        return 0.0
    if recipe.rule not in ("adamw", "muon"):
        return recipe.weight_decay * factor**2
    if kind == "filter" and recipe.renormalise:
        return 0.0  # the next step undoes it
    # PyTorch multiplies by the group's rate; all weights are to shrink at one pace.
    return recipe.weight_decay * recipe.learning_rate / rate if rate else 0.0


def _rule(rule: str, recipe: Recipe, groups: list[dict[str, Any]]) -> Optimizer:
    knob = recipe.knob
    kinds = {each.device.type for group in groups for each in group["params"]}
    # In one pass over the parameters, which takes a quarter of the time (bench/LOG.md).
    fused = kinds <= {"cpu", "cuda"} or None
    match rule:
        case "sgd":
            return SGD(groups, fused=fused)
        case "momentum":
            return SGD(groups, momentum=knob("momentum"), fused=fused)
        case "nesterov":
            # PyTorch refuses Nesterov's rule without momentum, which is plain SGD
            momentum = knob("momentum")
            return SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=fused)
        case "adagrad":
            return Adagrad(groups, eps=knob("epsilon"), fused=kinds == {"cpu"} or None)
        case "adadelta":
            return Adadelta(groups, rho=knob("memory"), eps=knob("epsilon"))
        case "rmsprop":
            return RMSprop(groups, alpha=knob("memory"), eps=knob("epsilon"))
        case "adam" | "adamw":
            betas = knob("momentum"), knob("memory")
            kind = AdamW if rule == "adamw" else Adam
            return kind(groups, betas=betas, eps=knob("epsilon"), fused=fused)
        case "others":
            other = knob("other_momentum")
            return SGD(groups, momentum=other, nesterov=other > 0, fused=fused)
    if not hasattr(torch.optim, "Muon"):
        raise RunError(
            f"recipe: rule 'muon' came with PyTorch 2.9, and this is {torch.__version__}: "
            "update PyTorch, or choose nesterov"
        )
    steps = int(knob("newton_schulz"))
    return torch.optim.Muon(groups, momentum=knob("momentum"), ns_steps=steps)


def _matrix(tensor: Tensor, weight: Tensor) -> Tensor:
    """As (filters, values); a view where the tensor lies in memory as the weight does."""
    if _channels_last(weight):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(len(tensor), -1)


def _shaped(matrix: Tensor, weight: Tensor) -> Tensor:
    """A matrix as the weight whose it is: the other way."""
    if _channels_last(weight):
        filters, depth, height, width = weight.shape
        return matrix.view(filters, height, width, depth).permute(0, 3, 1, 2)
    return matrix.view(weight.shape)


def _channels_last(weight: Tensor) -> bool:
    return weight.dim() == 4 and not weight.is_contiguous()
