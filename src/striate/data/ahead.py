"""Work done in the background while its reader is busy."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

Item = TypeVar("Item")


class _Last:
    """What comes after all items, with what was raised instead of another."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterator[Item], most: int = 2) -> Iterator[Item]:
    """The same items in the same order, made by a thread.

    Args:
        most: items that are ready or being made, beside the one that is read.

    What is raised where they are made is raised here. The thread ends with its reader: when all is
    read, when an error is, when this generator is closed; an item that is being made is finished.
    """
    made: SimpleQueue[Item | _Last] = SimpleQueue()
    room, left = Semaphore(most), False

    def work() -> None:
        try:
            while True:
                room.acquire()
                if left:
                    break
                made.put(next(items))
        except StopIteration:
            made.put(_Last())
        except BaseException as error:
            made.put(_Last(error))
        finally:
            if close := getattr(items, "close", None):
                close()

    thread = Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _Last):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left = True
        room.release()
        thread.join()
