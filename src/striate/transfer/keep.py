"""What stays of one network in another: the weights of layers of the same name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Kept(NamedTuple):
    """Names of weights: those that are taken over, those that begin anew with the reason."""

    taken: tuple[str, ...]
    anew: dict[str, str]


def keep(weights: Mapping[str, Tensor], model: nn.Module, *, dry: bool = False) -> Kept:
    """Give a model the weights that fit it; the others stay as they are.

    Args:
        dry: only say which.
    """
    taken, anew = [], {}
    with torch.no_grad():
        for name, own in model.state_dict().items():
            found = weights.get(name)
            if found is None:
                anew[name] = "new"
            elif found.shape != own.shape:
                was, now = ("x".join(map(str, each.shape)) or "1" for each in (found, own))
                anew[name] = f"was {was}, is {now}"
            else:
                taken.append(name)
                if not dry:
                    own.copy_(found)
    return Kept(tuple(taken), anew)
