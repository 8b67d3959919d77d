"""What makes files on a disk last."""

from __future__ import annotations

import os
from pathlib import Path


def flush_folder(path: Path) -> None:
    """Make what was named, renamed or removed in a folder reach the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
