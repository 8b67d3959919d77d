"""What a training run would be, from what `striate train` would be told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from striate.cli.arguments import WAYS, Decorator, applied, computing, settings_among

if TYPE_CHECKING:
    from rich.console import Console

    from striate.compute import Compute
    from striate.network import Network
    from striate.recipes import Recipe

# As `striate train` has them.
OPTIONS: tuple[Decorator, ...] = (
    click.argument("words", nargs=-1, metavar="NET [KEY=VALUE]..."),
    click.option(
        "--recipe", metavar="RECIPE", help="A name or a .toml file, `default` by default."
    ),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the recipe; may follow."
    ),
    click.option("--batch", type=click.IntRange(min=1), help="Short for --set batch=N."),
    computing,
    click.option("--threads", type=click.IntRange(min=1), help="By default as training has them."),
)


def planning(command: Any) -> Any:
    """Gives a command the words and options of OPTIONS."""
    return applied(OPTIONS, command)


class Plan(NamedTuple):
    """What would be trained, how, on what, and in how many bytes of memory."""

    network: Network
    recipe: Recipe
    compute: Compute
    room: int


def planned(words: tuple[str, ...], options: dict[str, Any], console: Console) -> Plan:
    """What `striate train` would do.

    Raises:
        RunError: it would need more memory than there is.
    """
    from striate import recipes
    from striate.account import parse_memory
    from striate.compute import choose
    from striate.draw.progress import working
    from striate.errors import RunError
    from striate.host import cores
    from striate.network import read
    from striate.probe import fastest
    from striate.timing.machine import memory
    from striate.timing.needs import needs, require_memory

    nets, settings = settings_among(words, options["settings"])
    if not nets:
        raise click.UsageError("name a network: a name of the zoo, a .net file, or a text")
    for name in ("batch", "epochs"):
        if options.get(name) is not None:
            settings[name] = str(options[name])
    network = read(nets[0])
    recipe = recipes.read(options["recipe"] or "default").with_settings(settings)
    if recipe.freeze:
        raise RunError("recipe: frozen layers are not measured yet: leave freeze out")
    wanted = {way: options[way] for way in WAYS}
    compute = choose(network, recipe.batch, **wanted)
    given = options.get("memory")
    room = parse_memory(given) if given else memory(compute.device)
    require_memory(needs(network, recipe, compute), recipe.batch, room)  # before it is tried
    with working(console) as tell:
        compute = fastest(network, recipe.batch, tell=tell, **wanted)
    if options["threads"]:
        if options["threads"] > cores():
            raise click.BadParameter(f"this machine has {cores()} cores", param_hint="--threads")
        compute = replace(compute, threads=options["threads"])
    return Plan(network, recipe, compute, room)
