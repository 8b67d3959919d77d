"""The published recipes: one .toml text each, with its citation and where it departs from that."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from striate.disk import text_of
from striate.errors import RunError, nearest
from striate.recipes.recipe import Recipe
from striate.recipes.text import from_toml

TEXTS = ("title", "paper", "note")  # the settings that no computation reads


def names() -> list[str]:
    """The names of all recipes that come along."""
    files = resources.files(__package__).iterdir()
    return sorted(each.name.removesuffix(".toml") for each in files if each.name.endswith(".toml"))


def read(source: str | Path) -> Recipe:
    """The recipe in a file, or the one of a name.

    A source that ends in .toml, has a slash or exists is a file.

    Raises:
        RunError: there is no such file or name, or its text is no recipe.
    """
    text = str(source)
    if isinstance(source, Path) or text.endswith(".toml") or "/" in text or os.path.isfile(text):
        return from_toml(text_of(Path(source), RunError), text)
    plain = re.sub(r"[_ ]", "-", text.strip().lower())
    if plain not in names():
        raise RunError(f"there is no file and no recipe named {text!r}; {nearest(plain, names())}")
    name = f"{plain}.toml"
    return from_toml(resources.files(__package__).joinpath(name).read_text("utf-8"), name)


def made_from(recipe: Recipe) -> tuple[str, dict[str, Any]] | None:
    """The name of the recipe that this one was made from, by its texts, and the settings changed.

    Returns:
        None where it was made from none that comes along.
    """
    for name in names():
        known = read(name)
        if all(getattr(recipe, each) == getattr(known, each) for each in TEXTS):
            own, before = asdict(recipe), asdict(known)
            return name, {key: value for key, value in own.items() if value != before[key]}
    return None
