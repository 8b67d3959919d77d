"""Whether layers computed fast give what they should: each kind in a network, against float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy

import torch
from torch import Tensor, nn

from striate.fast.normed import Normed
from striate.fast.pointwise import Pointwise
from striate.fast.sidebyside import SideBySide

WRONG = {torch.bfloat16: 0.03, torch.float32: 1e-3}  # relative; rounding alone gives a tenth of it
KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, Pointwise, SideBySide, Normed)


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
        with autocast:
            fast = list(_values(deepcopy(layer), inputs))
        exact = list(_values(_plain(deepcopy(layer)), tuple(each.float() for each in inputs)))
        for found, right in zip(fast, exact, strict=True):
            error = (found.float() - right).norm() / right.norm().clamp(min=1e-6)
            if not error < WRONG[fast[0].dtype]:  # as the output, gradients
                return str(getattr(layer, "convolution", layer))
    return None


def _plain(layer: nn.Module) -> nn.Module:
    if isinstance(layer, Pointwise | SideBySide):
        return layer.convolution
    if isinstance(layer, Normed):
        layer.fits = lambda *inputs: False  # type: ignore[method-assign]
    return layer


def _values(layer: nn.Module, inputs: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """The output and all gradients, for a gradient of the output that is the same each time."""
    inputs = tuple(each.clone().requires_grad_() for each in inputs)
    out = layer(*inputs)
    # A generator of its own leaves training's alone; rounded, they are the same in both precisions.
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).bfloat16().to(out)
    wanted = [*inputs, *(each for each in layer.parameters() if each.requires_grad)]
    yield out.detach()
    yield from torch.autograd.grad(out, wanted, weights)
