"""striate: a workbench for ConvNets. One text describes a network, and everything else follows.

    >>> import striate
    >>> network = striate.read("[32x32x3] conv5-16 relu maxpool2 fc-10 softmax")
    >>> network.account().totals.parameters
    42186

Importing this package does not import torch; `network.build()` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate import layers, zoo
    from striate.account import Account
    from striate.build import ConvNet
    from striate.comparison import compare
    from striate.errors import DataError, NotationError, RunError, StriateError
    from striate.layers import Volume
    from striate.network import Network, read
    from striate.pattern import generate, match

_HOMES = {
    "Account": "account",
    "ConvNet": "build",
    "DataError": "errors",
    "Network": "network",
    "NotationError": "errors",
    "RunError": "errors",
    "StriateError": "errors",
    "Volume": "layers",
    "compare": "comparison",
    "generate": "pattern",
    "layers": "",
    "match": "pattern",
    "read": "network",
    "zoo": "",
}

__version__ = "0.1.0"
__all__ = [
    "Account",
    "ConvNet",
    "DataError",
    "Network",
    "NotationError",
    "RunError",
    "StriateError",
    "Volume",
    "compare",
    "generate",
    "layers",
    "match",
    "read",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOMES[name]:
        return import_module(f"{__name__}.{name}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
