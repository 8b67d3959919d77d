"""Networks read from PyTorch modules, ONNX files and the libraries that have them."""

from __future__ import annotations

from striate.recover.recovery import Recovered, recover

__all__ = ["Recovered", "recover"]
