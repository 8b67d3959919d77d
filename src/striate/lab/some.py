"""A few images of a set that stand for all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data import Images


def some(images: Images, most: int) -> NDArray[np.int64]:
    """Positions of so many at most, evenly spread: many a set lies class by class."""
    count = min(most, len(images))
    return np.arange(count, dtype=np.int64) * len(images) // count
