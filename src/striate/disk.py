"""Files on a disk: texts read, homes found, folders made to last."""

from __future__ import annotations

import os
from pathlib import Path

from striate.errors import StriateError


def flush_folder(path: Path) -> None:
    """Make what was named, renamed or removed in a folder reach the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def at_home(name: str | Path) -> Path:
    """A path whose `~` or `~USER` is the folder of a user; as it is where there is no such user.

    Files may begin with that letter: Path.expanduser refuses those.
    """
    return Path(os.path.expanduser(name))


def text_of(path: Path, problem: type[StriateError]) -> str:
    """A file's text, UTF-8 with or without a mark at its beginning.

    Raises:
        StriateError: of the kind `problem`; the file cannot be read.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise problem(f"{path} cannot be read: it is not a UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise problem(f"{path} cannot be read: {reason}") from None
