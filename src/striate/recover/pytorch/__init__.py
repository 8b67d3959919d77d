"""A PyTorch module is run, and each function of PyTorch's that it calls becomes a layer."""

from __future__ import annotations

# Each registers its functions.
from striate.recover.pytorch import activations, filters, joins, moving, normalisation, pooling

__all__ = ["activations", "filters", "joins", "moving", "normalisation", "pooling"]
