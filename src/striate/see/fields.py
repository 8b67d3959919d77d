"""Where on the image a unit looks: its receptive field, with the padding of its layers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import pad

from striate.account.field import fields
from striate.errors import SeeError, nearest
from striate.network import Network


class Box(NamedTuple):
    """Rows and columns of the input, from the first to the one after the last.

    Below 0 and beyond the input they lie in padding.
    """

    top: int
    left: int
    bottom: int
    right: int


class Fields:
    """The receptive fields of a layer's positions.

    Raises:
        SeeError: there is no such layer, or what it sees follows no pattern.
    """

    def __init__(self, network: Network, layer: str) -> None:
        names = [step.name for step in network.steps]
        if layer not in names:
            raise SeeError(f"the network has no layer {layer!r}: {nearest(layer, names)}")
        field = fields(network.steps)[names.index(layer)]
        rows, columns = field.height.sight, field.width.sight
        if rows is None or columns is None:
            raise SeeError(f"what {layer} sees of the image follows no pattern that is known")
        self.layer, self.rows, self.columns = layer, rows, columns

    def box(self, row: int, column: int) -> Box:
        """What the layer sees at a position of its map.

        Raises:
            SeeError: it sees nothing of the image there.
        """
        rows, columns = self.rows.at(row), self.columns.at(column)
        if rows is None or columns is None:
            raise SeeError(f"{self.layer} sees nothing of the image at {row},{column}")
        return Box(rows[0], columns[0], rows[1] + 1, columns[1] + 1)


def cut(image: Tensor, box: Box) -> Tensor:
    """The part of an image, (..., H, W), that a box holds, with zeros where it is padding."""
    height, width = image.shape[-2:]
    above, before = max(0, -box.top), max(0, -box.left)
    margins = before, max(0, box.right - width), above, max(0, box.bottom - height)
    rows = slice(box.top + above, box.bottom + above)
    return pad(image, margins)[..., rows, box.left + before : box.right + before]
