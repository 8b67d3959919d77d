"""The published networks: one .net text each, with its citation and its volumes as checks."""

from __future__ import annotations

from importlib import resources

from striate.errors import UnknownWord, nearest
from striate.network import Network


def names() -> list[str]:
    """The names of all networks in the zoo."""
    files = resources.files(__package__).iterdir()
    return sorted(each.name.removesuffix(".net") for each in files if each.name.endswith(".net"))


def text(name: str) -> str:
    """The text of a network as its file has it, comments and all."""
    file = resources.files(__package__).joinpath(f"{name}.net")
    if name not in names():
        hint = nearest(name, names())
        hints = [hint if hint.startswith("did") else "`striate zoo` lists the networks"]
        raise UnknownWord(f"there is no file and no network in the zoo named {name!r}", hints=hints)
    return file.read_text("utf-8")


def read(name: str) -> Network:
    """A network of the zoo by name; upper case, spaces and underscores do not matter."""
    name = name.lower().replace("_", "-").replace(" ", "-")
    return Network.parse(text(name), f"{name}.net")
