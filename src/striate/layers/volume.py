"""The vocabulary of the lower floors: volumes, pairs, parameter counts."""

from __future__ import annotations

from typing import NamedTuple


class Volume(NamedTuple):
    """An activation volume of one image, as the lectures write it: height x width x depth."""

    height: int
    width: int
    depth: int

    @property
    def size(self) -> int:
        """How many values it holds."""
        return self.height * self.width * self.depth

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.depth}"


class Pair(NamedTuple):
    """Something that has a height and a width: a kernel, a stride, a zero padding."""

    height: int
    width: int

    def __str__(self) -> str:
        if self.height == self.width:
            return str(self.height)
        return f"{self.height}x{self.width}"


class Parameters(NamedTuple):
    """Learned values. Batch normalisation's scales and shifts count as biases."""

    weights: int
    biases: int

    @property
    def total(self) -> int:
        return self.weights + self.biases
