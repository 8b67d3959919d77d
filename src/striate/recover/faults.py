"""What other people's code raises while it is read."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from traceback import extract_tb

import striate
from striate.foreign import short

# Where code lies that the person in front did not write.
PLACES = [Path(striate.__file__).parent, *map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))]
INSTALLED = (*(f"{each}{os.sep}" for each in PLACES), "<")


def raised(reason: Exception) -> str:
    """What it is, and where: `ValueError: no luck (models.py, line 7)`."""
    frames = reversed(extract_tb(reason.__traceback__))
    own = next((each for each in frames if not each.filename.startswith(INSTALLED)), None)
    place = f" ({Path(own.filename).name}, line {own.lineno})" if own else ""
    return f"{type(reason).__name__}: {short(reason)}{place}"
