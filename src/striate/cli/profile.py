"""`striate profile`: where the time of training goes."""

from __future__ import annotations

from typing import Any

import click

from striate.cli.arguments import choice
from striate.cli.planning import planned, planning
from striate.cli.sessions import memory_explained


@click.command("profile")
@planning
@click.option("--all", "every", is_flag=True, help="Show every layer of a long network.")
@choice("--format", ("text", "json"), "text", "Of what is found.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """See where the time of a training step goes, layer by layer.

    Some real steps are taken on images of noise; nothing is kept. KEY=VALUE sets the recipe.
    """
    from rich.console import Console

    from striate.draw.plain import show
    from striate.draw.speed import render, to_json
    from striate.timing.profile import profile

    plan = planned(words, options, Console(stderr=True))
    with memory_explained(plan.network, plan.recipe.batch):
        found = profile(plan.network, plan.recipe, plan.compute)
    if options["format"] == "json":
        print(to_json(found))
    else:
        show(render(found, options["every"]))
