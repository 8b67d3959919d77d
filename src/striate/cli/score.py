"""`striate score`: how good runs are on images."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.arguments import VIEWS, choice

if TYPE_CHECKING:
    from striate.compute import Compute
    from striate.data import Images
    from striate.data.others import Part
    from striate.data.tell import Tell
    from striate.evaluate import Predictions
    from striate.runs import Run

SPLITS = ("test", "validation", "train")
FORMATS = ("text", "json", "csv")
ALWAYS = (1, 5)  # in JSON and CSV, whatever is asked for


def _tops(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is no list of whole numbers from 1 on, such as 1,5")
    return tuple(dict.fromkeys(map(int, parts)))


@click.command("score")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="SOURCE",
    help="Other images than those the run was trained on: its test split, or all if it has none.",
)
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="Of the images, split as for training. By default test, unless --data names others.",
)
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
    split: str | None,
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
    from striate.draw.plain import line
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
    loaded: dict[object, Part] = {}
    with working(console) as tell:
        split = split or _split(runs[0], data, tell)
        for kept in runs:
            wanted = kept.network.input, kept.recipe.resize, kept.resize, kept.classes
            if wanted not in loaded:
                loaded[wanted] = _part(kept, source, split, tell)
            predictions.append(_predicted(kept, loaded[wanted].images, views, tell))
    part = next(iter(loaded.values()))
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if part.unreadable:
        files = f"{len(part.unreadable):,} file{'s' if len(part.unreadable) > 1 else ''}"
        say(line(f"{files} passed over: striate data {source} lists them"))
    mean = average(predictions)
    summary = summarise(mean, sorted({*tops, *ALWAYS}))
    found = scored.Scored(source, part.split, tuple(map(str, paths)), views, tops, summary)
    if report:
        histories = [read_history(path) for path in paths]
        write_report(report, found, mean, part.images, histories)
    print(scored.FORMATS[format](found))
    if report:
        say(line(f"report {report / 'index.html'}"))


def _split(kept: Run, data: str | None, tell: Tell) -> str | None:
    """`test` of the images that a run was trained on, wherever they lie now; None of others."""
    from striate.data.files import Listing
    from striate.data.look import open_source
    from striate.errors import DataError
    from striate.runs import lasting

    if data is None or lasting(data) == kept.data:
        return "test"
    opened = open_source(data, tell=tell)
    held_out = not opened.splits.keys().isdisjoint(("test", "validation"))
    if isinstance(opened, Listing) and not held_out:
        with suppress(DataError):
            return "test" if kept.splits(data, tell=tell).fingerprint == kept.fingerprint else None
    return None


def _part(kept: Run, source: str, split: str | None, tell: Tell) -> Part:
    """A split of a source that is split as for training, or all that there is to score."""
    from striate.data.others import Part, load_others, relabelled
    from striate.errors import RunError

    if split is None:
        input, resize = kept.network.input, kept.resize
        return load_others(source, classes=kept.classes, input=input, resize=resize, tell=tell)
    splits = kept.splits(source, tell=tell)
    found: Images | None = getattr(splits, split)
    if found is None:
        raise RunError(f"{kept.path} was trained on all its images: none are for validation")
    images = relabelled(found, kept.classes, source)
    return Part(split, images, splits.unreadable)


def _predicted(kept: Run, images: Images, views: str, tell: Tell) -> Predictions:
    """What a run says of images, computed as it was trained where this machine can."""
    from striate.evaluate import predict

    compute = _compute(kept)
    model = compute.scoring(compute.place(kept.model()))
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
