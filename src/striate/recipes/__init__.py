"""How a network is trained: the Recipe, its text, and those that the papers published."""

from striate.recipes.recipe import Recipe
from striate.recipes.text import from_toml, to_toml

__all__ = ["Recipe", "from_toml", "to_toml"]
