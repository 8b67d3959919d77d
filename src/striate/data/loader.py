"""Batches in order: which images each step sees, as a function of (seed, epoch, step) alone."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.images import Images, Pixels
from striate.data.order import shuffled
from striate.errors import DataError


class Loaded(NamedTuple):
    """A batch as it lies in the data, or several in a row.

    Attributes:
        samples: the images' positions in their split, (n,).
        pixels: uint8, (n, H, W, D): an array, or a tensor where the images lie on a device.
        labels: int64, (n,).
    """

    samples: NDArray[np.int64]
    pixels: Any
    labels: NDArray[np.int64]


def everything(count: int) -> slice:
    """All of a batch."""
    return slice(0, count)


def whole(pixels: Pixels, samples: NDArray[np.int64], epoch: int) -> Any:
    """All of each image."""
    return pixels[samples]


@dataclass(frozen=True)
class Batches:
    """The batches of a whole run, numbered from 0 on through its epochs.

    Those of an epoch differ by one image at most: a last batch of a single one would stop batch
    normalisation.

    Attributes:
        size: images in a batch, at most.
        share: the part of a batch of so many that this process loads.
        look: what is taken of some images in an epoch.
    """

    images: Images
    size: int
    seed: int
    share: Callable[[int], slice] = everything
    look: Callable[[Pixels, NDArray[np.int64], int], Any] = whole

    @property
    def per_epoch(self) -> int:
        return -(-len(self.images) // self.size)

    def samples(self, number: int) -> NDArray[np.int64]:
        """The positions of the images in a batch, those of other processes too."""
        first, end = self._bounds(number)
        return _order(len(self.images), self.seed, self.epoch(number))[first:end]

    def epoch(self, number: int) -> int:
        """That a batch belongs to, counted from 1."""
        return number // self.per_epoch + 1

    def count(self, number: int) -> int:
        """How many images a batch has, those of other processes too."""
        first, end = self._bounds(number)
        return end - first

    def own(self, number: int) -> NDArray[np.int64]:
        """The positions of the images in this process's share of a batch."""
        return self.samples(number)[self.share(self.count(number))]

    def _bounds(self, number: int) -> tuple[int, int]:
        step = number % self.per_epoch
        size, larger = divmod(len(self.images), self.per_epoch)  # the first ones have one more
        first = step * size + min(step, larger)
        return first, first + size + (step < larger)

    def __getitem__(self, numbers: int | Sequence[int]) -> Loaded:
        some = [numbers] if isinstance(numbers, int) else numbers
        samples = np.concatenate([self.own(number) for number in some])
        pixels = self.look(self.images.pixels, samples, self.epoch(some[0]))
        return Loaded(samples, pixels, self.images.labels[samples])

    def groups(self, first: int, end: int, together: int) -> Iterator[range]:
        """The numbers from `first` up to `end`, at most so many together, never of two epochs."""
        while first < end:
            stop = min(end, first + together, self.epoch(first) * self.per_epoch)
            yield range(first, stop)
            first = stop

    def load(
        self, first: int, end: int, workers: int = 0, *, together: int = 1
    ) -> Iterator[Loaded]:
        """The batches from `first` up to `end`, in order.

        Args:
            workers: processes that load ahead; with 0 each batch is loaded when it is asked for.
                The batches are the same whatever their number.
            together: batches that are loaded as one: those of each of the `groups`.
        """
        groups = self.groups(first, end, together)
        if not workers:
            yield from map(self.__getitem__, groups)
            return
        from torch.utils.data import DataLoader

        with warnings.catch_warnings():
            # Of more workers than processors, twice: a person asked for so many.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            ahead: DataLoader[Loaded | str] = DataLoader(
                _Told(self),  # type: ignore[arg-type]  # all it needs is __getitem__
                batch_size=None,
                sampler=groups,
                num_workers=workers,
                worker_init_fn=_quiet,
            )
            loaded = iter(ahead)
        try:
            for found in loaded:
                if isinstance(found, str):
                    raise DataError(found)
                yield Loaded(*(each.numpy() for each in found))
        except RuntimeError as reason:
            if "DataLoader worker" not in str(reason):
                raise
            raise DataError(f"{reason} Fewer --workers need less memory") from None


@dataclass(frozen=True)
class _Told:
    """Batches whose error is told: an error of a worker would come with its traceback."""

    batches: Batches

    def __getitem__(self, numbers: range) -> Loaded | str:
        try:
            return self.batches[numbers]
        except DataError as reason:
            return str(reason)


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return shuffled(count, seed, epoch)


def _quiet(worker: int) -> None:
    """Ctrl-C, or a polite kill, goes to every process of a group; the one that trains ends them."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
