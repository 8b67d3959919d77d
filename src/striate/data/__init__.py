"""Images: where they come from, how they are split, and how a batch of them reaches the network.

    source ──load──► Splits of Images (bytes) ──prepare──► Preparation: bytes to float32

Importing this package, or `load`, does not import torch; `prepare` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.data.images import Images, Splits, hold_out
    from striate.data.order import shuffled
    from striate.data.preparation import Preparation, prepare
    from striate.data.sources import load

_HOMES = {
    "Images": "images",
    "Preparation": "preparation",
    "Splits": "images",
    "hold_out": "images",
    "load": "sources",
    "prepare": "preparation",
    "shuffled": "order",
}

__all__ = ["Images", "Preparation", "Splits", "hold_out", "load", "prepare", "shuffled"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
