"""Where downloads and decoded images are kept."""

from __future__ import annotations

import os
from pathlib import Path

from striate.disk import at_home


def cache_folder() -> Path:
    """The folder for what can be had again: $STRIATE_CACHE, or the platform's usual place."""
    import platformdirs

    if given := os.environ.get("STRIATE_CACHE"):
        return at_home(given)
    return platformdirs.user_cache_path("striate")
