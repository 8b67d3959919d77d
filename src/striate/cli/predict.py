"""`striate predict`: what a run or an ONNX file makes of images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from striate.ship.bulk import Prediction

FORMATS = ("text", "json", "csv")
ENGINES = ("auto", "exact", "pytorch", "onnxruntime", "openvino")
ENDINGS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".txt": "text", "": "text"}
FEW = 40  # images whose predictions are one table
MOST_NAMED = 20  # images passed over that are named
SOME_BAD = 3  # the exit code


@click.command("predict")
@click.argument("model", metavar="RUN|FILE.onnx")
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes of each image."
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="A table, an object a line, or rows; by default as FILE's name says, else text.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write there; a folder of shards.",
)
@click.option(
    "--shards",
    metavar="N",
    type=click.IntRange(min=1, max=9999),
    help="Write N files into the folder of --out; those that are there are not made again.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    show_default=True,
    help="What computes: the fastest that is right; plain float32; or one by name.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Of the engine; by default all.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode images.")
def command(
    model: str,
    images: tuple[str, ...],
    top: int,
    format: str | None,
    out: Path | None,
    shards: int | None,
    engine: str,
    threads: int | None,
    workers: int | None,
) -> None:
    """Classify images with a run or an exported ONNX file.

    IMAGES are files, folders, zip or tar archives, tables of paths (.csv), or -: then standard
    input is one image, or a list of paths.
    """
    from rich.console import Console

    from striate.data.loose import STANDARD_INPUT, gather
    from striate.draw.plain import line
    from striate.draw.progress import working
    from striate.ship import open_predictor
    from striate.ship.bulk import in_shards, place, predict, share_of_cores

    if shards and not out:
        raise click.UsageError("--shards writes files: name their folder by --out DIR")
    rank, world, here = place()
    if world > 1 and not shards:
        raise click.UsageError("processes share shards: say --shards N --out DIR")
    if out and not shards:  # now, not after all was predicted
        if out.is_dir():
            raise click.UsageError(f"{out} is a folder: --shards N writes into one")
        if not out.parent.is_dir():
            raise click.UsageError(f"there is no folder {out.parent}")
    if format is None and out and not shards:
        if (ending := out.suffix.lower()) not in ENDINGS:
            known = ", ".join(filter(None, ENDINGS))
            raise click.UsageError(f"{out} ends in none of {known}: say its form by --format")
        format = ENDINGS[ending]
    format = format or ("json" if shards else "text")
    console = Console(stderr=True)
    given = sys.stdin.buffer.read() if STANDARD_INPUT in images else b""
    loose = gather(images, given)
    if world > 1:
        threads = threads or share_of_cores(here)
        workers = share_of_cores(here) if workers is None else workers
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    with working(Console(stderr=True, quiet=rank > 0)) as tell:
        predictor = open_predictor(model, engine=engine, threads=threads, tell=tell)
        if shards and out:
            text, ending = _form(format)
            done = in_shards(
                predictor,
                loose,
                out,
                shards,
                text,
                ending=ending,
                top=top,
                rank=rank,
                world=world,
                workers=workers,
                tell=tell,
            )
            bad: Sequence[Prediction] = done.passed_over
            own = f"process {rank} of {world}: " if world > 1 else ""
            earlier = f", {done.earlier:,} were there" if done.earlier else ""
            print(f"{own}{out}: {done.shards:,} shards of {done.images:,} images written{earlier}")
        else:
            made = predict(predictor, loose, loose.entries, top=top, workers=workers, tell=tell)
            bad = _written(made, len(loose.entries), format, out)
    say(line(f"{predictor.name}: {predictor.way}"))
    if bad:
        _name(bad, say)
    if bad and world == 1:  # torchrun would take it for a crash, and end the other processes
        sys.exit(SOME_BAD)


def _form(format: str) -> tuple[Callable[[Sequence[Prediction]], str], str]:
    """What writes a shard, and how its name ends."""
    from striate.draw import predicted

    forms: dict[str, tuple[Callable[[Sequence[Prediction]], str], str]] = {
        "text": (predicted.to_text, ".txt"),
        "json": (predicted.to_json, ".jsonl"),
        "csv": (predicted.to_csv, ".csv"),
    }
    return forms[format]


def _written(
    made: Iterator[Prediction],
    count: int,
    format: str,
    out: Path | None,
) -> Sequence[Prediction]:
    """Print predictions as they come, or write them into a file; returns those of bad images."""
    from striate.draw import predicted
    from striate.draw.plain import show
    from striate.storage import write

    bad: list[Prediction] = []

    def all_() -> Iterator[Prediction]:
        for each in made:
            if each.error:
                bad.append(each)
            yield each

    def lines() -> Iterator[str]:
        for number, each in enumerate(all_()):
            match format:
                case "json":
                    yield predicted.to_json([each])
                case "csv":
                    yield predicted.to_csv([each], heading=not number)
                case _:
                    yield predicted.to_text([each])

    if out:
        write(out, "".join(lines()).encode("utf-8", "surrogateescape"))
    elif format == "text" and count <= FEW:
        show(predicted.table(list(all_())))
    else:
        for text in lines():
            print(text, end="")
    return bad


def _name(bad: Sequence[Prediction], say: Callable[[str], None]) -> None:
    """Say which images were passed over, and why."""
    from striate.draw.plain import line

    for each in bad[:MOST_NAMED]:
        say(line(f"passed over: {each.image}: {each.error}"))
    more = f", of which {MOST_NAMED} are named" if len(bad) > MOST_NAMED else ""
    say(f"{len(bad):,} image{'s' * (len(bad) > 1)} passed over{more}")
