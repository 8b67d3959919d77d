"""`striate train`: from a text, images and a recipe to a run folder, and on from there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from striate.cli.arguments import VIEWS, choice, computing
from striate.cli.sessions import begun, checked, memory_explained, resumed, to_resume

if TYPE_CHECKING:
    from rich.console import Console

    from striate.ranks import Ranks
    from striate.records import Record
    from striate.session import Session


@click.command("train")
@click.argument("words", nargs=-1, metavar="[NET] [KEY=VALUE]...")
@click.option("--data", metavar="SOURCE", help="A name such as `digits`, a folder, archive, table.")
@click.option("--recipe", metavar="RECIPE", help="A name or a .toml file; `default` by default.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the recipe; more may follow."
)
@click.option(
    "--from",
    "start",
    metavar="SOURCE",
    help="Begin with the weights of a run, a .safetensors file or hub:OWNER/NAME, and without NET "
    "with their network. The recipe is `finetune` by default.",
)
@click.option(
    "--freeze",
    metavar="LAYERS",
    help="Short for --set freeze=LAYERS: `features`, all but the last, or a number from the input. "
    "With `features` the recipe is `head` by default.",
)
@click.option(
    "--head",
    type=click.Choice(["new", "keep"]),
    help="The last layer's weights: drawn or taken; by default drawn where classes differ.",
)
@click.option("--epochs", metavar="N", help="Short for --set epochs=N.")
@click.option("--batch", metavar="N", help="Short for --set batch=N.")
@click.option("--seed", metavar="N", help="Short for --set seed=N.")
@click.option(
    "--run",
    "--run-folder",  # torchrun of Python 3.11 takes --run for its own --run-path
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to keep the run; by default runs/NET-SOURCE-N.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on from a run's newest checkpoint.",
)
@click.option(
    "--accept-changes", is_flag=True, help="Resume although network, recipe or images have changed."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that load batches ahead; by default none, or the machine's cores where images "
    "are decoded as they are needed.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Between checkpoints within an epoch.",
)
@choice(
    "--on-nan",
    ("stop", "rewind"),
    "stop",
    "Where numbers are no longer finite: stop, or go back and halve the rate.",
)
@choice("--views", VIEWS, "1", "Of each test image at the end, averaged; as for striate score.")
@computing
@click.option(
    "--tensorboard", is_flag=True, help="Write the records for TensorBoard too, in the run folder."
)
@click.option("--quiet", is_flag=True, help="Show nothing but the result.")
@click.option("--json", "as_json", is_flag=True, help="Print every record as a line of JSON.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Train a network on images and keep the run, or go on with one.

    Ctrl-C stops after the step under way and saves a checkpoint; twice, at once.
    """
    from rich.console import Console

    from striate.ranks import joined

    nets, settings = checked(words, options)
    with joined() as ranks:
        show = ranks.first and not options["quiet"] and not options["as_json"]
        console = Console(stderr=True, quiet=not show)
        path = to_resume(ranks, options)
        if path is None:
            session = begun(nets, settings, ranks, console, options)
        else:
            session = resumed(path, nets, settings, ranks, console, options)
        with memory_explained(session.run.network, session.run.recipe.batch):
            finished = _follow(session, console, ranks, options)
        if not finished:
            if ranks.first:
                Console(stderr=True).print(
                    f"stopped after step {session.state.progress.step:,}; go on with: "
                    f"striate train --resume {session.run.path}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
            raise SystemExit(130)
        _judge(session, ranks, options["views"], options["as_json"])


def _follow(session: Session, console: Console, ranks: Ranks, options: dict[str, Any]) -> bool:
    """Train, showing and keeping what happens; whether it came to its end."""
    from striate.draw.board import board
    from striate.draw.curve import panels
    from striate.draw.history import read_history
    from striate.draw.progress import progress
    from striate.records import Ended, Warned, to_json

    records: Iterable[Record] = session.records(
        workers=_workers(session, options["workers"]),
        every=options["save_every"],
        rewind=options["on_nan"] == "rewind",
    )
    if ranks.first and options["tensorboard"]:
        records = board(records, session.run.path / "tensorboard")
    if ranks.first:
        records = progress(records, console)
    if options["as_json"] and ranks.first:
        for file in session.splits.unreadable:
            print(to_json(Warned(0, f"passed over {file.path}: {file.reason}", 0.0)))
    with _stopping(session):
        for record in records:
            if options["as_json"] and ranks.first:
                print(to_json(record), flush=True)
            last = record
    if console.is_terminal and isinstance(last, Ended) and ranks.first:
        console.print(panels(read_history(session.run.path), width=min(console.width, 100)))
    return isinstance(last, Ended)


def _workers(session: Session, given: int | None) -> int:
    """Decoded images lie in memory or its map, where no other process brings them faster."""
    from striate.data.stream import is_slow

    if given is not None:
        return given
    cores = (os.cpu_count() or 1) // session.ranks.here
    return max(1, cores - 1) if is_slow(session.splits.train.pixels) else 0


def _judge(session: Session, ranks: Ranks, views: str, as_json: bool) -> None:
    """Say how good the weights to use are on the test images."""
    from striate.evaluate import predict, score, summarise
    from striate.keeping import note
    from striate.records import Evaluated, to_json

    ranks.told(None)  # the first has written the weights
    if views != "1" and not ranks.first:
        return  # `score` shares the images out among the ranks, `predict` does not
    run, state, test = session.run, session.state, session.splits.test
    began = perf_counter()
    model = run.compute.scoring(run.compute.place(run.model()))
    with run.compute.autocast():
        if views == "1":
            tested = score(model, test, run.preparation)
        else:
            said = predict([model], test, run.preparation, views=views)
            tested = summarise(said).score
    if not ranks.first:
        return
    seconds = state.progress.seconds + perf_counter() - began
    record = Evaluated(state.progress.epochs, "test", tested, seconds)
    note(run, record)
    if as_json:
        print(to_json(record))
        print(json.dumps({"record": "Kept", "run": str(run.path)}))
    else:
        seen = "" if views == "1" else f", views {views}"
        print(f"test error {tested.top1_error:.2%} (top-1, {tested.count:,} images{seen})")
        print(f"run {run.path}")


@contextmanager
def _stopping(session: Session) -> Iterator[None]:
    """Ctrl-C, or a polite kill, stops after the step under way; the second time, at once."""

    def ask(number: int, frame: object) -> None:
        if session.state.asked_to_stop:
            raise KeyboardInterrupt
        session.state.asked_to_stop = True

    signals = (signal.SIGINT, signal.SIGTERM) if session.ranks.world == 1 else (signal.SIGINT,)
    before = {each: signal.signal(each, ask) for each in signals}
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with: striate train --resume {session.run.path}", err=True)
        raise SystemExit(130) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
