"""`striate estimate`: how long training will take here, and how much memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from striate.cli.arguments import choice
from striate.cli.planning import planned, planning
from striate.cli.sessions import memory_explained


@click.command("estimate")
@planning
@click.option("--data", metavar="SOURCE", help="As `striate train` takes it; images are counted.")
@click.option("--epochs", metavar="N", help="Short for --set epochs=N.")
@click.option("--memory", metavar="SIZE", help="That there is, 8GB or 16GiB; by default all here.")
@click.option("--fresh", is_flag=True, help="Measure anew what was measured here before.")
@choice("--format", ("text", "json"), "text", "Of what is foretold.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Foretell a training run: its time on this machine, its memory.

    Layers are timed by themselves for some seconds; nothing is trained, no image is decoded.
    """
    from rich.console import Console

    from striate.data.preparation import require_classes
    from striate.draw.plain import show
    from striate.draw.progress import working
    from striate.draw.speed import estimate_to_json, foretold
    from striate.timing.estimate import estimate
    from striate.timing.extent import extent
    from striate.timing.machine import Readings

    console = Console(stderr=True)
    plan = planned(words, options, console)
    with working(console) as tell, memory_explained(plan.network, plan.recipe.batch):
        source = None
        if options["data"]:
            source = extent(options["data"], tell, validation=plan.recipe.validation)
            require_classes(plan.network, options["data"], source.classes)
        found = estimate(
            plan.network,
            plan.recipe,
            plan.compute,
            volume=source.volume if source else None,
            room=plan.room,
            readings=Readings(fresh=options["fresh"]),
            tell=tell,
        )
    if source:
        scored = source.validation, source.test
        found = replace(found, images=source.train, scored=scored, epochs=plan.recipe.epochs)
    if options["format"] == "json":
        print(estimate_to_json(found))
    else:
        show(foretold(found))
