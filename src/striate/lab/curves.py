"""A number over a run, thinned so that no page grows: means over stretches of equal length."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST = 1000  # points of a curve, an even number


@dataclass(eq=False)
class Curve:
    """Means over stretches of values; when there are too many, two and two become one.

    Attributes:
        stretch: how many values a point is the mean of.
    """

    stretch: int = 1
    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)
    pending: list[tuple[float, float]] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """One more value, farther on than all before."""
        self.pending.append((x, y))
        if len(self.pending) < self.stretch:
            return
        x, y = np.mean(self.pending, axis=0)
        self.xs.append(float(x))
        self.ys.append(float(y))
        self.pending = []
        if len(self.xs) == MOST:
            self.xs, self.ys = _halved(self.xs), _halved(self.ys)
            self.stretch *= 2

    def points(self) -> NDArray[np.float32]:
        """(points, 2), x and y; what is not a whole stretch yet last."""
        found = list(zip(self.xs, self.ys, strict=True))
        if self.pending:
            x, y = np.mean(self.pending, axis=0)
            found.append((float(x), float(y)))
        return np.asarray(found, dtype=np.float32).reshape(-1, 2)


def _halved(values: list[float]) -> list[float]:
    return [float(each) for each in np.reshape(values, (-1, 2)).mean(axis=1)]
