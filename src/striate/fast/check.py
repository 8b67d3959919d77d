"""Whether layers computed fast give what they should: each kind in a network, against float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy

import torch
from torch import Tensor, nn

from striate.fast.computed import Computed
from striate.fast.normed import Normed
from striate.fast.pooled import Pooled

WRONG = {torch.bfloat16: 0.03, torch.float32: 1e-3}  # relative; rounding alone gives a tenth of it
KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, Computed, Normed, Pooled)


def wrong(
    module: nn.Module, images: Tensor, autocast: AbstractContextManager[object]
) -> str | None:
    """The first kind of layer whose output or gradients are wrong on this machine, or None.

    Convolutions in bfloat16 have been wrong on some processors and releases (PyTorch's issue
    169688: stride 3). Each layer is compared with itself in float32 by PyTorch's own operations, on
    its own input; layers alike in settings and volume once.

    Args:
        module: in training mode; its parameters get no gradients, its statistics may change.
        images: a few, as the module takes them.
        autocast: within which the module trains.
    """
    met: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {}

    def meet(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met.setdefault(f"{layer} {[tuple(each.shape) for each in inputs]}", (layer, inputs))

    hooks = [
        each.register_forward_pre_hook(meet) for each in module.modules() if isinstance(each, KINDS)
    ]
    try:
        with torch.no_grad(), autocast:
            module(images)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, inputs in met.values():
        inputs = tuple(each.detach() for each in inputs)
        wide = tuple(each.float() for each in inputs)
        with autocast:
            fast = list(_values(fresh := deepcopy(layer), fresh, inputs))
        exact = list(_values(fresh := deepcopy(layer), _plain(fresh), wide))
        for found, right in zip(fast, exact, strict=True):
            error = (found.float() - right).norm() / right.norm().clamp(min=1e-6)
            if not error < WRONG[fast[0].dtype]:  # as the output, gradients
                return str(getattr(layer, "layer", layer))
    return None


def _plain(layer: nn.Module) -> Callable[..., Tensor]:
    """What computes the same by PyTorch's operations."""
    if isinstance(layer, Normed):
        return layer.plainly
    return layer.layer if isinstance(layer, Computed | Pooled) else layer


def _values(
    layer: nn.Module, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> Iterator[Tensor]:
    """The output and all gradients, for a gradient of the output that is the same each time."""
    inputs = tuple(each.clone().requires_grad_() for each in inputs)
    out = compute(*inputs)
    # A generator of its own leaves training's alone; rounded, they are the same in both precisions.
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).bfloat16().to(out)
    wanted = [*inputs, *(each for each in layer.parameters() if each.requires_grad)]
    yield out.detach()
    yield from torch.autograd.grad(out, wanted, weights)
