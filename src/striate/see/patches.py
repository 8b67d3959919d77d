"""The parts of images that excite a unit most, over a whole set (Girshick et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Images, Preparation
from striate.data.tell import Tell, silent
from striate.network import Network
from striate.see.copies import copied, device_of, spatial, volumes
from striate.see.fields import Box, Fields

BATCH = 256  # images at a time


@dataclass(frozen=True)
class Patch:
    """A part of an image that excites a unit.

    Attributes:
        image: its position in the set.
        row, column: of the layer's map.
        value: what the unit gives there.
        box: its receptive field in the network's input.
    """

    image: int
    row: int
    column: int
    value: float
    box: Box


def top_patches(
    model: nn.Module,
    network: Network,
    images: Images,
    preparation: Preparation,
    layer: str,
    *,
    count: int = 9,
    tell: Tell = silent,
) -> list[list[Patch]]:
    """For every unit of a layer the patches that excite it most, one of each image at most.

    Girshick et al. 2013, arXiv:1311.2524, section 3.1; Zeiler and Fergus 2013, figure 2.

    Args:
        model: the network's module; it is not touched.
        images: the set.
        layer: its name, as in the table.
        count: patches for each unit.
        tell: hears how far it has come.

    Returns:
        A list for each unit, the highest value first; of equal ones the earlier image.

    Raises:
        SeeError: there is no such layer, or its receptive field is unknown.
    """
    fields = Fields(network, layer)
    copy = copied(model)
    device = device_of(copy)
    best: list[Tensor] = []  # values, images and places, (units, count) each
    width = 1
    with torch.no_grad(), volumes(copy, [layer]) as found:
        for first in range(0, len(images), BATCH):
            tell("looking for patches", first, len(images))
            chosen = np.arange(first, min(first + BATCH, len(images)))
            copy(preparation(images.pixels[chosen], device))
            maps = spatial(found[layer]).float().cpu()
            width = maps.shape[3]
            values, places = (each.T for each in maps.flatten(2).max(dim=2))
            new = [values, torch.from_numpy(chosen).expand_as(values), places]
            both = [torch.cat(pair, dim=1) for pair in zip(best, new, strict=True)] if best else new
            order = both[0].sort(dim=1, descending=True, stable=True).indices[:, :count]
            best = [each.gather(1, order) for each in both]
    tell("looking for patches", len(images), len(images))
    patches: list[list[Patch]] = []
    for unit in zip(*(each.tolist() for each in best), strict=True):
        patches.append([])
        for value, image, place in zip(*unit, strict=True):
            row, column = divmod(place, width)
            patches[-1].append(Patch(image, row, column, value, fields.box(row, column)))
    return patches
