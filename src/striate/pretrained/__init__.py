"""Runs that come along: small networks with learned weights, to look into and to begin from.

Made by `make pretrained`. They are run folders without checkpoints; their recipes say what they
were trained on. `open_run` knows them by name wherever no folder of that name is there.
"""

from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).parent


def names() -> list[str]:
    """The names of all of them."""
    return sorted(path.parent.name for path in HOME.glob("*/run.json"))


def folder(name: str) -> Path | None:
    """The folder of one of them; None where there is none of that name."""
    return HOME / name if name in names() else None


def reference(path: Path) -> str:
    """What opens a run again: the name of one that comes along, the path of any other."""
    return path.name if folder(path.name) == path else str(path)
