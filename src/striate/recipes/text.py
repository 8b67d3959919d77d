"""Recipes as TOML text, and back; settings as a person types them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from striate.errors import RunError
from striate.recipes.choices import RULES, SCHEDULES
from striate.recipes.recipe import SETTINGS, Recipe, known
from striate.recipes.values import typed

# The setting before which a heading stands.
HEADINGS = {
    "title": "what it is",
    "epochs": "the run",
    "rule": "the update rule",
    "schedule": "the learning rate over the run",
    "clip": "limits, and what the loss and the weights in the end are",
    "initialisation": "how the weights start",
    "normalisation": "how images are prepared",
    "flip": "how training images are varied",
}
WIDTH = 100


def to_toml(recipe: Recipe) -> str:
    """The recipe as text, a line for each setting that it has."""
    return "".join(
        f"{_line(name, value)}\n"
        for name, value in _values(recipe).items()
        if value is not None and value != ""
    )


def explained(recipe: Recipe) -> str:
    """The same under headings, with a comment for each setting that has none or its usual value.

    What the rule and the schedule do not read is not there.
    """
    own = {**RULES[recipe.rule], **SCHEDULES[recipe.schedule]}
    lines = []
    for name, value in _values(recipe).items():
        if name in HEADINGS:
            lines += ["", f"# -- {HEADINGS[name]}"]
        if value is not None and value != "":
            lines.append(_line(name, value))
        elif own.get(name) is not None:
            lines.append(f"# {_line(name, own[name])}")
        elif name in own or not _read_by_some(name):
            lines.append(f"# {name} = none")
    return "\n".join(lines[1:]) + "\n"


def from_toml(text: str, source: str = "recipe") -> Recipe:
    """The recipe in a text; a setting that it leaves out has its default.

    Args:
        source: what messages call the text.

    Raises:
        RunError: the text is no TOML, or a setting is unknown or cannot be.
    """
    try:
        settings = tomllib.loads(text)
    except (ValueError, RecursionError) as reason:  # a number too long, brackets too deep
        raise RunError(_placed(str(reason), source)) from None
    try:
        return Recipe(
            **{
                name: typed(known(name), str(SETTINGS[name].type), value)
                for name, value in settings.items()
            }
        )
    except RunError as reason:
        raise RunError(f"{source}: {str(reason).removeprefix('recipe: ')}") from None


def split_settings(texts: Iterable[str]) -> dict[str, str]:
    """`["lr=0.01", "epochs=5"]` as names and values.

    Raises:
        RunError: a text has no `=`, or a setting is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise RunError(f"recipe: a setting is written NAME=VALUE, as in lr=0.01, not {text!r}")
        if name in found:
            raise RunError(f"recipe: {name} is set twice")
        found[name] = value
    return found


def _values(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in SETTINGS}


def _read_by_some(name: str) -> bool:
    return any(name in read for readers in (RULES, SCHEDULES) for read in readers.values())


def _line(name: str, value: object) -> str:
    # JSON's numbers, strings, truths and lists are TOML's too, but for one character.
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
    foldable = isinstance(value, str) and not value.startswith(" ")
    return _folded(line) if foldable and len(line) > WIDTH else line


def _folded(line: str) -> str:
    """A long text over several lines: a backslash at a line's end takes the break back.

    It takes all white space after it, so that only single spaces may end a line.
    """
    name, _, text = line.partition(" = ")
    lines = [f'{name} = """', ""]
    for word in re.split(r"(?<=[^ ] )(?=[^ ])", text[1:-1]):
        if lines[-1] and len(lines[-1] + word) >= WIDTH:
            lines.append("")
        lines[-1] += word
    return "\\\n".join(lines) + '"""'


def _placed(reason: str, source: str) -> str:
    """What tomllib says, its place in front."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", reason)
    return f"{source}:{found[2]}:{found[3]}: {found[1]}" if found else f"{source}: {reason}"
