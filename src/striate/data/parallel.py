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
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread
from time import sleep
from typing import Any, TypeVar

from striate.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")  # what faulty code ends by


class _Crashed(Exception):
    """A process ended by its own fault."""


class _NoStart(Exception):
    """A process could not begin: where they are not forked, a script needs a main guard."""


def mapped(
    function: Callable[[Sequence[Item]], Result],
    parts: Sequence[Sequence[Item]],
    workers: int,
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """The results of a function of parts, in their order, never many parts ahead of the reader.

    Args:
        function: with parts and results that can be pickled.
        workers: processes; below 2, or within a process that may start none, there are none.
        crashed: the result for an item with which a process crashes. The others of its part come
            in several results.

    Raises:
        DataError: a process was killed, and again when it was the only one.
    """
    workers = min(workers, len(parts))
    if workers < 2 or multiprocessing.current_process().daemon:
        yield from map(function, parts)
        return
    left = deque(parts)
    while left:
        try:
            for result in _in_processes(function, tuple(left), workers):
                yield result
                left.popleft()
        except BrokenProcessPool:
            for _ in range(min(len(left), _ahead(workers))):  # one of those under way
                yield from _apart(function, left.popleft(), crashed)


def _ahead(workers: int) -> int:
    """How many parts are under way at most."""
    return 2 * workers + 1


def _in_processes(
    function: Callable[[Sequence[Item]], Result], parts: Sequence[Sequence[Item]], workers: int
) -> Iterator[Result]:
    under_way: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, _context(), _attend, (os.getpid(),)) as pool:
        try:
            for part in parts:
                with _no_word_of_forks():
                    under_way.append(pool.submit(function, part))
                if len(under_way) == _ahead(workers):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _apart(
    function: Callable[[Sequence[Item]], Result],
    part: Sequence[Item],
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """A part's results, by a process of its own, or one for each half where that crashes."""
    try:
        yield _in_one(function, part)
    except _Crashed:
        if len(part) == 1:
            yield crashed(part[0])
            return
        half = len(part) // 2
        yield from _apart(function, part[:half], crashed)
        yield from _apart(function, part[half:], crashed)


def _in_one(function: Callable[[Sequence[Item]], Result], part: Sequence[Item]) -> Result:
    ours, theirs = _context().Pipe(duplex=False)
    process = _context().Process(target=_answer, args=(theirs, os.getpid(), function, part))
    with ours, _no_word_of_forks():
        process.start()
        theirs.close()
        try:
            result, error = ours.recv()
        except (EOFError, OSError):
            result, error = None, _reason(process)
        finally:
            process.kill()  # it has nothing left to do, or nobody who waits for it
            process.join()
    if isinstance(error, _NoStart):
        return function(part)
    if error is not None:
        raise error
    made: Result = result
    return made


def _reason(process: BaseProcess) -> Exception:
    """Why a process ended before it answered."""
    process.join()
    code = process.exitcode or 0
    if -code in {getattr(signal, name, None) for name in CRASHES}:
        return _Crashed()
    if code < 0:
        return DataError("a process that decodes images was killed, for want of memory mostly")
    return _NoStart()


def _answer(pipe: Connection, parent: int, function: Callable[[Any], Any], part: Any) -> None:
    _attend(parent)
    try:
        pipe.send((function(part), None))
    except Exception as error:
        pipe.send((None, error))


def _context() -> Any:
    # Forked where that is usual, so that a script needs no main guard.
    return multiprocessing.get_context("fork" if sys.platform == "linux" else None)


@contextmanager
def _no_word_of_forks() -> Iterator[None]:
    with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _attend(parent: int) -> None:
    """End with the parent, even a killed one, whose locks a fork holds too; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
