"""The settings of a recipe that a person may turn while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from striate.recipes import Recipe
from striate.recipes.choices import RULES

# Each with the numbers it may have; anything else is refused with the recipe's own reason.
TURNED = ("learning_rate", "momentum", "batch", "weight_decay")


@dataclass(frozen=True)
class Knob:
    """A setting.

    Attributes:
        value: as it is; None where the rule does not read it.
        why: why it cannot be turned; empty where it can.
    """

    name: str
    value: float | None
    why: str = ""


def knobs(recipe: Recipe) -> list[Knob]:
    """Every setting that can be turned, and for those that cannot the reason."""
    readers = {name for settings in RULES.values() for name in settings}
    found = []
    for name in TURNED:
        if name not in readers:
            found.append(Knob(name, getattr(recipe, name)))
        elif name in RULES[recipe.rule]:
            found.append(Knob(name, recipe.knob(name)))
        else:
            found.append(Knob(name, None, f"the rule {recipe.rule} does not read it"))
    return found
