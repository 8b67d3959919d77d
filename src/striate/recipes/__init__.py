"""How a network is trained: the Recipe, its text, and those that the papers published."""

from striate.recipes.named import made_from, names, read
from striate.recipes.recipe import Recipe
from striate.recipes.text import explained, from_toml, split_settings, to_toml

__all__ = [
    "Recipe",
    "explained",
    "from_toml",
    "made_from",
    "names",
    "read",
    "split_settings",
    "to_toml",
]
