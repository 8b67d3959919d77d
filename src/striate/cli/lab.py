"""`striate lab`: a page where a network trains and can be watched."""

from __future__ import annotations

from typing import Any

import click

from striate.cli.arguments import settings_among

NET = "[8x8x1] conv3-16 relu conv3-16 relu maxpool2 fc-10 softmax"


@click.command("lab")
@click.argument("words", metavar="[NET|RUN] [KEY=VALUE]...", nargs=-1)
@click.option("--data", metavar="SOURCE", help="Images; by default digits.")
@click.option("--recipe", metavar="RECIPE", help="How it trains; by default lab.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the recipe.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="To listen on, this machine alone; by default a free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Open a page where a network trains, to watch and to change it.

    NET is a network as everywhere; by default a small one for digits, or with --data the ConvNetJS
    network for CIFAR-10. RUN is a run folder: it is followed, live or past, and can be trained on
    here without a change to its folder.
    """
    from striate import recipes
    from striate.lab.serving import serve
    from striate.lab.trainer import Wanted, is_run
    from striate.network import read

    nets, settings = settings_among(words, options["settings"])
    if len(nets) > 1:
        raise click.UsageError(f"one network at a time: {nets[0]} or {nets[1]}")
    data = options["data"] or "digits"
    net = nets[0] if nets else NET if data == "digits" else "convnetjs-cifar10"
    if is_run(net) and (options["data"] or options["recipe"] or settings):
        raise click.UsageError(
            "a run is followed as it is: leave --data, --recipe and settings out"
        )
    if not is_run(net):  # a mistake is told before there is an address
        read(net)
        recipes.read(options["recipe"] or "lab").with_settings(settings)
    wanted = Wanted(net, data, options["recipe"] or "lab", settings, ours=not nets)
    serve(wanted, port=options["port"], browser=not options["no_browser"])
