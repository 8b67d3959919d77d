"""What a worker opens: named here, so that whoever starts workers needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.ship.predictor import Predictor


@dataclass(frozen=True)
class Opening:
    """A call of `open_predictor`, to be made in another process."""

    source: str
    engine: str
    threads: int

    def __call__(self) -> Predictor:
        """The network, ready to answer.

        Raises:
            StriateError: it cannot be opened.
        """
        from striate.ship.predictor import open_predictor

        return open_predictor(self.source, engine=self.engine, threads=self.threads)
