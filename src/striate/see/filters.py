"""A layer's filters: of the first one in colour, of any other channel by channel."""

from __future__ import annotations

from torch import Tensor, nn

from striate.errors import SeeError
from striate.layers.volume import Volume
from striate.see.copies import layer


def filters(model: nn.Module, name: str, met: Volume | None = None) -> Tensor:
    """The weights of a layer, (filters, depth, rows, columns), as a copy.

    Args:
        met: the volume that the layer takes in. A fully connected one has the weights of each unit
            laid out as that volume is: over an image, the templates of a linear classifier
            (CS231n, linear-classify). Without it they are (units, inputs, 1, 1).

    Raises:
        SeeError: there is no such layer, or it has no filters.
    """
    found = layer(model, name)
    if isinstance(found, nn.Linear):
        return laid_out(found.weight.detach().clone(), met)
    if isinstance(found, nn.Conv2d):
        return found.weight.detach().clone()
    if isinstance(found, nn.ConvTranspose2d):
        return found.weight.detach().clone().transpose(0, 1)
    raise SeeError(f"{name} has no filters: it is a {type(found).__name__}")


def laid_out(weights: Tensor, met: Volume | None) -> Tensor:
    """The weights of a fully connected layer, (units, inputs), as the volume that they meet."""
    return weights.reshape(len(weights), *(met.depth, met.height, met.width) if met else (-1, 1, 1))
