"""Weights that are computed with in bfloat16: a copy in it, which the update itself writes.

Under autocast a step copies each weight into bfloat16 and each gradient out of it again, sums up
the gradient's squares, and reads it once more for the update. Here the gradient stays in bfloat16,
and one pass updates the weight, what its rule remembers, and the copy: VGG-11 at 64x64, nearly all
of whose weights are in fully connected layers, trains 1.26 times as fast (bench/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import c_float, c_int, c_int64
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from striate.fast.computed import Computed
from striate.fast.kernels import at, library

LEAST = 2**15  # values of a weight that is worth it
RULES = ("sgd", "momentum", "nesterov", "adam", "adamw")  # whose update the kernels know


class _Copied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, copy: Tensor) -> Tensor:
        return copy.view_as(copy)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


class Half:
    """A weight's copy in bfloat16, laid out as the weight is."""

    def __init__(self, weight: nn.Parameter) -> None:
        self.weight = weight
        self.copy = torch.empty_like(weight, dtype=torch.bfloat16, requires_grad=False)
        self.version = -1

    def __call__(self) -> Tensor:
        """The copy, by which gradients reach the weight, in bfloat16."""
        if self.version != self.weight._version:  # changed by something else than `descend`
            self.copy.copy_(self.weight.detach())
            self.version = self.weight._version
        if self.weight.grad_dtype != torch.bfloat16:
            _grade(self.weight, torch.bfloat16)
        found: Tensor = _Copied.apply(self.weight, self.copy)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def descend(self, rule: Optimizer, group: dict[str, Any], gradient: Tensor) -> None:
        """A step of the weight by PyTorch's SGD, Adam or AdamW, which remember what they would."""
        weight, state = self.weight, rule.state[self.weight]
        if gradient.stride() != weight.stride():
            gradient = torch.empty_like(weight, dtype=gradient.dtype).copy_(gradient)
        common = at(gradient), at(self.copy), c_int64(weight.numel()), c_float(group["lr"])
        decay = c_float(group["weight_decay"])
        if isinstance(rule, SGD):
            if group["momentum"] and state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(weight)
            library().descend(
                at(weight),
                at(state["momentum_buffer"] if group["momentum"] else None),
                *common,
                c_float(group["momentum"]),
                decay,
                c_int(group["nesterov"]),
            )
        else:
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(weight) for _ in "mv")
            state["step"] += 1
            library().descend_adam(
                *map(at, (weight, state["exp_avg"], state["exp_avg_sq"])),
                *common,
                *map(c_float, group["betas"]),
                c_float(group["eps"]),
                decay,
                c_int(isinstance(rule, AdamW)),
                c_float(state["step"].item()),
            )
        weight[:0].zero_()  # nothing, by which PyTorch knows that the weight has changed
        self.version = weight._version


class Halves:
    """The copies of a module's large weights, while it trains."""

    def __init__(self, module: nn.Module) -> None:
        self.of: dict[nn.Parameter, Half] = {}
        for each in module.modules():
            if isinstance(each, Computed) and each.weighs(LEAST):
                weight = cast(nn.Parameter, each.layer.weight)
                each.copied = self.of[weight] = Half(weight)

    def step(self, rule: Optimizer) -> dict[nn.Parameter, Tensor]:
        """Update a rule's weights that have copies; takes their gradients away and returns them."""
        taken: dict[nn.Parameter, Tensor] = {}
        for group in rule.param_groups:
            for weight in group["params"]:
                if weight in self.of and weight.grad is not None:
                    taken[weight] = weight.grad
                    self.of[weight].descend(rule, group, weight.grad)
                    weight.grad = None
        return taken

    def close(self) -> None:
        """Training is over: the weights' gradients are float32 again."""
        for weight in self.of:
            _grade(weight, weight.dtype)


def _grade(weight: nn.Parameter, kind: torch.dtype) -> None:
    """Let a weight have gradients of a kind, and make the one that it has one."""
    gradient, weight.grad = weight.grad, None
    weight.grad_dtype = kind
    weight.grad = None if gradient is None else gradient.to(kind)


def total_norm(gradients: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all of them together."""
    found = list(gradients)
    if not any(each.dtype == torch.bfloat16 for each in found):
        return nn.utils.get_total_norm(found)
    norm: Tensor = torch.stack([_norm(each) for each in found]).norm()
    return norm


def _norm(gradient: Tensor) -> Tensor:
    """Of bfloat16 too in float32 sums, for which PyTorch takes three times as long."""
    if gradient.dtype != torch.bfloat16:
        return cast(Tensor, torch.linalg.vector_norm(gradient))
    dense = gradient if _dense(gradient) else gradient.contiguous()
    return torch.tensor(library().squares(at(dense), c_int64(dense.numel()))).sqrt()


def _dense(tensor: Tensor) -> bool:
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.is_contiguous() or last
