"""`striate see`: pictures of what a run has learned, and of what it makes of an image."""

from __future__ import annotations

import re
from pathlib import Path

import click

from striate.cli.arguments import choice
from striate.gallery import WAYS

SPLITS = ("test", "validation", "train")
SCALES = ("map", "layer", "network")


def _place(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    if not (found := re.fullmatch(r"(\d+),(\d+)", value)):
        raise click.BadParameter(f"{value!r} is no row and column such as 3,5")
    return int(found[1]), int(found[2])


@click.command(
    "see",
    epilog="WHAT is one of: "
    + "; ".join(f"{name}: {way.shows}" for name, way in WAYS.items())
    + ".",
)
@click.argument("what", metavar="WHAT", type=click.Choice(list(WAYS)))
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option("--layer", metavar="NAME", help="As in the table; by default the most telling one.")
@click.option(
    "--unit",
    metavar="N",
    type=click.IntRange(min=0),
    help="Of the layer, counted from 0; by default the first, or all there is room for.",
)
@click.option("--class", "target", metavar="NAME", help="By default the one that scores highest.")
@click.option(
    "--at",
    metavar="ROW,COLUMN",
    callback=_place,
    help="For neuron: where on the layer's map; by default in its middle.",
)
@click.option("--style", metavar="IMAGE", help="For style: whose style it is to be.")
@choice("--scale", SCALES, "layer", "For maps: over what black and white are the largest value.")
@choice("--split", SPLITS, "test", "The images that are looked through.")
@click.option("--data", metavar="SOURCE", help="Other images than those the run was trained on.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of images that are made, and of map.",
)
@click.option(
    "--out",
    metavar="FILE.png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; by default WHAT.png here.",
)
@click.option("--window", is_flag=True, help="Open the picture in a window too.")
def command(
    what: str,
    run: Path,
    image: str | None,
    layer: str | None,
    unit: int | None,
    target: str | None,
    at: tuple[int, int] | None,
    style: str | None,
    scale: str,
    split: str,
    data: str | None,
    seed: int,
    out: Path | None,
    window: bool,
) -> None:
    """Draw what a run has learned and what it sees.

    IMAGE is a file, or an image of the run's data such as test:17; by default it is the first.
    """
    from rich.console import Console

    from striate.draw.progress import working
    from striate.errors import SeeError
    from striate.gallery import picture
    from striate.runs import open_run

    to = out or Path(f"{what}.png")
    if to.suffix.lower() != ".png":
        raise click.UsageError(f"{to} must end in .png")
    opened = open_run(run)
    with working(Console(stderr=True)) as tell:
        drawn = picture(
            what,
            opened,
            image,
            layer=layer,
            unit=unit,
            target=target,
            at=at,
            style=style,
            scale=scale,
            split=split,
            data=data,
            seed=seed,
            tell=tell,
        )
    try:
        drawn.save(to, "png")
    except OSError as reason:
        raise SeeError(f"{to} cannot be written: {reason.strerror or reason}") from None
    print(to)
    if window:
        drawn.show()
