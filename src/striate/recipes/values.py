"""A setting's value as its field takes it. A field's type, as it is written, says what that is."""

from __future__ import annotations

import math
from typing import Any

from striate.errors import RunError

KINDS = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a number"}


def parsed(kind: str, text: str) -> Any:
    """What a person typed, as TOML would have the value."""
    kinds = kind.split(" | ")
    if kinds == ["str"]:
        return text
    if text.lower() == "none" and "None" in kinds:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    parts = [_number(part) for part in text.strip("[]()").split(",")]
    if None in parts:
        return text
    return parts[0] if len(parts) == 1 else parts


def _number(text: str) -> float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _float(number: float) -> float:
    """A whole number that no float reaches is infinite, for the limits to refuse."""
    return math.inf if abs(number) > 2**1000 else float(number)


def typed(name: str, kind: str, value: Any) -> Any:
    """The value as the setting takes it; `true` is no number, and 1 is a float where one is due.

    Raises:
        RunError: it is of another kind.
    """
    kinds = kind.split(" | ")
    if value is None and "None" in kinds:
        return None
    number = type(value) in (int, float)
    if "float" in kinds and number:
        return _float(value)
    if type(value).__name__ in kinds:
        return value
    if "Range" in kinds or "tuple[float, ...]" in kinds:
        listed = [value] if number else value if isinstance(value, list) else []
        numbers = all(type(each) in (int, float) for each in listed)
        if numbers and (len(listed) == 2 or (listed and "Range" not in kinds)):
            return tuple(map(_float, listed))
        wanted = "two numbers" if "Range" in kinds else "numbers"
    else:
        wanted = KINDS[kinds[0]]
    raise RunError(f"recipe: {name} must be {wanted}, not {value!r}")
