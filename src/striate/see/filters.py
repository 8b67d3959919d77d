"""A layer's filters: of the first one in colour, of any other channel by channel."""

from __future__ import annotations

from torch import Tensor, nn

from striate.errors import SeeError
from striate.see.copies import layer


def filters(model: nn.Module, name: str) -> Tensor:
    """The weights of a layer, (filters, depth, rows, columns), as a copy.

    Of a fully connected layer (units, inputs, 1, 1).

    Raises:
        SeeError: there is no such layer, or it has no filters.
    """
    found = layer(model, name)
    if isinstance(found, nn.Linear):
        return found.weight.detach().clone()[:, :, None, None]
    if isinstance(found, nn.Conv2d):
        return found.weight.detach().clone()
    if isinstance(found, nn.ConvTranspose2d):
        return found.weight.detach().clone().transpose(0, 1)
    raise SeeError(f"{name} has no filters: it is a {type(found).__name__}")
