"""Occlusion (Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2)."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn

from striate.errors import SeeError
from striate.see.copies import copied, scored, targets

AT_ONCE = 64  # images


def occlusion(
    model: nn.Module,
    image: Tensor,
    baseline: Tensor,
    target: int | None = None,
    *,
    size: int = 8,
    stride: int = 4,
) -> Tensor:
    """How much a class's score falls where a square of the image is covered.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        image: prepared, (D, H, W).
        baseline: what covers it, prepared too, (D, H, W): the `preparation` of grey or black
            pixels.
        target: the class; by default the one that scores highest.
        size: of the square, in pixels.
        stride: from one square to the next.

    Returns:
        (rows, columns): score(image) - score(image with the square covered), for the squares that
        begin at every `stride` pixels and lie within the image.

    Raises:
        SeeError: there is no such class, or the square is larger than the image.
    """
    height, width = image.shape[1:]
    if not 1 <= size <= min(height, width) or stride < 1:
        raise SeeError(
            f"a square of {size} every {stride} does not fit an image of {height}x{width}"
        )
    rows, columns = range(0, height - size + 1, stride), range(0, width - size + 1, stride)
    places = list(product(rows, columns))
    copy = copied(model)
    found = []
    with torch.no_grad():
        whole = scored(copy, image[None])
        chosen = int(targets(whole, target)[0])
        for first in range(0, len(places), AT_ONCE):
            some = places[first : first + AT_ONCE]
            covered = image.repeat(len(some), 1, 1, 1)
            for each, (row, column) in zip(covered, some, strict=True):
                square = (..., slice(row, row + size), slice(column, column + size))
                each[square] = baseline[square]
            found.append(scored(copy, covered)[:, chosen])
    return (whole[0, chosen] - torch.cat(found)).view(len(rows), len(columns))
