"""What the page shows of a network at this moment: volumes, filters, their gradients, as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from striate.gallery.levels import bound, signed
from striate.layers.volume import Volume
from striate.see.copies import copied, device_of, scored, spatial, volumes
from striate.see.filters import laid_out

MAPS = 64  # of a layer
SIDE = 64  # pixels of a map; larger ones are averaged
FILTERS = 64
BINS = 41  # of a histogram
CHANNELS = 3  # of a filter that is no colour
Shown = tuple[dict[str, Any], dict[str, NDArray[Any]]]  # a frame's header and arrays


def of_image(
    model: nn.Module, image: Tensor, label: int | None, layers: Sequence[str], scale: str
) -> Shown:
    """The volumes of layers and the loss's gradients with respect to them, in evaluation mode.

    Args:
        image: prepared, (D, H, W).
        label: its class; of an image of unknown class the one that scores highest stands in.
        scale: over what the largest value is black or white: `map`, `layer` or `network`.
    """
    copy = copied(model)
    seen = image.detach()[None].to(device_of(copy), copy=True).requires_grad_()
    with torch.enable_grad(), volumes(copy, layers) as found:
        scores = scored(copy, seen)
        target = torch.tensor([int(scores.argmax()) if label is None else label]).to(scores.device)
        loss = cross_entropy(scores, target)
        slopes = torch.autograd.grad(loss, [found[name] for name in layers], allow_unused=True)
    told, arrays = [], {}
    values = {name: spatial(found[name].detach())[0] for name in layers}
    gradients = {
        name: spatial(torch.zeros_like(found[name]) if slope is None else slope)[0]
        for name, slope in zip(layers, slopes, strict=True)
    }
    whole = {"activations": values, "gradients": gradients}
    over = {kind: max(map(bound, each.values()), default=0.0) for kind, each in whole.items()}
    for name in layers:
        volume = values[name]
        about: dict[str, Any] = {"name": name, "maps": len(volume), "side": volume.shape[1:]}
        for kind, each in whole.items():
            volume = each[name]
            about[kind] = [float(volume.min()), float(volume.max())]
            largest = _largest(volume[:MAPS], bound(volume), scale, over[kind])
            arrays[f"{name}/{kind}"] = _bytes(volume[:MAPS], largest)
            arrays[f"{name}/{kind}/largest"] = largest.numpy()
        told.append(about)
    probabilities = scores.softmax(dim=1)[0].detach()
    header = {
        "layers": told,
        "scale": scale,
        "mode": "evaluation",
        "target": int(target),
        "known": label is not None,
        "loss": float(loss.detach()),
        "probabilities": probabilities.tolist(),
    }
    return header, arrays


def of_weights(model: nn.Module, layers: Mapping[str, Volume]) -> Shown:
    """Filters and the gradients of the last step, with the least and the largest of each.

    Filters of three channels are in colour, of others the first few channels are shown; those of a
    fully connected layer as the volume it meets. The histogram of the weights goes from the least
    to the largest.

    Args:
        layers: what each meets, by name.
    """
    told: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    modules = dict(model.named_modules())
    for name, met in layers.items():
        own = [each for _, each in modules[name].named_parameters()]
        if not own:
            continue
        about: dict[str, Any] = {"name": name, "parameters": _arithmetic(own)}
        weight = next((each for each in own if each.dim() > 1), None)
        if weight is not None:
            about |= {"filters": len(weight), "shown": FILTERS}
            arrays[f"{name}/histogram"] = _histogram(weight)
            for kind, tensor in (("weights", weight.detach()), ("slopes", weight.grad)):
                if tensor is None:
                    continue
                about[kind] = [float(tensor.min()), float(tensor.max())]
                filters = laid_out(tensor, met) if tensor.dim() == 2 else tensor
                if filters.dim() == 4 and filters.shape[2:] != (1, 1):
                    arrays[f"{name}/{kind}"] = _tiles(filters)
        told.append(about)
    return {"layers": told}, arrays


def _arithmetic(parameters: Sequence[Tensor]) -> str:
    """How many there are, as one counts them: 16·1·3·3 + 16 = 160."""
    parts = [" · ".join(map(str, each.shape)) for each in parameters]
    whole = sum(each.numel() for each in parameters)
    return " + ".join(parts) + (f" = {whole:,}" if parts != [str(whole)] else "")


def _histogram(values: Tensor) -> NDArray[np.int32]:
    """Counts in bins of equal width from the least to the largest."""
    flat = values.detach().flatten().float().cpu()
    low, high = float(flat.min()), float(flat.max())
    return torch.histc(flat, BINS, low, high if high > low else low + 1).int().numpy()


def coloured(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., height, width, 1 or 3) as (..., height, width, 3)."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:-1], 3)))


def _tiles(weight: Tensor) -> NDArray[np.uint8]:
    """(tiles, rows, columns, 3) of filters in colour, else (tiles, rows, columns)."""
    filters = weight[:FILTERS]
    levels = signed(filters, bound(filters))
    if filters.shape[1] == 3:
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))
    return np.ascontiguousarray(levels[:, :CHANNELS].reshape(-1, *levels.shape[2:]))


def _largest(maps: Tensor, layer: float, scale: str, network: float) -> Tensor:
    """For each map the absolute value that is black or white."""
    if scale == "map":
        return maps.abs().amax(dim=(1, 2)).float().cpu()
    return torch.full((len(maps),), layer if scale == "layer" else network)


def _bytes(maps: Tensor, largest: Tensor) -> NDArray[np.uint8]:
    """(maps, rows, columns) of (K, H, W), large ones averaged."""
    if max(maps.shape[1:]) > SIDE:
        rows, columns = (min(SIDE, each) for each in maps.shape[1:])
        maps = adaptive_avg_pool2d(maps[None], (rows, columns))[0]
    return signed(maps / largest.to(maps).clamp(min=1e-30)[:, None, None], 1.0)
