"""The published networks: one .net text each, with its citation and its volumes as checks."""

from __future__ import annotations

import re
from importlib import resources

from striate.errors import UnknownWord, nearest
from striate.network import Network


def names() -> list[str]:
    """The names of all networks in the zoo."""
    files = resources.files(__package__).iterdir()
    return sorted(each.name.removesuffix(".net") for each in files if each.name.endswith(".net"))


def text(name: str) -> str:
    """The text of a network as its file has it, comments and all.

    Raises:
        UnknownWord: there is no such network; the nearest name is given.
    """
    return resources.files(__package__).joinpath(f"{find(name)}.net").read_text("utf-8")


def read(name: str) -> Network:
    """A network of the zoo by name."""
    return Network.parse(text(name), f"{find(name)}.net")


def find(name: str) -> str:
    """The zoo's own form of a name: ResNet-50 and resnet_50 are resnet50."""
    found = {_plain(each): each for each in names()}.get(_plain(name))
    if found is None:
        hint = nearest(_plain(name), names())
        hints = [hint if hint.startswith("did") else "`striate zoo` lists the networks"]
        if " " in name:
            hints = ["a text begins with its input volume: [32x32x3] conv5-16 relu ..."]
        raise UnknownWord(f"there is no file and no network in the zoo named {name!r}", hints=hints)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
