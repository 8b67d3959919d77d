"""How a network is trained: the Recipe, its text, and those that the papers published."""

from striate.recipes.named import model_of, names, read
from striate.recipes.recipe import Recipe
from striate.recipes.text import explained, from_toml, split_settings, to_toml

__all__ = [
    "Recipe",
    "explained",
    "from_toml",
    "model_of",
    "names",
    "read",
    "split_settings",
    "to_toml",
]
