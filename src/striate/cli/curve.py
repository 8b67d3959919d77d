"""`striate curve`: how training went, of one or more runs."""

from __future__ import annotations

from pathlib import Path

import click

WHAT = ("loss", "error", "rate")
ENDINGS = (".png", ".svg", ".html", ".csv")
USUAL, WIDEST = 80, 100  # characters


@click.command("curve")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--what",
    multiple=True,
    type=click.Choice(WHAT),
    help="To draw; may be repeated. By default loss and error.",
)
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a chart or a table there: .png, .svg, .html, .csv.",
)
def command(runs: tuple[Path, ...], what: tuple[str, ...], to: Path | None) -> None:
    """Draw the curves of runs, in the terminal or into a file."""
    from rich.console import Console

    from striate.draw import plots
    from striate.draw.curve import panels
    from striate.draw.history import as_csv, read_history
    from striate.draw.plain import show
    from striate.draw.report import curve_page

    if to and to.suffix.lower() not in ENDINGS:
        raise click.UsageError(f"{to} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    histories = [read_history(path, name) for path, name in zip(runs, _names(runs), strict=True)]
    what = tuple(dict.fromkeys(what)) or ("loss", "error")
    if to is None:
        console = Console()
        width = min(console.width, WIDEST) if console.is_terminal else USUAL
        for history in histories:
            show(panels(history, what, width))
        return
    match to.suffix.lower():
        case ".csv":
            plots.write(to, as_csv(histories))
        case ".html":
            plots.write(to, curve_page(histories, what))
        case ending:
            plots.write(to, plots.image(plots.curves(histories, what), ending[1:]))


def _names(runs: tuple[Path, ...]) -> list[str]:
    """The ends of their paths, as long as it takes to tell the runs apart."""
    paths = [path.resolve().parts for path in runs]
    for length in range(1, max(map(len, paths))):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names
