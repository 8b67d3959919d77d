"""`striate data`: a look at images before training."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.arguments import choice

MOST_ROWS = 100  # of a contact sheet


@click.command("data")
@click.argument("source", metavar="SOURCE")
@choice("--format", ("text", "json"), "text", "Of what is found.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw some images of each class.",
)
@click.option(
    "--per-class",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Images of each class on the sheet.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which images are on the sheet.",
)
def command(source: str, format: str, sheet: Path | None, per_class: int, seed: int) -> None:
    """Look at images before training: counts, sizes, copies, damage.

    SOURCE is what `striate train --data` takes. Nothing in it is changed.
    """
    from rich.console import Console

    from striate.data.look import look, open_source
    from striate.draw.look import render, to_json
    from striate.draw.plain import show
    from striate.draw.progress import working

    with working(Console(stderr=True)) as tell:
        opened = open_source(source, tell=tell)
        found = look(opened, tell=tell)
    if format == "json":
        print(to_json(found))
    else:
        show(render(found))
    if sheet:
        from striate.data.look import samples
        from striate.draw.plain import line
        from striate.draw.sheet import CELL
        from striate.draw.sheet import sheet as draw
        from striate.errors import DataError

        rows = samples(opened, per_class, seed, classes=MOST_ROWS, side=CELL)
        try:
            draw(rows, cell=CELL).save(sheet, "png")
        except OSError as reason:
            raise DataError(f"{sheet} cannot be written: {reason.strerror or reason}") from None
        classes = len(found.classes)
        part = f", the first {MOST_ROWS} of {classes:,} classes" if classes > MOST_ROWS else ""
        click.echo(line(f"sheet {sheet}{part}"), err=True)
