"""What may stand in a word: each field of a layer says how the notation writes it.

The notation, the printer and the checks all read these declarations, so that a new kind of layer
is one dataclass and nothing else.
"""

from __future__ import annotations

import math
import re
from dataclasses import MISSING, Field, field, fields
from typing import Any, Literal

from striate.errors import StriateError
from striate.layers.volume import Pair

Role = Literal["kernel", "units", "stride", "option"]
LARGEST = 2**31 - 1


class BadSetting(StriateError, ValueError):
    """A value of the wrong type or out of range. The message says what is wanted."""


class Form:
    """What values one setting takes: its type, its range, how it is read and written."""

    wanted = "a value"

    def check(self, value: object) -> Any:
        """The value in its final type, or BadSetting."""
        raise BadSetting(f"takes {self.wanted}")

    def show(self, value: Any) -> str:
        return str(value)


class Whole(Form):
    """A whole number in a range."""

    def __init__(self, low: int = 1, high: int = LARGEST) -> None:
        self.low, self.high = low, high
        self.wanted = f"a whole number from {low:,} to {high:,}"

    def check(self, value: object) -> int:
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        ):
            return value
        raise BadSetting(f"takes {self.wanted}")


class Extent(Form):
    """A whole number, or one for height and one for width: 3 or 7x1."""

    def __init__(self, low: int = 1) -> None:
        self.part = Whole(low)
        self.wanted = f"{self.part.wanted}, or two as in 7x1"

    def check(self, value: object) -> Pair:
        height, width = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
        try:
            return Pair(self.part.check(height), self.part.check(width))
        except BadSetting:
            raise BadSetting(f"takes {self.wanted}") from None


class Real(Form):
    """A number in an open or closed range."""

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        self.low, self.high = low, high
        self.wanted = "a number" + (f" from {low:g}" if low > -math.inf else "")
        self.wanted += f" to {high:g}" if high < math.inf else ""

    def check(self, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number) and self.low <= number <= self.high:
                return number
        raise BadSetting(f"takes {self.wanted}")

    def show(self, value: float) -> str:
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)


class Choice(Form):
    """One of a few names. With `flags`, the name alone is enough: `floor`, not `rounding=floor`."""

    def __init__(self, *names: str, flags: bool = False) -> None:
        self.names, self.flags = names, flags
        self.wanted = f"one of {', '.join(names)}"

    def check(self, value: object) -> str:
        if isinstance(value, str) and value.lower() in self.names:
            return value.lower()
        raise BadSetting(f"takes {self.wanted}")


class Identifier(Form):
    """A name of one's own: letters, digits and underscores, a letter first."""

    wanted = "a name of letters, digits and underscores"

    def check(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(r"[a-z_][a-z0-9_]*", value.lower()):
            return value.lower()
        raise BadSetting(f"takes {self.wanted}")


class Wholes(Form):
    """A list of whole numbers: the channels of `take(0, 1, 2)`."""

    wanted = "whole numbers from 0"

    def check(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, tuple) or not value:
            raise BadSetting(f"takes {self.wanted}")
        return tuple(Whole(0).check(each) for each in value)

    def show(self, value: tuple[int, ...]) -> str:
        return ", ".join(map(str, value))


def setting(role: Role, form: Form, default: Any = MISSING, position: int | None = None) -> Any:
    """A dataclass field that the notation can write.

    `position` lets an option stand without its name: `dropout(0.5)`, `lrn(5, k=2)`.
    """
    return field(default=default, metadata={"role": role, "form": form, "position": position})


def kernel(default: Any = MISSING) -> Any:
    """The size behind the kind: conv`3`."""
    return setting("kernel", Extent(), default)


def units() -> Any:
    """The number of filters or units: conv3`-64`."""
    return setting("units", Whole())


def stride(default: Any = Pair(1, 1)) -> Any:
    """The stride: conv3-64`/2`."""
    return setting("stride", Extent(), default)


def option(form: Form, default: Any = MISSING, position: int | None = None) -> Any:
    """What stands in the brackets."""
    return setting("option", form, default, position)


_SETTINGS: dict[type, dict[str, Field[Any]]] = {}


def settings_of(kind: type) -> dict[str, Field[Any]]:
    """The settings of a kind of layer by name, in the order in which they are written."""
    if kind not in _SETTINGS:
        _SETTINGS[kind] = {each.name: each for each in fields(kind) if "role" in each.metadata}
    return _SETTINGS[kind]


def form_of(each: Field[Any]) -> Form:
    """What values a setting takes."""
    form: Form = each.metadata["form"]
    return form
