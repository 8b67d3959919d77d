"""Of several processes that want the same file, one makes it and the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from striate.data.tell import Tell


@contextmanager
def alone(path: Path, waiting: str, tell: Tell) -> Iterator[None]:
    """Holds a lock, a file; tells that it waits where another process holds it.

    The lock of a process that died is free.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        tell(waiting, 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
