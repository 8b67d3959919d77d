"""Style transfer (Gatys, Ecker, Bethge 2015, arXiv:1508.06576)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.data import Preparation
from striate.see.copies import copied, volumes
from striate.see.optimise import Limits, total_variation


def gram(volume: Tensor) -> Tensor:
    """How far each two of a layer's maps rise together, (1, K, H, W) to (K, K).

    A mean over positions and maps, so that neither the image's size nor the layer's counts.
    """
    maps = volume[0].flatten(1)
    return maps @ maps.T / maps.numel()


def styled(
    model: nn.Module,
    content: Tensor,
    style: Tensor,
    preparation: Preparation,
    *,
    content_layer: str,
    style_layers: Sequence[str],
    style_weight: float = 1e3,
    smooth: float = 0.016,
    steps: int = 200,
    rate: float = 0.0075,
) -> Tensor:
    """The content of an image in the style of another.

    Adam lessens the mean squared difference of the content layer's values from the content's, plus
    `style_weight` times that of the style layers' Gram matrices from the style's (equation 7), each
    relative to what it is to be, plus `smooth` times the total variation. It starts from the
    content.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        content, style: prepared, (D, H, W) each.
        preparation: what their pixels went through.
        content_layer, style_layers: their names, as in the table.
        rate: of Adam, of the way from black to white.

    Returns:
        (D, H, W), prepared.

    Raises:
        SeeError: there is no such layer.
    """
    copy = copied(model)
    limits = Limits.of(preparation, content.device)
    before = limits.pixels(content[None])
    change = torch.zeros_like(before, requires_grad=True)  # of pixels: none is no change to the bit
    climber = torch.optim.Adam([change], lr=rate)
    with volumes(copy, [content_layer, *style_layers]) as found:
        with torch.no_grad():
            copy(content[None])
            wanted = found[content_layer]
            copy(style[None])
            grams = {name: gram(found[name]) for name in style_layers}
        with torch.enable_grad():
            for _ in range(steps):
                climber.zero_grad()
                copy(content + limits.span * change)
                loss = smooth * total_variation(before + change) + _apart(
                    found[content_layer], wanted
                )
                for name, looks in grams.items():
                    loss = loss + style_weight * _apart(gram(found[name]), looks) / len(grams)
                torch.autograd.backward(loss)
                climber.step()
                change.data = change.data.clamp(-before, 1 - before)
    return (content + limits.span * change.detach())[0]


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)
