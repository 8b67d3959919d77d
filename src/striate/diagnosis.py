"""Where numbers that are not finite come from, and what may have made them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from striate.compute import Compute
from striate.data.augment import Batch
from striate.errors import RunError
from striate.state import State


class NotFinite(RunError):
    """A loss or a gradient is not finite; the weights are as they were before the step.

    Attributes:
        step: the one that was not done, counted from 1.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def scores_not_finite(state: State, reason: Exception, epoch: int) -> NotFinite:
    """The error where weights with finite losses give scores that are not."""
    rate = state.recipe.learning_rate * state.progress.lowered
    return NotFinite(
        f"after epoch {epoch}, on the validation images: {reason}; "
        f"a learning rate below {rate:g} may help",
        state.progress.step,
    )


def not_finite(
    state: State,
    model: nn.Module,
    parts: Sequence[Batch],
    compute: Compute,
    epoch: int,
    loss: float,
) -> NotFinite:
    """The error for a step, with the layer where it begins and the likely reason.

    Args:
        model: what the parts were given to: the state's model, or its last layers.
    """
    step = state.progress.step + 1
    what = "the gradient" if isfinite(loss) else "the loss"
    where, reason = _found(state, model, parts, compute)
    return NotFinite(
        f"{what} is not finite at step {step} (epoch {epoch}): {where}; {reason}. "
        f"The weights are those of step {step - 1}",
        step,
    )


def _found(
    state: State, model: nn.Module, parts: Sequence[Batch], compute: Compute
) -> tuple[str, str]:
    for name, each in state.model.named_parameters():
        if not each.isfinite().all():
            return f"{name} holds values that are not finite", "an update before was too large"
    if not all(part.images.isfinite().all() for part in parts):
        return "the images hold such values", "look at them with `striate data`"
    rate = state.recipe.learning_rate * state.progress.lowered
    lower = f"a learning rate below {rate:g} may help"
    layers = (_first_layer(model, part, compute) for part in parts)
    layer = next((each for each in layers if each), None)
    if layer is not None:
        reason = lower
        if compute.precision != "float32":
            reason += ", or --exact (float32)"
        return f"values grow beyond all bounds in {layer}", reason
    bad = [
        name
        for name, each in state.model.named_parameters()
        if each.grad is not None and not each.grad.isfinite().all()
    ]
    where = f"it begins at {bad[-1]}" if bad else "it begins in the loss"
    return where, f"{lower}, or a shorter gradient (clip)"


def _first_layer(model: nn.Module, batch: Batch, compute: Compute) -> str | None:
    """The first module without children whose output is not finite."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def look(module: nn.Module, given: object, output: object) -> None:
            if isinstance(output, Tensor) and not found and not output.isfinite().all():
                found.append(name)

        return look

    handles = [
        each.register_forward_hook(watch(name))
        for name, each in model.named_modules()
        if name and not list(each.children())
    ]
    buffers = {name: each.clone() for name, each in model.named_buffers()}
    try:
        with torch.no_grad(), compute.autocast():
            model(compute.arranged(batch.images))
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for name, each in model.named_buffers():  # batch normalisation counted once more
                each.copy_(buffers[name])
    return found[0] if found else None
