"""`striate card`: what a run is, on one page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("card")
@click.argument("run", metavar="RUN")
@click.option(
    "--out",
    metavar="FILE.md",
    type=click.Path(dir_okay=False, path_type=Path),
    help="By default the run's name here; its pictures lie beside it.",
)
def command(run: str, out: Path | None) -> None:
    """Write a model card in Markdown, with pictures."""
    from rich.console import Console

    from striate.draw.progress import working
    from striate.runs import open_run
    from striate.ship.card import write_card

    if out and out.suffix.lower() != ".md":
        raise click.UsageError(f"{out} must end in .md")
    opened = open_run(run)
    out = out or Path(f"{opened.path.resolve().name}.md")
    with working(Console(stderr=True)) as tell:
        written = write_card(opened, out, tell=tell)
    for path in written:
        print(path)
