"""`striate recipe`: the published recipes, and all that one of them sets."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from striate.cli.arguments import choice


@click.command("recipe")
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@choice("--format", ("text", "json"), "text", "Of the list or the recipe; the text is TOML.")
def command(name: str | None, settings: tuple[str, ...], format: str) -> None:
    """List the recipes, or print one whole.

    NAME is one of the list or a .toml file. Settings after it are as with `train --set`. What is
    printed can be kept as a .toml file and used.
    """
    from striate import recipes

    if name is None:
        _list(format)
        return
    recipe = recipes.read(name).with_settings(recipes.split_settings(settings))
    if format == "json":
        print(json.dumps(asdict(recipe), indent=2, ensure_ascii=False))
    else:
        print(recipes.explained(recipe), end="")


def _list(format: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from striate import recipes
    from striate.draw.plain import show

    found = {name: recipes.read(name) for name in recipes.names()}
    if format == "json":
        listed = [
            {"name": n, "title": each.title, "paper": each.paper} for n, each in found.items()
        ]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    shown.add_column("name", no_wrap=True, min_width=max(map(len, found)))
    shown.add_column("recipe", no_wrap=True, min_width=max(len(e.title) for e in found.values()))
    shown.add_column("paper", no_wrap=True)
    for name, each in found.items():
        shown.add_row(name, Text(each.title), Text(each.paper))
    show(shown)
