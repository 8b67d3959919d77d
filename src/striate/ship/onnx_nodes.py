"""Nodes and constants of an ONNX graph as they are added."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import helper, numpy_helper

from striate.ship.engines import PIXELS, PROBABILITIES, SCORES


class Graph:
    """Nodes and constants as they are added; a volume is known by the name of its tensor."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.taken = dict.fromkeys((PIXELS, PROBABILITIES, SCORES), 1)

    def op(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, which is returned."""
        output = self._free(name)
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, values: Any, name: str) -> str:
        """Add a constant: floats as float32, whole numbers as int64."""
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        array = np.asarray(values)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = self._free(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _free(self, name: str) -> str:
        count = self.taken[name] = self.taken.get(name, 0) + 1
        return name if count == 1 else self._free(f"{name}_{count}")
