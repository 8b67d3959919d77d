"""`striate score`: how good runs are on images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.arguments import choice

if TYPE_CHECKING:
    from striate.compute import Compute
    from striate.data import Images, Splits
    from striate.data.tell import Tell
    from striate.evaluate import Predictions
    from striate.runs import Run

SPLITS = ("test", "validation", "train")
VIEWS = ("1", "flip", "6", "10")
FORMATS = ("text", "json", "csv")
ALWAYS = (1, 5)  # in JSON and CSV, whatever is asked for


def _tops(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is no list of whole numbers from 1 on, such as 1,5")
    return tuple(dict.fromkeys(map(int, parts)))


@click.command("score")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help="Other images than those the run was trained on.")
@choice("--split", SPLITS, "test", "Of the images.")
@click.option(
    "--top",
    "tops",
    callback=_tops,
    default="1,5",
    show_default=True,
    metavar="K,...",
    help="An image is right whose class is among the K most probable.",
)
@choice(
    "--views", VIEWS, "1", "Of each image, averaged: the image; its mirror too; six; ten crops."
)
@click.option(
    "--ensemble",
    multiple=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Another run to average with; may be repeated.",
)
@click.option(
    "--report",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write a page with charts and tables there.",
)
@choice("--format", FORMATS, "text", "Of the answer.")
def command(
    run: Path,
    data: str | None,
    split: str,
    tops: tuple[int, ...],
    views: str,
    ensemble: tuple[Path, ...],
    report: Path | None,
    format: str,
) -> None:
    """Say a run's errors on test images, by class and by confidence."""
    from rich.console import Console

    from striate.draw import scored
    from striate.draw.history import read_history
    from striate.draw.plots import figure
    from striate.draw.progress import working
    from striate.draw.report import claim, write_report
    from striate.evaluate import average, summarise
    from striate.runs import open_run

    paths = [run, *ensemble]
    runs = [open_run(path) for path in paths]
    if report:
        figure(1, 1)  # says what is missing before the work, not after it
        claim(report)
    console = Console(stderr=True)
    predictions: list[Predictions] = []
    source = data or runs[0].data
    loaded: dict[object, Splits] = {}
    with working(console) as tell:
        for kept in runs:
            fit = kept.network.input, kept.recipe.resize
            if fit not in loaded:
                loaded[fit] = kept.splits(source, tell=tell)
            images: Images = getattr(loaded[fit], split)
            predictions.append(_predicted(kept, images, source, views, tell))
    splits = next(iter(loaded.values()))
    if splits.unreadable:
        files = f"{len(splits.unreadable):,} file{'s' if len(splits.unreadable) > 1 else ''}"
        console.print(f"{files} passed over: striate data {source} lists them", highlight=False)
    mean = average(predictions)
    summary = summarise(mean, sorted({*tops, *ALWAYS}))
    found = scored.Scored(splits.source, split, tuple(map(str, paths)), views, tops, summary)
    if report:
        histories = [read_history(path) for path in paths]
        write_report(report, found, mean, getattr(splits, split), histories)
    print(scored.FORMATS[format](found))
    if report:
        console.print(f"report {report / 'index.html'}", highlight=False, soft_wrap=True)


def _predicted(kept: Run, images: Images, source: str, views: str, tell: Tell) -> Predictions:
    """What a run says of images, computed as it was trained where this machine can."""
    from striate.errors import DataError
    from striate.evaluate import predict

    if images.classes != kept.classes:
        raise DataError(
            f"{source} has the {_named(images.classes)}, "
            f"but {kept.path} was trained on the {_named(kept.classes)}"
        )
    compute = _compute(kept)
    model = compute.place(kept.model())
    with compute.autocast():
        return predict([model], images, kept.preparation, views=views, tell=tell)


def _compute(kept: Run) -> Compute:
    """The run's own, which gives the score that it had in training, or this machine's."""
    from striate.compute import choose
    from striate.errors import RunError
    from striate.evaluate import BATCH

    try:
        choose(kept.network, BATCH, device=kept.compute.device)
    except RunError:
        return choose(kept.network, BATCH)
    return kept.compute


def _named(classes: tuple[str, ...], most: int = 10) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return f"class{'es' if len(classes) > 1 else ''} {', '.join(classes[:most])}{more}"
