"""A layer's values as a description of an image: nearest neighbours, and a map on a plane."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import Images, Preparation
from striate.data.tell import Tell, silent
from striate.errors import SeeError
from striate.see.copies import copied, device_of, volumes

BATCH = 256  # images at a time
FEWEST = 4  # images on a plane
LARGEST = 4096  # values of a code: those of AlexNet's fc7
Codes = NDArray[np.float32]


def codes(
    model: nn.Module,
    images: Images,
    preparation: Preparation,
    layer: str,
    *,
    tell: Tell = silent,
) -> Codes:
    """The layer's values for each image, (images, values); see `averaged`.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        layer: its name, as in the table.
        tell: hears how far it has come.

    Raises:
        SeeError: there is no such layer.
    """
    copy = copied(model)
    device = device_of(copy)
    parts = []
    with torch.no_grad(), volumes(copy, [layer]) as found:
        for first in range(0, len(images), BATCH):
            tell("looking at images", first, len(images))
            chosen = np.arange(first, min(first + BATCH, len(images)))
            copy(preparation(images.pixels[chosen], device))
            parts.append(averaged(found[layer]))
    tell("looking at images", len(images), len(images))
    return np.concatenate(parts)


def averaged(volume: Tensor) -> Codes:
    """A layer's values as codes, (N, values): of maps of more than 4,096 values their means."""
    if volume[0].numel() > LARGEST and volume.dim() == 4:
        volume = volume.mean(dim=(2, 3))
    found: Codes = volume.flatten(1).float().cpu().numpy()
    return found


def neighbours(of: Codes, among: Codes, count: int = 5) -> NDArray[np.int64]:
    """The positions of the nearest by the angle between codes, (images, count), nearest first."""
    return np.argsort(-(_unit(of) @ _unit(among).T), axis=1, kind="stable")[:, :count]


def flat_map(found: Codes, *, perplexity: float = 30, seed: int = 0) -> NDArray[np.float64]:
    """Places on a plane that keep neighbours together, (images, 2).

    t-SNE (van der Maaten and Hinton 2008), by the angle between codes. Distances between groups,
    and the groups' sizes, say nothing.

    Args:
        perplexity: about how many neighbours count, (images - 1) / 3 at most.
        seed: of where it starts.

    Raises:
        SeeError: openTSNE is not installed, or there are too few images.
    """
    try:
        from openTSNE import TSNE
    except ModuleNotFoundError:
        raise SeeError("a map needs openTSNE: pip install 'striate[see]'") from None
    if len(found) < FEWEST:
        raise SeeError(f"{len(found)} images are too few for a map: it takes {FEWEST}")
    made = TSNE(
        perplexity=min(perplexity, (len(found) - 1) / 3),
        metric="cosine",
        random_state=seed,
        n_jobs=1,  # more would place them elsewhere
    ).fit(found)
    return np.asarray(made, dtype=np.float64)


def _unit(found: Codes) -> Codes:
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(norms, 1e-12), dtype=np.float32)
