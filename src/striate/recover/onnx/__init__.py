"""An ONNX file is read, and each of its operators becomes a layer."""

from __future__ import annotations

# Each registers its operators.
from striate.recover.onnx import activations, filters, joins, moving, normalisation, pooling
from striate.recover.onnx.reading import recovered_file

__all__ = [
    "activations",
    "filters",
    "joins",
    "moving",
    "normalisation",
    "pooling",
    "recovered_file",
]
