"""Recipes as TOML text, and back."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, fields
from typing import Any

from striate.errors import RunError
from striate.recipes.recipe import Recipe


def to_toml(recipe: Recipe) -> str:
    """The recipe as text, a line for each setting that it has."""
    # JSON's numbers, strings, truths and lists are TOML's too.
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in asdict(recipe).items()
        if value is not None and value != ""
    )


def from_toml(text: str) -> Recipe:
    """The recipe in a text; a setting that it leaves out has its default.

    Raises:
        RunError: the text is no TOML, or a setting is unknown or of another type.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        raise RunError(f"recipe: {reason}") from None
    known = {field.name: str(field.type) for field in fields(Recipe)}
    for name in settings:
        if name not in known:
            raise RunError(f"recipe: there is no setting {name!r}; known: {', '.join(known)}")
    return Recipe(**{name: _typed(name, known[name], value) for name, value in settings.items()})


def _typed(name: str, kind: str, value: Any) -> Any:
    """The value as the field takes it; `true` is no number, and 1 is a float where one is due."""
    if isinstance(value, list) and ("tuple" in kind or "Range" in kind):
        pair = "Range" in kind
        if all(type(each) in (int, float) for each in value) and (not pair or len(value) == 2):
            return tuple(map(float, value))
        raise RunError(f"recipe: {name} must be {'two' if pair else 'some'} numbers, not {value}")
    wanted = kind.partition(" ")[0]
    if wanted == "float" and type(value) in (int, float):
        return float(value)
    if type(value).__name__ == wanted:
        return value
    raise RunError(f"recipe: {name} must be of type {wanted}, not {value!r}")
