"""The order of things, as a function of numbers that a run can write down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffled(count: int, seed: int, stage: int = 0) -> NDArray[np.int64]:
    """The numbers below `count` in an order that depends on (count, seed, stage) and nothing else.

    Args:
        seed, stage: whole numbers below 2**64; a stage is an epoch or a class.

    Philox is a function of its key, the same in every version of NumPy, which is promised of no
    `Generator.permutation` (NEP 19). An epoch's order thus needs no state to be saved.
    """
    generator = np.random.Philox(key=np.array([seed, stage], dtype=np.uint64))
    return np.argsort(generator.random_raw(count), kind="stable")
