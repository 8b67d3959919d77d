"""Work that several processes share, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from time import sleep
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def mapped(
    function: Callable[[Part], Result], parts: Sequence[Part], workers: int
) -> Iterator[Result]:
    """The results of a function of parts, in their order, never many parts ahead of the reader.

    Args:
        function: with parts and results that can be pickled.
        workers: processes; below 2, or within a process that may start none, there are none.
    """
    workers = min(workers, len(parts))
    done = 0
    if workers > 1 and not multiprocessing.current_process().daemon:
        try:
            for result in _in_processes(function, parts, workers):
                yield result
                done += 1
        except BrokenProcessPool:  # one was killed, for want of memory mostly
            pass
    yield from map(function, parts[done:])


def _in_processes(
    function: Callable[[Part], Result], parts: Sequence[Part], workers: int
) -> Iterator[Result]:
    # Forked where that is usual, so that a script needs no main guard.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    ahead: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, context, _attend, (os.getpid(),)) as pool:
        try:
            for part in parts:
                with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads
                    warnings.simplefilter("ignore", DeprecationWarning)
                    ahead.append(pool.submit(function, part))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _attend(parent: int) -> None:
    """End with the parent, even a killed one, whose locks a fork holds too; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
